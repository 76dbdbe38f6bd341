"""Diverse verifier tree search: independent sub-trees, the best child of each goes on.

Hugging Face search-and-learn; arXiv 2502.06703. Differs from the repository: only finished paths
compete (its issue 57), finished ones that were not the best child among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies.known import Known
from s1_serve.strategies.parameters import given
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.search import rounds
from s1_serve.strategies.search.beam import check_width
from s1_serve.strategies.search.rounds import Grown, Parents, goes_on, stands
from s1_serve.strategies.verifiers.verifier import Verifier


@dataclass(frozen=True, kw_only=True)
class Dvts:
    """Grow `n / width` trees: draw `width` steps for each, go on with the best one."""

    name: ClassVar[str] = "dvts"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 8
    """Steps of a round, of all trees together."""
    width: int = 4
    """Steps of a tree in a round."""
    step_tokens: int = 256
    """Most tokens of a step."""
    depth: int = 40
    """Most rounds; the last one thinks to the end."""
    aggregate: str = "last"
    """The score of a path from those of its steps: last, min, prod or mean."""
    vote: str = "weighted"
    """Who answers: best (the highest score) or weighted (equal answers add their scores)."""
    verifier: Verifier = given()

    def __post_init__(self) -> None:
        rounds.check(self)
        check_width(self.n, self.width)

    def decide(self, known: Known) -> Decision:
        return rounds.decide(known, self)

    def best(self, known: Known) -> Choice | None:
        return rounds.best(known, self)

    def following(self, grown: Grown) -> Parents:
        """Go on with the best child of each tree; a tree whose best child is finished is done."""
        parents: list[str] = []
        for start in range(0, len(grown.newest), self.width):
            children = grown.newest[start : start + self.width]
            alive = [name for name in children if stands(grown.known[name])]
            first, *_ = grown.ranked(alive) or [""]
            if first and goes_on(grown.known[first]):
                parents += [first] * self.width
        return tuple(parents)
