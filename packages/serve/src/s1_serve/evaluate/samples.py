"""One answer of one run as a row: what was generated, what was extracted, whether it is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from s1_core import answers, chat
from s1_core.records import Question
from s1_serve.budget.outcome import Outcome
from s1_serve.text import Codec


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A row of samples.parquet; `max` is the maximum in force, in tokens."""

    method: str
    extends: int
    extend_with: str
    question_id: str
    sample: int
    seed: int
    max: int
    used_extends: int
    end: str
    finish_reason: str
    thinking_tokens: int
    output_tokens: int
    thinking: str
    answer: str
    extracted: str | None
    is_correct: bool


def from_outcome(outcome: Outcome, codec: Codec, fmt: chat.Format, blank: Sample) -> Sample:
    """Fill `blank`, which says whose answer this is, with what was generated; not graded yet."""
    ids = outcome.thinking_ids + outcome.ending_ids + outcome.answer_ids
    thinking, answer = chat.split(fmt, codec.decode(ids))
    return replace(
        blank,
        used_extends=outcome.extends,
        end=outcome.end,
        finish_reason=outcome.finish_reason,
        thinking_tokens=len(outcome.thinking_ids),
        output_tokens=len(outcome.output_ids),
        thinking=thinking,
        answer=answer or "",
    )


def graded(samples: Sequence[Sample], questions: Sequence[Question], workers: int) -> list[Sample]:
    """Extract and grade every answer, each distinct pair of answer and gold once."""
    gold = {question.id: question.answer or "" for question in questions}
    pairs = sorted({(sample.answer, gold[sample.question_id]) for sample in samples})
    verdicts = dict(zip(pairs, answers.grade(pairs, workers=workers), strict=True))
    return [
        replace(
            sample,
            extracted=answers.extract(sample.answer),
            is_correct=verdicts[sample.answer, gold[sample.question_id]],
        )
        for sample in samples
    ]


def audit(samples: Sequence[Sample]) -> dict[str, float]:
    """Give the shares without an answer, with one inside the thinking only, and cut ones."""
    none = [sample for sample in samples if sample.extracted is None]
    return {
        "none": len(none) / len(samples),
        "thinking_only": sum(_has_labelled_answer(s.thinking) for s in none) / len(samples),
        "cut": sum(sample.finish_reason == "length" for sample in samples) / len(samples),
    }


def _has_labelled_answer(thinking: str) -> bool:
    """Say whether a box or a label is found; the blank line keeps a short text from being one."""
    return answers.extract(f".\n\n{thinking}") is not None
