"""Methods compared where they cost the same: at equal total tokens, and at equal sequential ones.

Pure. A method is a line of settings from cheap to dear. Between two neighbours a coin decides
question by question: so a method spends any mean budget between its ends exactly, and its accuracy
there is what one would get. Ties are decided as they are when served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from s1_core import metrics
from s1_serve.evaluate.report.comparisons import compare
from s1_serve.evaluate.votes import Outcome

TOTAL, SEQUENTIAL = "total_tokens", "sequential_tokens"
AGAINST = "majority"
_DIGITS = 9
"""A coin's shares are rounded: what is equal but for the last bit is no flip."""


@dataclass(frozen=True)
class Point:
    """One setting of a method, and what each question came to."""

    name: str
    outcomes: Sequence[Outcome]

    def mean(self, axis: str) -> float:
        return fmean(getattr(outcome, axis) for outcome in self.outcomes)

    def column(self, name: str) -> list[float]:
        return [getattr(outcome, name) for outcome in self.outcomes]


@dataclass(frozen=True)
class Mixed:
    """Two settings of a method, the second one for a share of the questions."""

    first: Point
    second: Point
    share: float

    @property
    def names(self) -> list[str]:
        """Name the two settings, or the one that they are."""
        return list(dict.fromkeys([self.first.name, self.second.name]))

    def column(self, name: str) -> list[float]:
        pairs = zip(self.first.column(name), self.second.column(name), strict=True)
        return [round((1 - self.share) * a + self.share * b, _DIGITS) for a, b in pairs]


def mixed(points: Sequence[Point], axis: str, budget: float) -> Mixed | None:
    """Spend a mean budget exactly; None where the method cannot.

    Of several ways the one with the smaller settings is taken.
    """
    means = [point.mean(axis) for point in points]
    for at, mean in enumerate(means):
        if abs(mean - budget) <= 1e-9 * budget:
            return Mixed(points[at], points[at], 0.0)
        if at and min(means[at - 1], mean) < budget < max(means[at - 1], mean):
            share = (budget - means[at - 1]) / (mean - means[at - 1])
            return Mixed(points[at - 1], points[at], share)
    return None


def compared(
    lines: Mapping[str, Sequence[Point]], axis: str, budgets: Sequence[float], seed: int
) -> list[dict[str, Any]]:
    """Give a row for each budget and each method that can spend it.

    `difference` and `verdict` are to the majority vote of the same budget, paired over questions;
    None where that cannot spend it, and for itself.
    """
    rows = []
    for budget in budgets:
        found = {name: mixed(points, axis, budget) for name, points in lines.items()}
        votes = found.get(AGAINST)
        for name, one in found.items():
            if one is not None:
                rows.append(_row(name, one, {"axis": axis, "budget": budget}, seed))
                is_other = votes is not None and name != AGAINST
                rows[-1] |= _against(one, votes, seed) if is_other and votes else _NOT_COMPARED
    return rows


def unit(lines: Mapping[str, Sequence[Point]]) -> float:
    """Give the mean tokens of one trace: the first setting of the majority vote is a single one."""
    return lines[AGAINST][0].mean(TOTAL)


_NOT_COMPARED: dict[str, Any] = {"difference": None, "verdict": None}


def _row(name: str, one: Mixed, place: Mapping[str, Any], seed: int) -> dict[str, Any]:
    credits = one.column("credit")
    return {
        **place,
        "method": name,
        "between": one.names,
        "share": one.share,
        "accuracy": 100.0 * fmean(credits),
        "interval": list(metrics.interval(credits, seed=seed)),
        "mean_total_tokens": fmean(one.column(TOTAL)),
        "mean_sequential_tokens": fmean(one.column(SEQUENTIAL)),
        "mean_samples": fmean(one.column("num_samples")),
    }


def _against(one: Mixed, votes: Mixed, seed: int) -> dict[str, Any]:
    return compare(one.column("credit"), votes.column("credit"), seed)
