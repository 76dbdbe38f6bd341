"""REBASE: reward-balanced expansion of a tree of steps (arXiv 2408.00724, Section 3.2).

Every finished path takes one from the width. Differs from the paper's code: paths have no length
limit of their own, as thinking keeps the request's budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from s1_core.errors import UserError
from s1_serve.strategies.known import Known
from s1_serve.strategies.parameters import given
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.search import rounds
from s1_serve.strategies.search.rounds import Grown, Parents
from s1_serve.strategies.verifiers.verifier import Verifier


@dataclass(frozen=True, kw_only=True)
class Rebase:
    """Start `n` paths; share what is left of `n` among the open ones by the softmax of scores."""

    name: ClassVar[str] = "rebase"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 16
    """Width of the tree."""
    balance: float = 0.2
    """Temperature of the softmax: small follows the scores, large shares evenly."""
    step_tokens: int = 256
    """Most tokens of a step."""
    depth: int = 25
    """Most rounds; the last one thinks to the end."""
    aggregate: str = "last"
    """The score of a path from those of its steps: last, min, prod or mean."""
    vote: str = "weighted"
    """Who answers: best (the highest score) or weighted (equal answers add their scores)."""
    verifier: Verifier = given()

    def __post_init__(self) -> None:
        rounds.check(self)
        if not 0.001 <= self.balance <= 1000:
            raise UserError(f"balance is {self.balance}: give a number from 0.001 to 1000")

    def decide(self, known: Known) -> Decision:
        return rounds.decide(known, self)

    def best(self, known: Known) -> Choice | None:
        return rounds.best(known, self)

    def following(self, grown: Grown) -> Parents:
        """Share the width that finished paths have left among the open ones, the best first."""
        width = self.n - grown.num_finished
        ranked = grown.ranked(grown.open)
        shares = shared([grown.scores.get(name, 0.0) for name in ranked], width, self.balance)
        return tuple(name for name, count in zip(ranked, shares, strict=True) for _ in range(count))


def shared(scores: Sequence[float], width: int, balance: float) -> list[int]:
    """Allot `width` in the order of `scores`: each gets its share of what is left, rounded up."""
    top = max(scores, default=0.0)
    mass = [math.exp((score - top) / balance) for score in scores]
    counts = []
    for place, own in enumerate(mass):
        left = math.fsum(mass[place:])
        share = own / left if left else 1.0
        count = min(math.ceil(width * share - 1e-9), width)  # a share of 1/3 of 3 is one, not two
        counts.append(max(count, 0))
        width -= counts[-1]
    return counts
