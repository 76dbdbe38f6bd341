"""Particle filtering over steps (arXiv 2502.01618; its_hub): resample every step by the scores.

Differs from its_hub: finished paths that were resampled away still compete in the end, and there
are no Gibbs iterations.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies.search.rounds import Grown, Parents, Search, goes_on, logit, stands


@dataclass(frozen=True, kw_only=True)
class Particles(Search):
    """Move `n` particles a step at a time; each is drawn anew by the softmax of their log odds.

    A finished particle stays one and may be drawn: it takes the place of one that would go on.
    """

    name: ClassVar[str] = "particles"
    depth: int = 50
    """Most rounds; the last one thinks to the end."""
    vote: str = "best"
    """Who answers: best (the highest score) or weighted (equal answers add their scores)."""

    def following(self, grown: Grown) -> Parents:
        """Draw the next population; those in it that can go on do."""
        population = self._population(grown)
        return tuple(name for name in population if goes_on(grown.known[name]))

    def _population(self, grown: Grown) -> list[str]:
        """Resample after each round so far: a finished particle is in none of the rounds' steps."""
        standing: list[str] = []
        for number, names in enumerate(grown.rounds):
            alive = [name for name in names if stands(grown.known[name])]
            standing = resampled(standing + alive, grown.scores, f"{grown.known.seed}/{number}")
            if number < grown.number:
                standing = [name for name in standing if not goes_on(grown.known[name])]
        return standing


def resampled(particles: list[str], scores: dict[str, float], seed: str) -> list[str]:
    """Draw as many with replacement by the softmax of log odds; without a score is the worst."""
    if not particles:
        return []
    odds = [logit(scores.get(name, 0.0)) for name in particles]
    weights = [math.exp(one - max(odds)) for one in odds]
    return random.Random(seed).choices(particles, weights, k=len(particles))
