"""Runs compared question by question: extends against none, and source by source."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from s1_core import metrics
from s1_core.records import Question
from s1_serve.evaluate.config import BUDGET, EXTENDS
from s1_serve.evaluate.report.runs import Results, Run
from s1_serve.evaluate.samples import Measured

BETTER, WORSE, UNCLEAR = "better", "worse", "not distinguishable"
LEVEL = 0.05
"""how often a comparison of equals may be called better or worse, at most"""


def compare(a: Sequence[float], b: Sequence[float], seed: int) -> dict[str, Any]:
    """Give `difference`, `a` less `b` in points with its paired interval, and its `verdict`.

    Better or worse needs both that the interval leaves out 0 and that the sign test is below
    `LEVEL`: a bootstrap of few flips never draws the flips that were as likely.
    """
    gap = metrics.paired_bootstrap(a, b, seed=seed)
    is_clear = sign_test(*metrics.flips(b, a)) < LEVEL
    verdict = BETTER if is_clear and gap.lo > 0 else WORSE if is_clear and gap.hi < 0 else UNCLEAR
    return {"difference": asdict(gap), "verdict": verdict}


def sign_test(gained: int, lost: int) -> float:
    """Give the exact two-sided p of so uneven flips, were a gain and a loss equally likely."""
    num_flips = gained + lost
    tail = sum(math.comb(num_flips, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / (1 << num_flips))


def extends(found: Results, wait: str, seed: int) -> list[Run]:
    """Compare every run with extends to the one without, question by question.

    Control arms are also compared to the string under test at the same count: is it the string?
    """
    none = found.extended(wait, 0)
    extended = [one for one in found.by(EXTENDS) if one.setting.extends]
    if none is None:
        return []
    return [
        {"benchmark": found.benchmark}
        | _compared(one, none, seed)
        | {"against_test_string": _against_tested(one, found, wait, seed)}
        for one in extended
    ]


def sources(
    found: Results, questions: Sequence[Question], wait: str, seed: int
) -> list[dict[str, Any]]:
    """Give, for each source of questions, the accuracy in percent at once, freely and extended.

    `at_once` is a maximum of 0, `free` the run without forcing, `extended` the fewest extends by
    `wait`; None where it was not run. Largest gain first.
    """
    counts = {one.setting.extends for one in found.by(EXTENDS) if one.setting.extend_with == wait}
    fewest = min(counts - {0}, default=0)
    cut = [one for one in found.by(BUDGET) if one.setting.max == 0]
    runs = {
        "at_once": next(iter(cut), None),
        "free": found.extended(wait, 0) or found.unforced(),
        "extended": found.extended(wait, fewest) if fewest else None,
    }
    by_source = {
        name: [at for at, question in enumerate(questions) if question.source_type == name]
        for name in sorted({question.source_type for question in questions})
    }
    rows = [
        {"benchmark": found.benchmark, "source": name, "num_questions": len(places)}
        | {"extends": fewest}
        | _on_source({run: _correct(one, places) for run, one in runs.items()}, seed)
        for name, places in by_source.items()
    ]
    return sorted(rows, key=_gain, reverse=True)


def _compared(one: Measured, none: Measured, seed: int) -> Run:
    to_right, to_wrong = metrics.flips(none.correct, one.correct)
    thinking = [sample.thinking_tokens for sample in one.samples]
    counted = [tokens for tokens in thinking if tokens is not None]
    return {
        "run": one.setting.label,
        "extend_with": one.setting.extend_with,
        "extends": one.setting.extends,
        "accuracy": 100.0 * fmean(one.correct),
        "without": 100.0 * fmean(none.correct),
        **compare(one.correct, none.correct, seed),
        "wrong_to_right": to_right,
        "right_to_wrong": to_wrong,
        "mean_used_extends": fmean(sample.used_extends for sample in one.samples),
        "mean_thinking_tokens": fmean(counted) if counted == thinking else None,
    }


def _against_tested(one: Measured, found: Results, wait: str, seed: int) -> dict[str, float] | None:
    tested = found.extended(wait, one.setting.extends)
    if tested is None or one.setting.extend_with == wait:
        return None
    return asdict(metrics.paired_bootstrap(tested.correct, one.correct, seed=seed))


def _correct(one: Measured | None, places: Sequence[int]) -> list[bool] | None:
    return None if one is None else [one.correct[at] for at in places]


def _on_source(correct: dict[str, list[bool] | None], seed: int) -> dict[str, Any]:
    free, extended = correct["free"], correct["extended"]
    shares = {run: None if each is None else 100.0 * fmean(each) for run, each in correct.items()}
    if free is None or extended is None:
        return shares | {"difference": None, "verdict": None}
    return shares | compare(extended, free, seed)


def _gain(row: dict[str, Any]) -> float:
    return row["difference"]["mean"] if row["difference"] else 0.0
