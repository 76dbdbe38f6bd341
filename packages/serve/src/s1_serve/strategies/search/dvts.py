"""Diverse verifier tree search: independent sub-trees, the best child of each goes on.

Hugging Face search-and-learn; arXiv 2502.06703. Differs from the repository: only finished paths
compete (its issue 57), finished ones that were not the best child among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies.search.beam import Beam
from s1_serve.strategies.search.rounds import Grown, Parents, goes_on, stands


@dataclass(frozen=True, kw_only=True)
class Dvts(Beam):
    """Grow `n / width` trees: draw `width` steps for each, go on with the best one.

    The parameters are a beam's; `width` is of a tree, `n` of all trees together.
    """

    name: ClassVar[str] = "dvts"

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
