"""Who answered right: attempts and traces compared with the reference, by algebra or by a judge.

Finished chunks are on disk before the next begins; a killed run goes on behind them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from s1_core import answers, cli
from s1_core.cache import Cache
from s1_core.records import Attempt, Question
from s1_data.config import BuildConfig

if TYPE_CHECKING:
    from s1_data.endpoint.judge import Case

Verdict = Literal["right", "wrong", "none"]
TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Grade:
    """One model's answer to one question: right, wrong, or none where nobody could tell."""

    question_id: str
    model: str
    verdict: str


def grade(
    attempts: Sequence[Attempt], questions: Sequence[Question], config: BuildConfig
) -> list[Grade]:
    """Grade the attempts at `questions` with `difficulty.grader`; other attempts are passed over.

    A question without anything to compare with gets the verdict none and costs nothing.
    """
    known = {question.id: question for question in questions}
    asked = [attempt for attempt in attempts if attempt.question_id in known]
    asked.sort(key=lambda attempt: (attempt.model, attempt.question_id))
    if config.difficulty.grader == "judge":
        return _judged(asked, questions, config)
    cache, grades = Cache(Path(config.out) / "grades"), []
    chunks = _chunks(asked)
    for chunk in cli.progress(chunks, "grades", total=len(chunks)):
        pairs = [[attempt.text, known[attempt.question_id].answer] for attempt in chunk]
        ids = [[attempt.model, attempt.question_id] for attempt in chunk]
        inputs = {"grader": _grader(), "pairs": pairs, "ids": ids, "timeout_s": TIMEOUT_S}

        def compare(chunk: Sequence[Attempt] = chunk) -> list[Grade]:
            return _compared(chunk, known, config.workers)

        grades += cache.rows(inputs, Grade, compare)
    return grades


def _chunks(asked: Sequence[Attempt]) -> list[list[Attempt]]:
    """Part attempts by model and first digit of the question: a row more regrades few others."""
    found: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in asked:
        found.setdefault((attempt.model, attempt.question_id[:1]), []).append(attempt)
    return list(found.values())


def _grader() -> str:
    """Name the rules of comparison, so that no verdict outlives them."""
    code = Path(answers.__file__).read_bytes()
    version = importlib.metadata.version("math-verify")
    return f"{hashlib.sha256(code).hexdigest()[:16]} math-verify {version}"


def cases(attempts: Sequence[Attempt], questions: Sequence[Question]) -> list[Case]:
    """Lay attempts out for the judge, who compares with the solution where there is one."""
    from s1_data.endpoint.judge import Case

    known = {question.id: question for question in questions}
    asked = [(attempt, known[attempt.question_id]) for attempt in attempts]
    return [
        Case(
            question_id=question.id,
            question=question.question,
            attempt=attempt.text,
            reference=question.solution or question.answer,
        )
        for attempt, question in asked
    ]


def _judged(
    attempts: Sequence[Attempt], questions: Sequence[Question], config: BuildConfig
) -> list[Grade]:
    from s1_data.endpoint import judge

    found = judge.grade(cases(attempts, questions), config.judge, judge.calls(config.out))
    return _grades(attempts, ["none" if v is None else "right" if v else "wrong" for v in found])


def _compared(
    attempts: Sequence[Attempt], known: Mapping[str, Question], workers: int
) -> list[Grade]:
    gold = [known[attempt.question_id].answer for attempt in attempts]
    graded = answers.grade(
        [(attempt.text, answer or "") for attempt, answer in zip(attempts, gold, strict=True)],
        workers=workers,
        timeout_s=TIMEOUT_S,
    )
    verdicts: list[Verdict] = [
        ("right" if is_right else "wrong") if answer else "none"
        for is_right, answer in zip(graded, gold, strict=True)
    ]
    return _grades(attempts, verdicts)


def _grades(attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> list[Grade]:
    return [
        Grade(question_id=attempt.question_id, model=attempt.model, verdict=verdict)
        for attempt, verdict in zip(attempts, verdicts, strict=True)
    ]
