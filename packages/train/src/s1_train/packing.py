"""Which samples make a row, a step, a process's share of it: pure functions over lengths.

Every process computes the same plan, so that nothing about batches is ever communicated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

OPEN_ROWS = 8
Row = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One optimiser step: its rows, each a tuple of sample indices."""

    epoch: int
    rows: tuple[Row, ...]

    @property
    def samples(self) -> list[int]:
        """All sample indices of the step."""
        return [sample for row in self.rows for sample in row]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How an order of samples becomes steps; the fields are TrainConfig's."""

    mode: Literal["paper", "packed"]
    batch_size: int
    block_size: int
    epochs: int
    seed: int
    max_steps: int = 0

    def steps(self, lengths: Sequence[int]) -> list[Step]:
        """Lay out the whole run; the short last batch of an epoch is kept."""
        steps: list[Step] = []
        for epoch in range(self.epochs):
            order = np.random.default_rng([self.seed, epoch]).permutation(len(lengths)).tolist()
            rows = self._rows(order, lengths)
            steps += [
                Step(epoch, tuple(rows[start : start + self.batch_size]))
                for start in range(0, len(rows), self.batch_size)
            ]
        return steps[: self.max_steps] if self.max_steps else steps

    def _rows(self, order: Sequence[int], lengths: Sequence[int]) -> list[Row]:
        if self.mode == "paper":
            return [(sample,) for sample in order]
        return pack(order, lengths, self.block_size)


def pack(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[Row]:
    """Put whole samples into rows of at most `budget` tokens: best fit among OPEN_ROWS rows.

    Rows leave in the order in which they fill up, so a sample stays near its place in `order`.
    """
    rows: list[Row] = []
    opened: list[tuple[int, Row]] = []
    for sample in order:
        length = lengths[sample]
        assert length <= budget, f"sample {sample} is longer than a row"
        fitting = [(room, row) for room, row in opened if room >= length]
        best = min(fitting, key=lambda item: item[0], default=(budget, ()))
        if best[1]:
            opened.remove(best)
        opened.append((best[0] - length, (*best[1], sample)))
        if len(opened) > OPEN_ROWS:
            fullest = min(opened, key=lambda item: item[0])
            opened.remove(fullest)
            rows.append(fullest[1])
    return rows + [row for _, row in opened]


def deal(rows: Sequence[Row], lengths: Sequence[int], num_ranks: int) -> list[list[Row]]:
    """Share the rows of a step among processes, longest first to whoever has least tokens."""
    shares: list[list[Row]] = [[] for _ in range(num_ranks)]
    loads = [0] * num_ranks
    for row in sorted(rows, key=lambda row: -tokens(row, lengths)):
        rank = loads.index(min(loads))
        shares[rank].append(row)
        loads[rank] += tokens(row, lengths)
    return shares


def micro_batches(rows: Sequence[Row], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Cut a share into lists of samples of at most `budget` tokens; a longer row goes alone."""
    groups: list[list[int]] = []
    load = budget + 1
    for row in rows:
        size = tokens(row, lengths)
        if load + size > budget:
            groups.append([])
            load = 0
        groups[-1] += row
        load += size
    return groups


def tokens(row: Sequence[int], lengths: Sequence[int]) -> int:
    """Count the tokens of a row."""
    return sum(lengths[sample] for sample in row)


def balance(steps: Sequence[Step], lengths: Sequence[int], num_ranks: int) -> float:
    """Give the share of time that processes would be busy if time went with tokens."""
    work = longest = 0
    for step in steps:
        loads = [
            sum(tokens(row, lengths) for row in s) for s in deal(step.rows, lengths, num_ranks)
        ]
        work += sum(loads)
        longest += max(loads)
    return work / (longest * num_ranks) if longest else 1.0
