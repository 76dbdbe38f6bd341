"""How sure a trace was of its tokens: sliding means of their confidences (arXiv 2508.15260).

A token's confidence is minus the mean of its top logprobs. A group is `window` tokens in a row; a
trace shorter than that is one group. None where there is no number to be had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

_ROUNDING = 1e-9
"""relative: sums in another order must not put a trace below itself"""


def groups(confidences: Sequence[float], window: int) -> list[float]:
    """Give the mean of every group, by one running sum."""
    if len(confidences) <= window:
        return [sum(confidences) / len(confidences)] if confidences else []
    sums = [0.0, *accumulate(confidences)]
    return [(sums[end] - sums[end - window]) / window for end in range(window, len(sums))]


def least(confidences: Sequence[float], window: int) -> float | None:
    """Give the mean of the least sure group."""
    return _number(min(groups(confidences, window), default=None))


def bottom(confidences: Sequence[float], window: int, share: float = 0.1) -> float | None:
    """Give the mean over the `share` of groups that are the least sure."""
    found = sorted(groups(confidences, window))
    lowest = found[: max(1, int(len(found) * share))]
    return _number(sum(lowest) / len(lowest)) if lowest else None


def tail(confidences: Sequence[float], window: int) -> float | None:
    """Give the mean of the last group."""
    last = confidences[-window:]
    return _number(sum(last) / len(last)) if last else None


def newest(confidences: Sequence[float], window: int, news: int) -> float | None:
    """Give the least mean of the whole groups that end within the last `news` tokens.

    Costs a slice and `news` additions, however long the trace is.
    """
    if len(confidences) < window:
        return None
    recent = confidences[-(window + news - 1) :]
    lowest = total = sum(recent[:window])
    for gone, come in zip(recent, recent[window:], strict=False):
        total += come - gone
        lowest = min(lowest, total)
    return _number(lowest / window)


def percentile(values: Sequence[float], percent: float) -> float:
    """Give a percentile, with straight lines between the values."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def is_below(value: float, threshold: float) -> bool:
    """Say whether a confidence is below a threshold by more than rounding."""
    return value < threshold - _ROUNDING * max(1.0, abs(threshold))


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
