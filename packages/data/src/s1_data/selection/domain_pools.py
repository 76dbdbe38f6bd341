"""The rows still to be drawn, by domain, and how a domain and a row of it are drawn."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random

from s1_data.selection.candidates import Candidate


def draw_rank(rng: Random, num: int) -> int:
    """Draw a rank below `num` with weight 2^-rank, by coin flips.

    Exact where the weights themselves underflow: a run of heads is geometric, and drawing again
    on runs of `num` or more truncates it.
    """
    rank = num
    while rank >= num:
        rank = 0
        while rng.getrandbits(1):
            rank += 1
    return rank


class DomainPools:
    """Rows by domain, ranked by length of thinking; a domain leaves with its last row."""

    def __init__(self, pool: Sequence[Candidate], without: Collection[int] = ()) -> None:
        left_out = set(without)
        ranked = sorted(
            (index for index in range(len(pool)) if index not in left_out),
            key=lambda index: (-pool[index].thinking_tokens, pool[index].question_id),
            reverse=True,
        )  # rank 0 lies last: taking from the end of a list moves no other row
        rows: dict[int, list[int]] = {}
        for index in ranked:
            rows.setdefault(pool[index].domain, []).append(index)
        self._names = sorted(rows)
        self._rows = [rows[name] for name in self._names]

    def __bool__(self) -> bool:
        return bool(self._rows)

    def holds_any(self, weights: Mapping[int, int]) -> bool:
        """Say whether a domain with a positive weight is left."""
        return any(weights.get(name, 0) for name in self._names)

    def draw(
        self,
        rng: Random,
        *,
        weights: Mapping[int, int] | None = None,
        rank: Callable[[Random, int], int] = draw_rank,
    ) -> int:
        """Draw a domain, then a row of it, and take the row out.

        Domains weigh alike, or as `weights` says where any domain of positive weight is left;
        `rank` draws the place in the ranking, 0 thinks longest.
        """
        at = self._domain(rng, weights or {})
        rows = self._rows[at]
        index = rows.pop(-1 - rank(rng, len(rows)))
        if not rows:
            del self._rows[at], self._names[at]
        return index

    def _domain(self, rng: Random, weights: Mapping[int, int]) -> int:
        if not self.holds_any(weights):
            return rng.randrange(len(self._names))
        left = [weights.get(name, 0) for name in self._names]
        return rng.choices(range(len(left)), weights=left)[0]
