"""A run of a policy in virtual time: every sample that runs generates one token a tick.

For stored samples (`just replay`) and for tests. What each call comes to is the script's to say.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from s1_serve.strategies.known import Aborted, Failed, Finished, Heard, Result, Started
from s1_serve.strategies.session import Cancel, Effect, Launch, Session

Script = Callable[[Launch], Result]


def simulate(session: Session, script: Script, deadline: int | None = None) -> int:
    """Run a session to its outcome; give the tick at which it came.

    `deadline` is the tick at which time is over. A script may raise LookupError: the call fails.
    """
    agenda: list[tuple[int, int, str, Result | None]] = []
    begun: dict[str, int] = {}
    now = number = 0

    def apply(effects: list[Effect]) -> None:
        nonlocal number
        for effect in effects:
            if isinstance(effect, Cancel):
                apply(session.hear(Aborted(effect.id, now - begun[effect.id])))
                continue
            name, begun[effect.call.id] = effect.call.id, now
            number += 1
            try:
                result = script(effect)
            except LookupError as error:
                heapq.heappush(agenda, (now, number, name, None))
                failures[name] = str(error)
                continue
            if 0 < result.thinking_tokens < result.tokens:
                heapq.heappush(agenda, (now + result.thinking_tokens, -number, name, result))
            heapq.heappush(agenda, (now + result.tokens, number, name, result))
            apply(session.hear(Started(name)))

    failures: dict[str, str] = {}
    apply(session.begin())
    while session.outcome is None:
        assert agenda, "the session waits for nothing"
        tick, nth, name, result = heapq.heappop(agenda)
        if deadline is not None and tick > deadline:
            now = deadline
            apply(session.expire())
            break
        if not session.known[name].is_live:
            continue
        now = tick
        if result is None:
            apply(session.hear(Failed(name, failures[name])))
        elif nth < 0:
            length = result.thinking_tokens
            apply(
                session.hear(
                    Heard(id=name, tokens=length, thinking_tokens=length, has_thought=True)
                )
            )
        else:
            apply(session.hear(Finished(name, result)))
    return now
