"""REBASE: reward-balanced expansion of a tree of steps (arXiv 2408.00724, Section 3.2).

Every finished path takes one from the width. Differs from the paper's code: paths have no length
limit of their own, as thinking keeps the request's budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies.parameters import check_shares
from s1_serve.strategies.search.rounds import Grown, Parents, Search


@dataclass(frozen=True, kw_only=True)
class Rebase(Search):
    """Start `n` paths; share what is left of `n` among the open ones by the softmax of scores."""

    name: ClassVar[str] = "rebase"
    n: int = 16
    """Width of the tree."""
    depth: int = 25
    """Most rounds; the last one thinks to the end."""
    balance: float = 0.2
    """Temperature of the softmax: small follows the scores, large shares evenly."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(0.001, 1000.0, balance=self.balance)

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
