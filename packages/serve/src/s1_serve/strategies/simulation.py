"""A run of a policy in virtual time: every sample that runs generates one token a tick.

For stored samples (`just replay`) and for tests. What each call comes to is the script's to say.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from s1_serve.strategies.known import Aborted, Event, Failed, Finished, Heard, Result, Started
from s1_serve.strategies.session import Cancel, Effect, Launch, Session

Script = Callable[[Launch], Result]


def simulate(session: Session, script: Script, deadline: int | None = None) -> int:
    """Run a session to its outcome; give the tick at which it came.

    `deadline` is the tick at which time is over. A script may raise LookupError: the call fails.
    """
    return _Simulation(session, script).run(deadline)


class _Simulation:
    """The clock, and what is to be heard at which tick."""

    def __init__(self, session: Session, script: Script) -> None:
        self._session, self._script = session, script
        self._agenda: list[tuple[int, int, Event]] = []
        self._begun: dict[str, int] = {}
        self._now = 0

    def run(self, deadline: int | None) -> int:
        self._do(self._session.begin())
        while self._session.outcome is None:
            assert self._agenda, "the session waits for nothing"
            tick, _, event = heapq.heappop(self._agenda)
            if deadline is not None and tick > deadline:
                self._now = deadline
                self._do(self._session.expire())
            elif self._session.known[event.id].is_live:
                self._now = tick
                self._do(self._session.hear(event))
        return self._now

    def _do(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Cancel):
                tokens = self._now - self._begun[effect.id]
                self._do(self._session.hear(Aborted(effect.id, tokens)))
            else:
                self._start(effect)

    def _start(self, launch: Launch) -> None:
        name, now = launch.call.id, self._now
        self._begun[name] = now
        # Of one tick ends of thinking come first, the latest call's before the others'.
        number = len(self._begun)
        try:
            result = self._script(launch)
        except LookupError as error:
            heapq.heappush(self._agenda, (now, number, Failed(name, str(error))))
            return
        length = result.thinking_tokens
        if 0 < length < result.tokens:
            thought = Heard(id=name, tokens=length, thinking_tokens=length, has_thought=True)
            heapq.heappush(self._agenda, (now + length, -number, thought))
        heapq.heappush(self._agenda, (now + result.tokens, number, Finished(name, result)))
        self._do(self._session.hear(Started(name)))
