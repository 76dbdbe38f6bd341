"""Places in the engine for the samples of strategies, shared fairly among their requests.

A request with 64 samples and one with 4 take turns: a free seat goes to the one that holds fewest,
among equals to the one that came first. Plain requests need no seat.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field


@dataclass(eq=False)
class Party:
    """One request: the seats that it holds, and its calls that wait for one."""

    held: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Seats:
    """At most `total` seats are held at any time, by at most `most_parties` requests."""

    def __init__(self, total: int, most_parties: int) -> None:
        self.total, self.most_parties = total, most_parties
        self._parties: dict[Party, None] = {}  # in the order in which they came

    @property
    def is_full(self) -> bool:
        """Say whether no further request may wait."""
        return len(self._parties) >= self.most_parties

    @property
    def num_parties(self) -> int:
        return len(self._parties)

    @asynccontextmanager
    async def party(self) -> AsyncIterator[Callable[[], AbstractAsyncContextManager[None]]]:
        """Give what takes a seat for one call of a request."""
        party = Party()
        self._parties[party] = None
        try:
            yield lambda: self._seat(party)
        finally:
            del self._parties[party]

    @asynccontextmanager
    async def _seat(self, party: Party) -> AsyncIterator[None]:
        turn = asyncio.get_running_loop().create_future()
        party.waiting.append(turn)
        self._hand_out()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                party.held -= 1
            elif turn in party.waiting:
                party.waiting.remove(turn)
            self._hand_out()

    def _hand_out(self) -> None:
        free = self.total - sum(party.held for party in self._parties)
        while free > 0:
            waiting = [party for party in self._parties if party.waiting]
            if not waiting:
                return
            party = min(waiting, key=lambda each: each.held)
            turn = party.waiting.popleft()
            if not turn.cancelled():
                turn.set_result(None)
                party.held += 1
                free -= 1
