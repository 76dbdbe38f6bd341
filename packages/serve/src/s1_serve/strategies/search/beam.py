"""Beam search over steps, led by a verifier (Hugging Face search-and-learn; arXiv 2408.03314).

Differs from the repository: the search ends once `n` paths are finished, temperature is the
request's, and there is no look-ahead.
"""

from __future__ import annotations

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
class Beam:
    """Draw `n` steps a round, keep the best `n / width` paths, continue each `width` times."""

    name: ClassVar[str] = "beam"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 8
    """Steps of a round."""
    width: int = 4
    """Ways in which a path that is kept goes on."""
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
        """Keep the best of those that can go on, and fill the round with copies in turn."""
        if grown.num_finished >= self.n:
            return ()
        kept = grown.ranked(grown.open)[: self.n // self.width]
        return tuple(kept[place % len(kept)] for place in range(self.n))


def check_width(n: int, width: int) -> None:
    """Refuse a width that does not part `n` evenly.

    Raises:
        UserError: it does not.
    """
    if width < 1 or n % width:
        raise UserError(f"n is {n} and width {width}: give an n that is a multiple of width")
