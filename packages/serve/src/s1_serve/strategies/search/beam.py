"""Beam search over steps, led by a verifier (Hugging Face search-and-learn; arXiv 2408.03314).

Differs from the repository: the search ends once `n` paths are finished, temperature is the
request's, and there is no look-ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s1_core.errors import UserError
from s1_serve.strategies.search.rounds import Grown, Parents, Search


@dataclass(frozen=True, kw_only=True)
class Beam(Search):
    """Draw `n` steps a round, keep the best `n / width` paths, continue each `width` times."""

    name: ClassVar[str] = "beam"
    width: int = 4
    """Ways in which a path that is kept goes on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1 or self.n % self.width:
            found = f"n is {self.n} and width {self.width}"
            raise UserError(f"{found}: give an n that is a multiple of width")

    def following(self, grown: Grown) -> Parents:
        """Keep the best of those that can go on, and fill the round with copies in turn."""
        if grown.num_finished >= self.n:
            return ()
        kept = grown.ranked(grown.open)[: self.n // self.width]
        return tuple(kept[place % len(kept)] for place in range(self.n))
