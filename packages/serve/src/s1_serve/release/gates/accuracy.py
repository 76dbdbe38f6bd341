"""Does the candidate answer as well? Paired by question, one-sided, against production and a floor.

A question is one observation, however many samples it has: its credits are averaged first.
Non-inferiority alone would let every release lose a margin to the one before; the floor does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING

from s1_core import metrics
from s1_serve.release.gates import bounds
from s1_serve.release.gates.evidence import Evidence, Judgement, Lacking, judged
from s1_serve.release.rules import Accuracy, Rules
from s1_serve.release.verdicts import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def name(rule: Accuracy) -> str:
    """Name what is compared."""
    return f"{'+'.join(rule.benchmarks)}, {rule.run}"


def floor(rules: Rules, rule: Accuracy, candidate: Evidence) -> Row:
    """Hold the accuracy against what every release has to be above."""

    def judge() -> Judgement:
        earned = list(_credits(rules, rule, candidate).values())
        found = _bounds(earned, (0.0, 1.0), rules)
        return bounds.above(found, rule.floor, is_signed=False)

    return judged(f"floor: {name(rule)}", f"above {rule.floor:g} %", judge)


def against(rules: Rules, rule: Accuracy, candidate: Evidence, production: Evidence) -> Row:
    """Hold candidate less production, in points, against the margin."""

    def judge() -> Judgement:
        after, before = (_credits(rules, rule, one) for one in (candidate, production))
        check_questions(after, before)
        gains = [after[question] - before[question] for question in sorted(after)]
        found = _bounds(gains, (-1.0, 1.0), rules)
        gained, lost = metrics.flips(list(before.values()), [after[q] for q in before])
        verdict, said = bounds.above(found, -rule.margin, is_signed=True)
        return verdict, f"{said}; {gained} questions gained, {lost} lost of {len(gains)}"

    return judged(f"accuracy: {name(rule)}", f"above {-rule.margin:+g} points", judge)


def check_questions(after: Mapping[str, object], before: Mapping[str, object]) -> None:
    """Refuse two runs that asked other questions."""
    if after.keys() != before.keys():
        raise Lacking(
            f"other questions: {len(after.keys() - before.keys())} only in the candidate's report,"
            f" {len(before.keys() - after.keys())} only in production's"
        )


def _credits(rules: Rules, rule: Accuracy, one: Evidence) -> dict[str, float]:
    groups = one.measured.asked(rules, rule.benchmarks, rule.run, rule.num_samples)
    return {q: fmean(s.is_correct for s in group) for q, group in groups.items()}


def _bounds(values: list[float], reach: tuple[float, float], rules: Rules) -> metrics.Bounds:
    """Bound a mean in percent; the imagined question earns the least, or the most, one can."""
    rows = [[value] for value in values]
    worst, best = ([end] for end in reach)
    return metrics.one_sided(rows, worst, best, _percent, rules.resampling)


def _percent(means: NDArray[np.float64]) -> NDArray[np.float64]:
    return 100.0 * means[:, 0]
