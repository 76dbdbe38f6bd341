"""Particle filtering over steps (arXiv 2502.01618; its_hub): resample every step by the scores.

Differs from its_hub: finished paths that were resampled away still compete in the end, and there
are no Gibbs iterations.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies.known import Known
from s1_serve.strategies.parameters import given
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.search import rounds
from s1_serve.strategies.search.rounds import Grown, Parents, goes_on, logit, stands
from s1_serve.strategies.verifiers.verifier import Verifier


@dataclass(frozen=True, kw_only=True)
class Particles:
    """Move `n` particles a step at a time; each is drawn anew by the softmax of their log odds.

    A finished particle stays one and may be drawn: it takes the place of one that would go on.
    """

    name: ClassVar[str] = "particles"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 8
    """Particles."""
    step_tokens: int = 256
    """Most tokens of a step."""
    depth: int = 50
    """Most rounds; the last one thinks to the end."""
    aggregate: str = "last"
    """The score of a path from those of its steps: last, min, prod or mean."""
    vote: str = "best"
    """Who answers: best (the highest score) or weighted (equal answers add their scores)."""
    verifier: Verifier = given()

    def __post_init__(self) -> None:
        rounds.check(self)

    def decide(self, known: Known) -> Decision:
        return rounds.decide(known, self)

    def best(self, known: Known) -> Choice | None:
        return rounds.best(known, self)

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
