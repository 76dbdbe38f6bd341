"""Pool to s1K: Algorithm 1 of the paper (App. C.4) over embedding domains. Pure and seeded."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s1_data.diversity import Vectors


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the selection knows of a row."""

    question_id: str
    domain: int
    thinking_tokens: int


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Indices into the pool, in the order drawn."""

    chosen: tuple[int, ...]
    near_duplicates: tuple[int, ...]


def select(
    pool: Sequence[Candidate],
    *,
    num_rows: int,
    seed: int,
    is_near: Callable[[int, Sequence[int]], bool] = lambda index, chosen: False,
) -> Selection:
    """Draw a domain uniformly, then a row of it with weight 2^-rank (rank 0 thinks longest).

    A row for which `is_near(index, chosen)` holds is set aside and another domain is drawn.
    Returns fewer than `num_rows` when the pool runs out.
    """
    rng = random.Random(seed)
    domains = _ranked(pool)
    chosen: list[int] = []
    skipped: list[int] = []
    while domains and len(chosen) < num_rows:
        at = rng.randrange(len(domains))
        index = domains[at].pop(draw_rank(rng, len(domains[at])))
        if not domains[at]:
            del domains[at]
        (skipped if is_near(index, chosen) else chosen).append(index)
    return Selection(chosen=tuple(chosen), near_duplicates=tuple(skipped))


def draw_rank(rng: random.Random, num: int) -> int:
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


def near(vectors: Vectors, cosine: float | None) -> Callable[..., bool]:
    """Return a test for `select`: is a row's vector within `cosine` of one already chosen?"""

    def is_near(index: int, chosen: Sequence[int]) -> bool:
        if cosine is None or not chosen:
            return False
        return bool((vectors[list(chosen)] @ vectors[index]).max() >= cosine)

    return is_near


def _ranked(pool: Sequence[Candidate]) -> list[list[int]]:
    domains: dict[int, list[int]] = {}
    for index, candidate in enumerate(pool):
        domains.setdefault(candidate.domain, []).append(index)
    for members in domains.values():
        members.sort(key=lambda i: (-pool[i].thinking_tokens, pool[i].question_id))
    return [domains[name] for name in sorted(domains)]
