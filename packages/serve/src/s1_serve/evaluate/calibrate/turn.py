"""The temperature at which a model's entropy turns: TURN (arXiv 2502.05234).

Pure. The log of the mean token entropy first falls in slope, then rises: from its first convex
point on, heat brings noise rather than variety. Entropies come from the top logprobs alone, which
is approximate, the more so the hotter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

BEST_OF = 0.1
"""what a best of N wants above a vote"""


def entropy(tops: Iterable[Sequence[float]], temperature: float) -> tuple[float, int]:
    """Sum the entropies of tokens, in nats, from their raw top logprobs; give how many they are.

    The top ones are taken for the whole distribution: their tempered shares are made to sum to 1,
    which is the division by the covered mass. A token without logprobs is none.
    """
    total, count = 0.0, 0
    for logprobs in tops:
        heated = [one / temperature for one in logprobs if math.isfinite(one)]
        if not heated:
            continue
        most = max(heated)
        weights = [math.exp(one - most) for one in heated]
        mass = math.fsum(weights)
        shares = [weight / mass for weight in weights]
        total += -math.fsum(share * math.log(share) for share in shares if share > 0.0)
        count += 1
    return total, count


def turning_point(temperatures: Sequence[float], entropies: Sequence[float]) -> float | None:
    """Give the first inner temperature where the log of entropy is convex, else the last one.

    None where entropy cannot be told: too few points, or one without any entropy.
    """
    if len(temperatures) < 3 or not all(value > 0.0 for value in entropies):
        return None
    logs = [math.log(value) for value in entropies]
    for at in range(1, len(logs) - 1):
        if logs[at - 1] - 2 * logs[at] + logs[at + 1] > 0:
            return temperatures[at]
    return temperatures[-1]
