"""One answer of one run as a row: what was generated, what was extracted, whether it is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from s1_core import answers, chat
from s1_core.records import Question
from s1_serve.evaluate.config import REJECTION
from s1_serve.evaluate.judge import Case, Judge
from s1_serve.evaluate.settings import Setting


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A row of samples.parquet; what counts tokens counts ids."""

    benchmark: str
    run: str
    """`Setting.label`"""
    method: str
    question_id: str
    sample: int
    seed: int
    max: int | None
    """the maximum in force; None where nothing was forced"""
    min: int
    extends: int
    extend_with: str
    control: str
    limit: int | None
    used_extends: int
    tries: int
    """answers drawn until this one was taken; the last was not taken if `end` is not natural"""
    end: str
    finish_reason: str
    thinking_tokens: int | None
    """of a strategy only those of the answer it chose; None where an endpoint does not say"""
    output_tokens: int
    """of the answer, thinking and all; of a strategy only of the one it chose"""
    total_tokens: int
    """of all tries, without stop tokens; of all calls of a strategy, with them"""
    sequential_tokens: int
    """of those, the ones that came one after another"""
    thinking: str
    answer: str
    extracted: str | None
    is_correct: bool
    graded_by: str
    """rules or judge"""
    is_kept: bool = True
    """False where the server's answer says that another budget was in force"""
    mean_logprob: float | None = None
    """of the answer's tokens, thinking and all; None where it was not asked for"""
    strategy: str = ""
    """of method strategy: as catalogue.parse reads it"""
    num_started: int = 1
    """candidates; tries where there is no strategy"""
    num_aborted: int = 0
    aborted_tokens: int = 0
    """of `total_tokens`: of candidates that were stopped before their end"""
    verifier_tokens: int = 0
    """of `total_tokens`: what judged candidates"""
    is_degraded: bool = False
    """a strategy had to choose by less than it was told to"""
    decision: str = "{}"
    """of a strategy, as JSON: votes, margin, selected, why"""


@dataclass(frozen=True)
class Measured:
    """A run on one benchmark: its graded samples, those of one question next to each other."""

    setting: Setting
    benchmark: str
    samples: Sequence[Sample]

    @property
    def correct(self) -> list[bool]:
        return [sample.is_correct for sample in self.samples]

    @property
    def is_enforced(self) -> bool | None:
        """Say whether every answer kept its budget; None where an endpoint does not count."""
        return is_enforced(self.samples)


def is_enforced(samples: Iterable[Sample]) -> bool | None:
    """Say whether every answer kept its budget; None where it cannot be said."""
    found = list(samples)
    bound = [sample for sample in found if sample.max is not None or sample.min]
    if any(sample.thinking_tokens is None for sample in bound):
        return None
    return all(_keeps(sample) for sample in found)


def _keeps(sample: Sample) -> bool:
    tokens = sample.thinking_tokens or 0
    is_enough = sample.min <= tokens or sample.end == "length"
    is_few = sample.max is None or tokens <= sample.max
    return sample.is_kept and is_enough and is_few


def graded(
    samples: Sequence[Sample],
    questions: Sequence[Question],
    workers: int,
    judge: Judge | None = None,
) -> list[Sample]:
    """Extract and grade every answer, each distinct pair of answer and gold once.

    A rejected answer is wrong whatever it says. The judge hears of what the rules call wrong.
    """
    asked = {question.id: question for question in questions}
    gold = {name: question.answer or "" for name, question in asked.items()}
    pairs = sorted({(sample.answer, gold[sample.question_id]) for sample in samples})
    extracted = {answer: answers.extract(answer) for answer, _ in pairs}
    verdicts = dict(zip(pairs, answers.grade(pairs, workers=workers), strict=True))
    found = [
        replace(
            sample,
            extracted=extracted[sample.answer],
            is_correct=verdicts[sample.answer, gold[sample.question_id]]
            and not _is_rejected(sample),
            graded_by="rules",
        )
        for sample in samples
    ]
    return _judged(found, asked, judge) if judge else found


def _judged(samples: Sequence[Sample], asked: Mapping[str, Question], judge: Judge) -> list[Sample]:
    """Make right what the judge says yes to; without a verdict the rules stand."""
    cases = {
        index: Case(question=question.question, answer=sample.answer, gold=question.answer)
        for index, sample in enumerate(samples)
        if (question := asked[sample.question_id]).answer
        and sample.answer.strip()
        and not (sample.is_correct or _is_rejected(sample))
    }
    verdicts = dict(zip(cases, judge.verdicts(list(cases.values())), strict=True))
    return [
        replace(sample, is_correct=True, graded_by="judge") if verdicts.get(index) else sample
        for index, sample in enumerate(samples)
    ]


def _is_rejected(sample: Sample) -> bool:
    """Say whether rejection sampling ran out of tries without an answer that it could take."""
    return sample.method == REJECTION and sample.end != "natural"


def audit(samples: Sequence[Sample]) -> dict[str, float]:
    """Give the shares without an answer, with one inside the thinking only, and cut ones."""
    num = max(len(samples), 1)
    none = [sample for sample in samples if sample.extracted is None]
    return {
        "none": len(none) / num,
        "thinking_only": sum(_has_labelled_answer(s.thinking) for s in none) / num,
        "cut": sum(sample.finish_reason == "length" for sample in samples) / num,
    }


def _has_labelled_answer(thinking: str) -> bool:
    """Say whether a box or a label is found, in any step.

    The blank line keeps a short text from being an answer by itself.
    """
    text = chat.neutralise(thinking).strip()
    return bool(text) and answers.extract(f".\n\n{text}") is not None
