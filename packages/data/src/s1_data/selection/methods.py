"""The methods that make s1K out of a pool; `config.NEEDS` says what each wants before it.

Pure and seeded: the order of the pool changes nothing. Returns fewer rows than asked for when the
pool runs out, never more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from s1_data.config import SelectionConfig
from s1_data.selection.candidates import Candidate, kind, preselected
from s1_data.selection.domain_pools import DomainPools

if TYPE_CHECKING:
    from s1_data.embedding.neighbours import NearDuplicates

FIRST_STAGE = 70  # percent of the rows that the released code draws from uniform domains


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Indices into the pool in the order drawn, and what the card must say of how they came."""

    chosen: tuple[int, ...]
    near_duplicates: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Task:
    """A pool, and what is wanted of it."""

    pool: Sequence[Candidate]
    config: SelectionConfig
    rng: Random
    near: NearDuplicates | None


def select(
    pool: Sequence[Candidate],
    config: SelectionConfig,
    seed: int,
    near: NearDuplicates | None = None,
) -> Selection:
    """Draw `config.num_rows` rows by the method `config.by`, or all there are if they are fewer.

    `near` holds the vectors of the pool's rows. Raises UserError when the rows that a method
    always takes are more than asked for.
    """
    task = Task(pool=pool, config=config, rng=Random(seed), near=near)
    return DRAWS[config.by](task)


def benchmark_weights(pool: Sequence[Candidate]) -> dict[int, int]:
    """Weigh each domain by its AIME rows and, scaled to half their number, its GPQA rows.

    AIME + int(GPQA x 0.5 x N_AIME / N_GPQA), in whole numbers (spec 1.7 a).
    """
    kinds = [kind(candidate.source_type) for candidate in pool]
    aime, gpqa = (
        Counter(row.domain for row, found in zip(pool, kinds, strict=True) if found == name)
        for name in ("AIME", "GPQA")
    )
    halves = 2 * max(1, gpqa.total())
    return {name: aime[name] + gpqa[name] * aime.total() // halves for name in aime | gpqa}


def _embedding(task: Task) -> Selection:
    """Algorithm 1 without its preselection; near-duplicates of the chosen are set aside."""
    gate = task.near.gate() if task.near is not None else None
    pools = DomainPools(task.pool)
    chosen: list[int] = []
    aside: list[int] = []
    while pools and len(chosen) < task.config.num_rows:
        index = pools.draw(task.rng)
        (chosen if gate is None or gate.admits(index) else aside).append(index)
    return Selection(chosen=tuple(chosen), near_duplicates=tuple(aside))


def _paper(task: Task) -> Selection:
    """Algorithm 1 as printed (App. C.4): rows taken before the draw are in no domain's pool."""
    num_rows = task.config.num_rows
    chosen, note = preselected(task.pool, task.config.long_math_tokens, num_rows)
    pools = DomainPools(task.pool, without=chosen)
    while pools and len(chosen) < num_rows:
        chosen.append(pools.draw(task.rng))
    return Selection(chosen=tuple(chosen), notes=(note,))


def _released(task: Task) -> Selection:
    """Algorithm 1 as its code ran it (spec 1.7): benchmark-weighted domains after 70 %.

    Rows taken before the draw stay in the pools; drawing one takes it out and adds nothing.
    """
    num_rows, weights = task.config.num_rows, benchmark_weights(task.pool)
    chosen, note = preselected(task.pool, task.config.long_math_tokens, num_rows)
    before, pools, num_uniform = set(chosen), DomainPools(task.pool), 0
    while pools and len(chosen) < num_rows:
        is_second = 100 * len(chosen) >= FIRST_STAGE * num_rows
        is_uniform = is_second and not pools.holds_any(weights)
        index = pools.draw(task.rng, weights=weights if is_second else None)
        if index not in before:
            chosen.append(index)
            num_uniform += is_uniform
    notes = [note]
    if num_uniform:
        notes.append(
            f"{num_uniform} of the rows after the first {FIRST_STAGE} % came from uniform domains:"
            " no domain weighted by AIME or GPQA rows was left."
        )
    return Selection(chosen=tuple(chosen), notes=tuple(notes))


def _random(task: Task) -> Selection:
    ids = _by_id(task)
    return Selection(chosen=tuple(task.rng.sample(ids, min(task.config.num_rows, len(ids)))))


def _diverse(task: Task) -> Selection:
    """Domains uniformly, and rows uniformly inside."""
    pools = DomainPools(task.pool)
    chosen: list[int] = []
    while pools and len(chosen) < task.config.num_rows:
        chosen.append(pools.draw(task.rng, rank=Random.randrange))
    return Selection(chosen=tuple(chosen))


def _longest(task: Task) -> Selection:
    ranked = sorted(_by_id(task), key=lambda index: -task.pool[index].thinking_tokens)
    return Selection(chosen=tuple(ranked[: task.config.num_rows]))


def _full(task: Task) -> Selection:
    return Selection(chosen=tuple(_by_id(task)))


def _by_id(task: Task) -> list[int]:
    return sorted(range(len(task.pool)), key=lambda index: task.pool[index].question_id)


DRAWS: Mapping[str, Callable[[Task], Selection]] = {
    "embedding": _embedding,
    "paper": _paper,
    "released": _released,
    "random": _random,
    "diverse": _diverse,
    "longest": _longest,
    "full": _full,
}
