"""How often the accuracy gates are wrong, by simulation, and how often an equal candidate passes.

A greedy run loses some questions whole and gains others; of 16 samples a question, the chance of
being right stays, is drawn anew, or falls to none. `plain` is the percentile bootstrap alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s1_core import metrics
from s1_core.metrics import Resampling

TITLE = "non-inferiority gates, 1,000 trials a row: percent that pass"
HOW = Resampling(confidence=0.95, num_resamples=1000, seed=0)
NUM_TRIALS, NUM_SAMPLES = 1000, 16
Draw = Callable[[np.random.Generator], NDArray[np.float64]]


def greedy(num: int, lost: float, gained: float) -> Draw:
    """Draw what each question gains: -1, 0 or 1."""

    def draw(rng: np.random.Generator) -> NDArray[np.float64]:
        at = rng.random(num)
        return np.where(at < lost, -1.0, np.where(at < lost + gained, 1.0, 0.0))

    return draw


def sampled(num: int, lost: float) -> Draw:
    """Draw the difference of the means of 16 samples; a share of the questions is lost whole."""

    def draw(rng: np.random.Generator) -> NDArray[np.float64]:
        before = rng.beta(0.5, 0.5, num)
        after = np.where(rng.random(num) < 2 * lost, 0.0, before)
        right = rng.binomial(NUM_SAMPLES, after) - rng.binomial(NUM_SAMPLES, before)
        return right / NUM_SAMPLES

    return draw


CASES = (
    ("worse by the margin", 30, 5.0, greedy(30, 0.05, 0.0)),
    ("worse by the margin", 60, 5.0, greedy(60, 0.05, 0.0)),
    ("worse by the margin", 60, 10.0, greedy(60, 0.12, 0.02)),
    ("worse by the margin", 500, 3.5, greedy(500, 0.065, 0.03)),
    ("worse by the margin, 16 samples", 60, 10.0, sampled(60, 0.10)),
    ("worse by the margin, 16 samples", 500, 3.5, sampled(500, 0.035)),
    ("as good: math500, greedy", 500, 3.5, greedy(500, 0.03, 0.03)),
    ("as good: gpqa_diamond, 16 samples", 198, 5.0, sampled(198, 0.0)),
    ("as good: aime24 alone at 12 points, 16 samples", 30, 12.0, sampled(30, 0.0)),
    ("as good: aime24 and aime25, 16 samples", 60, 10.0, sampled(60, 0.0)),
)


def rows() -> list[dict[str, Any]]:
    """Simulate every case by both bootstraps."""
    return list(_rows())


def _rows() -> Iterator[dict[str, Any]]:
    for about, num, margin, draw in CASES:
        rng = np.random.default_rng(num)
        trials = [draw(rng) for _ in range(NUM_TRIALS)]
        yield {
            "candidate": about,
            "questions": num,
            "margin": margin,
            "gate": _percent(_bound(gains) > -margin for gains in trials),
            "plain": _percent(_plain(gains) > -margin for gains in trials),
        }


def _bound(gains: NDArray[np.float64]) -> float:
    table = [[gain] for gain in gains]
    return metrics.one_sided(table, [-1.0], [1.0], lambda means: 100 * means[:, 0], HOW).lo


def _plain(gains: NDArray[np.float64]) -> float:
    """Give the lower 5 % of the means of questions drawn anew, as it comes."""
    drawn = np.random.default_rng(0).integers(len(gains), size=(HOW.num_resamples, len(gains)))
    return float(np.percentile(100 * gains[drawn].mean(1), 5))


def _percent(passed: Iterator[bool]) -> str:
    return f"{100 * np.mean(list(passed)):.1f}"
