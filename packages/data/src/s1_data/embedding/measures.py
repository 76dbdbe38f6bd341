"""Measures how diverse a selection is, beside random selections of the same size.

Each method wins the measure that it optimises, so there are several. Entropy is taken over a
clustering made for it alone (another seed, another count), never over the domains that the
selection was balanced by. All of them see with the embedder's eyes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING

from s1_data.embedding import neighbours
from s1_data.embedding.domains import cluster
from s1_data.embedding.threads import one_thread

if TYPE_CHECKING:
    from s1_data.embedding.vectors import Vectors

RANDOM_SEEDS = range(5)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number of the selection, and what it is for random selections of the same size."""

    name: str
    meaning: str
    value: float
    random_mean: float
    random_low: float
    random_high: float


def compare(
    pool: Vectors, chosen: Sequence[int], *, num_domains: int, seed: int
) -> tuple[Measure, ...]:
    """Measure the rows `chosen` of the pool against five random selections from it.

    `num_domains` and `seed` are those of the clustering that must not be judged by itself.
    """
    drawn = [Random(s).sample(range(len(pool)), len(chosen)) for s in RANDOM_SEEDS]
    num_clusters = 2 * num_domains + 1
    labels = cluster(pool, num_clusters, (seed + 1) % 2**31)
    rules: list[tuple[str, str, Callable[[Sequence[int]], float]]] = [
        (
            "Vendi score",
            "how many rows with nothing in common would be as diverse",
            lambda rows: vendi(pool[rows]),
        ),
        (
            "nearest-neighbour distance",
            "1 - cosine to the nearest other chosen row, mean over the chosen",
            lambda rows: neighbour_distance(pool[rows]),
        ),
        (
            "coverage",
            "cosine to the nearest chosen row, mean over the pool",
            lambda rows: coverage(pool, pool[rows]),
        ),
        (
            "domain entropy",
            f"in nats, over {min(num_clusters, len(pool))} clusters made for this measure alone",
            lambda rows: entropy([labels[i] for i in rows]),
        ),
    ]
    return tuple(
        _measure(name, meaning, rule(list(chosen)), [rule(rows) for rows in drawn])
        for name, meaning, rule in rules
    )


def vendi(rows: Vectors) -> float:
    """Return exp of the entropy of the eigenvalues of the cosine kernel, scaled to sum to 1.

    Between 1 (all rows alike) and the number of rows (all at right angles). Friedman and Dieng,
    2023. The kernel (N, N) and the rows' second moments (D, D) share all eigenvalues but zeros:
    the smaller one is solved.
    """
    import numpy as np

    wide = rows.astype(np.float64)
    with one_thread():
        gram = wide @ wide.T if len(wide) < wide.shape[1] else wide.T @ wide
        found = np.linalg.eigvalsh(gram)
    shares = [float(value) for value in found / found.sum() if value > 0] if found.any() else []
    return math.exp(-math.fsum(share * math.log(share) for share in shares))


def neighbour_distance(rows: Vectors) -> float:
    """Return the mean of 1 - cosine to the nearest other row; 0 for a single row."""
    return 1 - float(neighbours.nearest(rows).mean(dtype=float)) if len(rows) > 1 else 0.0


def coverage(pool: Vectors, rows: Vectors) -> float:
    """Return the mean, over the pool, of the cosine to the nearest of `rows`."""
    return float(neighbours.search(pool, rows, 1)[0].mean(dtype=float))


def entropy(labels: Sequence[int]) -> float:
    """Return the entropy of the labels' shares, in nats."""
    counts = sorted(Counter(labels).values())
    return math.fsum(-n / len(labels) * math.log(n / len(labels)) for n in counts)


def _measure(name: str, meaning: str, value: float, random: Sequence[float]) -> Measure:
    return Measure(
        name=name,
        meaning=meaning,
        value=value,
        random_mean=fmean(random),
        random_low=min(random),
        random_high=max(random),
    )
