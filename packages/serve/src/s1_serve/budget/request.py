"""How a budget travels to the engine's process and what comes back: one list of integers each way.

A request carries its slot, its number and its packed terms in SamplingParams.extra_args; what the
machine decided lies in a file of one row a slot, which the engine's process writes and ours reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s1_core.errors import S1Error
from s1_serve.budget.plan import End
from s1_serve.budget.terms import BUDGET, NATURAL, Terms

KEY = "s1_budget"
"""in a request's extra_args, and in the engine's additional_config"""
_ENDS: dict[int, End] = {NATURAL: "natural", BUDGET: "budget"}


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A request's slot while it lives, and a number that no other request ever has."""

    slot: int
    number: int

    def extra_args(self, terms: Terms) -> dict[str, Any]:
        """Write what the processor needs."""
        return {KEY: [self.slot, self.number, *terms.words]}


def read(extra_args: dict[str, Any] | None) -> tuple[Ticket, list[int]] | None:
    """Read what `extra_args` wrote; None in a request without a budget."""
    if not extra_args or KEY not in extra_args:
        return None
    slot, number, *words = extra_args[KEY]
    return Ticket(slot=slot, number=number), words


@dataclass
class Board:
    """The slots of an engine: who has which, and what was decided for it."""

    path: Path
    num_slots: int
    _free: list[int] = field(init=False)
    _number: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        rows = np.zeros((self.num_slots, 3), dtype=np.int64)
        rows.tofile(self.path)
        self._rows = open_rows(self.path, self.num_slots)
        self._free = list(range(self.num_slots))[::-1]

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
        return Ticket(slot=self._free.pop(), number=self._number)

    def give_back(self, ticket: Ticket) -> None:
        """Free the slot of a request that the engine no longer runs."""
        self._free.append(ticket.slot)

    def decided(self, ticket: Ticket) -> tuple[int, End]:
        """Say how many extends were forced and how thinking ended; length where it did not."""
        number, used, kind = self._rows[ticket.slot].tolist()
        if number != ticket.number:
            return 0, "length"
        return used, _ENDS.get(kind, "length")


def open_rows(path: Path, num_slots: int) -> NDArray[np.int64]:
    """Map the file of decisions: number, extends used, kind of end of each slot."""
    return np.memmap(path, dtype=np.int64, mode="r+", shape=(num_slots, 3))
