"""The paired bootstrap of a report: 10,000 resamples of 500 questions, against scipy's.

Both draw the questions anew and take percentiles of the means; scipy's `bootstrap` is given the
differences of the pairs, its default batch (all at once) and one that stays in the cache.
"""

from collections.abc import Callable

TITLE = "paired bootstrap: 10,000 resamples of 500 questions"
PEER = "scipy.stats.bootstrap, percentile"
NUM_QUESTIONS, NUM_RESAMPLES = 500, 10_000


def arms() -> dict[str, Callable[[], object]]:
    """Two runs that differ on a fifth of the questions."""
    import numpy as np
    from scipy.stats import bootstrap

    from s1_core import metrics

    rng = np.random.default_rng(0)
    a = (rng.random(NUM_QUESTIONS) < 0.6).astype(float)
    b = np.where(rng.random(NUM_QUESTIONS) < 0.2, 1 - a, a)

    def peer(batch: int | None) -> object:
        return bootstrap(
            (a - b,), np.mean, n_resamples=NUM_RESAMPLES, method="percentile", batch=batch, rng=0
        )

    return {
        PEER: lambda: peer(None),
        "the same in batches of 256": lambda: peer(256),
        "s1_core.metrics.paired_bootstrap": lambda: metrics.paired_bootstrap(
            list(a), list(b), seed=0, num_resamples=NUM_RESAMPLES
        ),
    }
