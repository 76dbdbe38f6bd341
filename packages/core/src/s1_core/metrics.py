"""The paper's measures of test-time scaling, resampling intervals and the vote's tie rule.

Accuracies are percentages; thinking is counted in tokens, as means over a run.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s1_core.answers import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Limit = float | tuple[float | None, float | None]
Point = tuple[float, float]
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Difference:
    """A difference of two accuracies in percentage points, with its 95 % interval."""

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
    logs = [(math.log2(tokens), accuracy) for tokens, accuracy in points if tokens > 0]
    slopes = [
        (accuracy_b - accuracy_a) / (b - a)
        for (a, accuracy_a), (b, accuracy_b) in itertools.combinations(logs, 2)
        if a != b
    ]
    return math.fsum(slopes) / len(slopes) if slopes else None


def performance(points: Sequence[Point]) -> float:
    """Give the best accuracy of all runs (equation 3)."""
    return max(accuracy for _, accuracy in points)


def interval(
    correct: Sequence[float], *, seed: int, num_resamples: int = 10_000
) -> tuple[float, float]:
    """Give the 95 % percentile-bootstrap interval of an accuracy, over questions, in percent."""
    import numpy as np

    means = _resampled_means(np.asarray(correct, dtype=np.float64), seed, num_resamples)
    lo, hi = np.percentile(means, [2.5, 97.5])
    return float(lo), float(hi)


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], *, seed: int, num_resamples: int = 10_000
) -> Difference:
    """Give accuracy of `a` minus that of `b` on the same questions in the same order."""
    import numpy as np

    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} results; a paired comparison wants the same")
    gains = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    lo, hi = np.percentile(_resampled_means(gains, seed, num_resamples), [2.5, 97.5])
    return Difference(mean=100.0 * float(gains.mean()), lo=float(lo), hi=float(hi))


def vote_credit(answers: Sequence[str | None], is_right: Callable[[str], bool]) -> float:
    """Give the credit of a majority vote: a tie shares it equally among the leading answers.

    Answers are counted by their normal form; None (no answer) has no vote.
    """
    votes = Counter(normalise(answer) for answer in answers if answer is not None)
    if not votes:
        return 0.0
    spelt = {normalise(answer): answer for answer in reversed(answers) if answer is not None}
    most = max(votes.values())
    leaders = [answer for answer, count in votes.items() if count == most]
    return sum(is_right(spelt[answer]) for answer in leaders) / len(leaders)


def flips(before: Sequence[bool], after: Sequence[bool]) -> tuple[int, int]:
    """Count the questions that went from wrong to right, and from right to wrong."""
    pairs = list(zip(before, after, strict=True))
    return sum(b > a for a, b in pairs), sum(a > b for a, b in pairs)


def _resampled_means(
    values: NDArray[np.float64], seed: int, num_resamples: int
) -> NDArray[np.float64]:
    """Draw resamples of the questions, in blocks of bounded memory; means in percent."""
    import numpy as np

    if not len(values):
        raise ValueError("no results to resample; wanted at least one question")
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // len(values))
    means = [
        values[rng.integers(len(values), size=(min(rows, num_resamples - at), len(values)))].mean(1)
        for at in range(0, num_resamples, rows)
    ]
    joined: NDArray[np.float64] = np.concatenate(means)
    return joined * 100.0
