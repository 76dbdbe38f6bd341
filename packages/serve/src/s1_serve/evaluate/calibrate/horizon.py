"""Is a model right when it thinks briefly, or when it thinks long? (arXiv 2512.02008, Table 1)

Pure. A question is easy or hard by the share of its traces that are right, a trace short or long by
the model's mean length; only questions with both kinds of trace tell anything. A family is named
only where the paired differences are beyond chance: many of the paper's own are not.

Traces without an answer are in no cell, where the paper counts them as wrong. Most were cut at the
maximum: all of them long, whatever the model would have said; a tight maximum alone would make any
model short-horizon. Stored samples do not say which were cut, so none of them counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any, Protocol

from s1_core import metrics
from s1_serve.evaluate.report import statements
from s1_serve.evaluate.report.comparisons import BETTER, UNCLEAR, WORSE
from s1_serve.strategies.calibration import LONG, NON_REASONING, SHORT, UNKNOWN, Calibration

LEAST_TRACES = 8
"""of a question, as in the paper"""
LEAST_FLIPS = 6
"""questions that differ, before a difference counts: of fewer, equals all fall on one side more
often than once in 20, which a bootstrap of them cannot see"""
EASY, HARD = "easy", "hard"


class Traces(Protocol):
    """All traces of one question: what each answers, which are right, how many tokens each has."""

    @property
    def answers(self) -> Sequence[str | None]: ...

    @property
    def right(self) -> Sequence[bool]: ...

    @property
    def lengths(self) -> Sequence[int]: ...


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Short traces or long ones, of the easy or the hard questions; percent."""

    accuracy: float | None
    interval: list[float] | None


@dataclass(frozen=True, kw_only=True)
class Half:
    """The easy or the hard questions that have short traces and long ones."""

    num_questions: int
    short: Cell
    long: Cell
    difference: dict[str, float] | None
    """short less long, in points, paired over questions"""
    verdict: str
    """better: short ones are"""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The four cells of the paper's Table 1, and what parted them."""

    cut: float
    """tokens: a longer trace is long; 0 where no trace has an answer"""
    most_difficult_easy: float
    """1 - accuracy: a question of more is hard"""
    easy: Half
    hard: Half
    num_left_out: int
    """traces without an answer"""

    def family(self, thinks: bool = True) -> str:
        """Name the model's family; a model without thinking is told by its making, not by this."""
        if not thinks:
            return NON_REASONING
        families = {(BETTER, BETTER): SHORT, (BETTER, WORSE): LONG}
        return families.get((self.easy.verdict, self.hard.verdict), UNKNOWN)


def measured(questions: Iterable[Traces], seed: int) -> Grid:
    """Measure the grid. Easy is at most the median difficulty, as half may be of one difficulty."""
    asked = list(questions)
    answered = [found for each in asked if (found := _answered(each))]
    lengths = [length for each in answered for _, length in each]
    cut = fmean(lengths or [0])
    difficulty = [1 - fmean(right for right, _ in each) for each in answered]
    middle = median(difficulty or [0.0])
    pairs = [_parted(each, cut) for each in answered]
    halves = {
        EASY: [p for p, hard in zip(pairs, difficulty, strict=True) if p and hard <= middle],
        HARD: [p for p, hard in zip(pairs, difficulty, strict=True) if p and hard > middle],
    }
    easy, hard = (_half(halves[name], seed) for name in (EASY, HARD))
    left_out = sum(len(each.lengths) for each in asked) - len(lengths)
    return Grid(cut=cut, most_difficult_easy=middle, easy=easy, hard=hard, num_left_out=left_out)


def told(grid: Grid) -> str:
    """Write the differences of a grid in one clause, and how many traces they are without."""
    halves = [
        f"{name} {statements.shown(half.difference)} ({half.num_questions})"
        if half.difference
        else f"{name} none to compare"
        for name, half in ((EASY, grid.easy), (HARD, grid.hard))
    ]
    left_out = f"; {grid.num_left_out} traces without an answer left out"
    return (
        f"short traces less long ones: {', '.join(halves)}{left_out if grid.num_left_out else ''}"
    )


def calibration(
    grid: Grid, mean_tokens: float, *, thinks: bool = True, **facts: Any
) -> Calibration:
    """Say of a model what `auto` goes by, with the numbers behind it and whatever else is known."""
    told_of = {"why": told(grid), "grid": asdict(grid), **facts}
    return Calibration(family=grid.family(thinks), mean_tokens=mean_tokens, facts=told_of)


def _answered(question: Traces) -> list[tuple[bool, int]]:
    """Give (is right, length) of the traces with an answer."""
    rows = zip(question.answers, question.right, question.lengths, strict=True)
    return [(right, length) for answer, right, length in rows if answer is not None]


def _parted(traces: Sequence[tuple[bool, int]], cut: float) -> tuple[float, float] | None:
    """Give the shares right of the short traces and of the long ones; None without both."""
    short = [right for right, length in traces if length <= cut]
    long = [right for right, length in traces if length > cut]
    return (fmean(short), fmean(long)) if short and long else None


def _half(pairs: Sequence[tuple[float, float]], seed: int) -> Half:
    if not pairs:
        none = Cell(accuracy=None, interval=None)
        return Half(num_questions=0, short=none, long=none, difference=None, verdict=UNCLEAR)
    short, long = ([pair[at] for pair in pairs] for at in (0, 1))
    return Half(
        num_questions=len(pairs),
        short=_cell(short, seed),
        long=_cell(long, seed),
        **_compared(short, long, seed),
    )


def _compared(short: Sequence[float], long: Sequence[float], seed: int) -> dict[str, Any]:
    """Give short less long and its verdict: the interval has to leave out 0.

    Not by the sign test of 0/1 flips: these are shares, and how much they differ counts.
    """
    gap = metrics.paired_bootstrap(short, long, seed=seed)
    is_clear = sum(metrics.flips(long, short)) >= LEAST_FLIPS
    verdict = BETTER if is_clear and gap.lo > 0 else WORSE if is_clear and gap.hi < 0 else UNCLEAR
    return {"difference": asdict(gap), "verdict": verdict}


def _cell(shares: Sequence[float], seed: int) -> Cell:
    bounds = metrics.interval(shares, seed=seed)
    return Cell(accuracy=100.0 * fmean(shares), interval=list(bounds))
