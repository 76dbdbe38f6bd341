"""How a budget travels to the engine's process and what comes back: one list of numbers each way.

A request carries its slot, its number and its packed terms in SamplingParams.extra_args; what the
machine decided lies in a file of one row a slot, which the engine's process writes and ours reads.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s1_core.errors import S1Error
from s1_serve.budget.plan import End
from s1_serve.budget.terms import BUDGET, MEMORY, NATURAL, Terms

KEY = "s1_budget"
"""in a request's extra_args, and in the engine's additional_config"""
_WIDTH = 3 + MEMORY
_ENDS: dict[int, End] = {NATURAL: "natural", BUDGET: "budget"}


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A request's slot while it lives, and a number that no other request ever has."""

    slot: int
    number: int

    def extra_args(self, terms: Terms) -> dict[str, Any]:
        """Write what the processor needs."""
        numbers = [terms.temperature, terms.top_p, terms.min_p]
        return {KEY: [self.slot, self.number, *numbers, *terms.words]}


def read(extra_args: dict[str, Any] | None) -> tuple[Ticket, Terms] | None:
    """Read what `extra_args` wrote; None in a request without a budget."""
    if not extra_args or KEY not in extra_args:
        return None
    slot, number, temperature, top_p, min_p, *words = extra_args[KEY]
    return Ticket(slot=slot, number=number), Terms(words, temperature, top_p, min_p)


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What the machine decided for a request: where its last extends start, the newest first."""

    extends: int = 0
    end: End = "length"
    extended_at: tuple[int, ...] = ()


@dataclass
class Board:
    """The slots of an engine: who has which, and what was decided for it."""

    path: Path
    num_slots: int
    _free: deque[int] = field(init=False)
    _taken: set[int] = field(init=False, default_factory=set)
    _number: int = field(init=False, default=0)
    _told: NDArray[np.int64] = field(init=False)
    """By slot: the last number whose end of thinking was told."""

    def __post_init__(self) -> None:
        np.zeros((self.num_slots, _WIDTH), dtype=np.int64).tofile(self.path)
        self._rows = np.asarray(open_rows(self.path, self.num_slots))  # a memmap's views are slow
        self._told = np.zeros(self.num_slots, dtype=np.int64)
        self._free = deque(range(self.num_slots))

    @property
    def has_room(self) -> bool:
        """Say whether a slot is free."""
        return bool(self._free)

    def take(self) -> Ticket:
        """Take a slot for a request.

        Raises:
            S1Error: all are taken; admission control keeps requests below their number.
        """
        if not self._free:
            raise S1Error(f"all {self.num_slots} slots for budgets are taken")
        self._number += 1
        self._taken.add(self._number)
        return Ticket(slot=self._free.popleft(), number=self._number)

    def give_back(self, ticket: Ticket) -> None:
        """Free the slot of a request that the engine no longer runs; once is enough."""
        if ticket.number in self._taken:
            self._taken.remove(ticket.number)
            self._free.append(ticket.slot)

    def decided(self, ticket: Ticket) -> Decided:
        """Say what was decided so far; the end is length where thinking has not ended."""
        number, used, kind, *at = self._rows[ticket.slot].tolist()
        if number != ticket.number:
            return Decided()
        end = _ENDS.get(kind, "length")
        return Decided(extends=used, end=end, extended_at=tuple(at[:used]))

    def ended(self) -> list[int]:
        """Give the numbers of those whose thinking has ended since this was last asked."""
        numbers, kinds = self._rows[:, 0], self._rows[:, 2]
        fresh = np.flatnonzero((kinds != 0) & (numbers != self._told))
        self._told[fresh] = numbers[fresh]
        return [int(number) for number in self._told[fresh]]


def open_rows(path: Path, num_slots: int) -> NDArray[np.int64]:
    """Map the file of decisions: number, extends, kind of end, last extends of each slot."""
    return np.memmap(path, dtype=np.int64, mode="r+", shape=(num_slots, _WIDTH))
