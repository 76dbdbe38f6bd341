"""The paper's measures of test-time scaling, those of repeated sampling, resampling intervals.

Accuracies are percentages; thinking is counted in tokens, as means over a run. Intervals are drawn
over questions: what several samples of one question earn is averaged before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Limit = float | tuple[float | None, float | None]
Point = tuple[float, float]
_BLOCK = 1 << 15
"""Draws at a time. 500 x 10,000 took 21 ms of CPU; 1 << 17, whose arrays the allocator hands back
to the system each time, took 52 ms."""


@dataclass(frozen=True)
class Difference:
    """A difference of two accuracies in percentage points, with its 95 % interval."""

    mean: float
    lo: float
    hi: float


@dataclass(frozen=True)
class Resampling:
    """How questions are drawn anew, and how sure a one-sided bound has to be (0.95: 95 %)."""

    confidence: float
    num_resamples: int
    seed: int


@dataclass(frozen=True)
class Bounds:
    """An estimate and its two one-sided bounds; each by itself holds at the confidence asked."""

    mean: float
    lo: float
    hi: float


def control(means: Sequence[float], limits: Sequence[Limit]) -> float:
    """Give the percentage of runs whose mean thinking tokens keep their limit (equation 1).

    A limit is a maximum or a (minimum, maximum) pair, None where open; equality keeps it.
    """
    if not means or len(means) != len(limits):
        raise ValueError(f"{len(means)} runs but {len(limits)} limits; wanted one each")
    kept = 0
    for mean, limit in zip(means, limits, strict=True):
        low, high = limit if isinstance(limit, tuple) else (None, limit)
        kept += (low is None or low <= mean) and (high is None or mean <= high)
    return 100.0 * kept / len(means)


def scaling(points: Sequence[Point]) -> float | None:
    """Give the mean slope over all pairs, in percentage points per doubling (equation 2).

    Points are (mean thinking tokens, accuracy). The published table comes out with log2 of the
    tokens alone, so a point without thinking has no place and is left out, and so are pairs of
    equal length. None when no pair remains.
    """
    return _mean_slope([(math.log2(tokens), accuracy) for tokens, accuracy in points if tokens > 0])


def scaling_per_1000(points: Sequence[Point]) -> float | None:
    """Give the mean slope over all pairs, in percentage points per 1,000 thinking tokens.

    Equation 2 as it is printed, which is not what the published table holds: see `scaling`.
    """
    return _mean_slope([(tokens / 1000, accuracy) for tokens, accuracy in points])


def performance(points: Sequence[Point]) -> float:
    """Give the best accuracy of all runs (equation 3)."""
    return max(accuracy for _, accuracy in points)


def pass_at_k(num_samples: int, num_right: int, k: int) -> float:
    """Estimate without bias how likely k samples hold a right one (arXiv 2107.03374).

    1 - C(n-c, k) / C(n, k) in whole numbers, so that only the last division rounds.
    """
    if not (0 <= num_right <= num_samples and 1 <= k <= num_samples):
        raise ValueError(f"{num_right} right of {num_samples}, k {k}; wanted k from 1 to the count")
    draws = math.comb(num_samples, k)
    return (draws - math.comb(num_samples - num_right, k)) / draws


def coverage(right: Sequence[Sequence[bool]]) -> float:
    """Give the percentage of questions that at least one of their samples gets right."""
    if not right:
        raise ValueError("no questions to cover; wanted at least one")
    return 100.0 * sum(any(samples) for samples in right) / len(right)


def interval(
    correct: Sequence[float], *, seed: int, num_resamples: int = 10_000
) -> tuple[float, float]:
    """Give the 95 % percentile-bootstrap interval of an accuracy, over questions, in percent."""
    import numpy as np

    means = _resampled_means(np.asarray(correct, dtype=np.float64), seed, num_resamples)
    lo, hi = np.percentile(100.0 * means, [2.5, 97.5])
    return float(lo), float(hi)


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], *, seed: int, num_resamples: int = 10_000
) -> Difference:
    """Give accuracy of `a` minus that of `b` on the same questions in the same order."""
    import numpy as np

    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} results; a paired comparison wants the same")
    gains = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    lo, hi = np.percentile(100.0 * _resampled_means(gains, seed, num_resamples), [2.5, 97.5])
    return Difference(mean=100.0 * float(gains.mean()), lo=float(lo), hi=float(hi))


def one_sided(
    questions: ArrayLike,
    worst: ArrayLike,
    best: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    how: Resampling,
) -> Bounds:
    """Bound a statistic of the means over questions, by a percentile bootstrap with one more.

    A question is a row of numbers; `statistic` turns rows of their means into a number each, nan
    where it has none. The lower bound is drawn from the questions and one imagined, `worst` row,
    the upper one from them and the `best` row. Without it a bootstrap never draws what was not
    seen: of 30 questions without a change it is certain, and candidates that lose 1 question in 20
    whole passed as no worse 24 times in 100, wanted 5 (`just bench evaluate`). With it the bound of
    no change is 3 / (n + 1), the rule of three, and a bound after k losses is about the exact one
    of Clopper and Pearson.
    """
    import numpy as np

    rows = np.asarray(questions, dtype=np.float64)
    tail = 100.0 * (1.0 - how.confidence)
    lower, upper = (
        statistic(_resampled_means(np.vstack([rows, extra]), how.seed, how.num_resamples))
        for extra in (worst, best)
    )
    lo = np.percentile(np.nan_to_num(lower, nan=-np.inf), tail, method="lower")
    hi = np.percentile(np.nan_to_num(upper, nan=np.inf), 100.0 - tail, method="higher")
    return Bounds(mean=float(statistic(rows.mean(0)[None])[0]), lo=float(lo), hi=float(hi))


def flips(before: Sequence[float], after: Sequence[float]) -> tuple[int, int]:
    """Count the questions that gained (went from wrong to right), and those that lost."""
    pairs = list(zip(before, after, strict=True))
    return sum(b > a for a, b in pairs), sum(a > b for a, b in pairs)


def _mean_slope(points: Sequence[Point]) -> float | None:
    slopes = [
        (accuracy_b - accuracy_a) / (b - a)
        for (a, accuracy_a), (b, accuracy_b) in itertools.combinations(points, 2)
        if a != b
    ]
    return math.fsum(slopes) / len(slopes) if slopes else None


def _resampled_means(
    values: NDArray[np.float64], seed: int, num_resamples: int
) -> NDArray[np.float64]:
    """Draw resamples of the questions, in blocks of bounded memory; a mean for each column."""
    import numpy as np

    if not len(values):
        raise ValueError("no results to resample; wanted at least one question")
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // values.size)
    means = [
        values[rng.integers(len(values), size=(min(rows, num_resamples - at), len(values)))].mean(1)
        for at in range(0, num_resamples, rows)
    ]
    joined: NDArray[np.float64] = np.concatenate(means)
    return joined
