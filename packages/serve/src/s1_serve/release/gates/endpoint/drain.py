"""Is any request lost while the server is replaced, with long streams open and new ones coming?

Clients are impatient here: one try, a connection of its own each. Any request that does not end as
its dialect says is lost; a restart that nobody saw proves nothing.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field

from s1_serve.contract.api import Dialect
from s1_serve.contract.promise import Promise
from s1_serve.release.gates.endpoint.asker import Asker
from s1_serve.release.gates.endpoint.dialects import Broken, body
from s1_serve.release.gates.endpoint.restart import Restart
from s1_serve.release.gates.evidence import Judgement, judged
from s1_serve.release.record import Release
from s1_serve.release.rules import Rules
from s1_serve.release.verdicts import FAIL, INCONCLUSIVE, PASS, Row

_PAUSE_S, _LOOK_S = 0.1, 0.01
"""between two short requests of one client; between two looks at whether all streams are open"""

_DIED = "its client could make nothing of the answer"


def row(rules: Rules, release: Release, asker: Asker, restart: Restart) -> Row:
    """Restart the server under load; zero requests may be lost."""
    wanted = f"0 requests lost, {rules.drain.num_streams} streams open"
    return judged("endpoint: drain", wanted, lambda: _judge(rules, release, asker, restart))


@dataclass
class Request:
    """One request as its client saw it, in seconds of the monotonic clock."""

    is_long: bool
    started: float = field(default_factory=time.monotonic)
    opened: float = math.inf
    """when its first bytes came"""
    ended: float = math.inf
    fault: str | None = None

    def is_open(self, moment: float) -> bool:
        """Say whether it was being read then."""
        return self.opened <= moment < self.ended

    def open(self) -> None:
        """Note that its first bytes are there."""
        self.opened = time.monotonic()


class Load:
    """Clients that keep asking until they are told to stop."""

    def __init__(self, rules: Rules, asker: Asker, model: str) -> None:
        self._rules, self._asker, self._model = rules, asker, model
        self._stopped = threading.Event()
        self.requests: list[Request] = []
        self._threads = [
            threading.Thread(target=self._client, args=(is_long,), daemon=True)
            for is_long in (True, False)
            for _ in range(rules.drain.num_streams)
        ]

    def start(self) -> bool:
        """Start asking; say whether every long stream was open in time."""
        for thread in self._threads:
            thread.start()
        deadline = time.monotonic() + self._rules.drain.timeout_s
        while self.num_open(now := time.monotonic()) < self._rules.drain.num_streams:
            if now > deadline:
                return False
            time.sleep(_LOOK_S)
        return True

    def num_open(self, moment: float) -> int:
        """Count the long streams that were open then."""
        return sum(one.is_long and one.is_open(moment) for one in list(self.requests))

    def lost(self) -> list[str]:
        """Say what befell each request that did not end whole, or did not end at all."""
        ends = [one.fault or ("" if one.ended < math.inf else _DIED) for one in self.requests]
        return [end for end in ends if end]

    def stop(self) -> None:
        """Let every client end what it has begun."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def cancel(self) -> None:
        """Leave clients to themselves, who will ask no more."""
        self._stopped.set()

    def _client(self, is_long: bool) -> None:
        length = self._rules.drain.thinking_tokens if is_long else 0
        budget = Promise(maximum=length, minimum=length)
        question, room = self._rules.budgets.questions[0], self._rules.budgets.answer_tokens
        asked = body(Dialect.CHAT, self._model, question, budget, room)
        while not self._stopped.is_set():
            request = Request(is_long)
            self.requests.append(request)
            try:
                said = self._asker.stream(Dialect.CHAT, asked, request.open)
                request.fault = budget.fault(said.told)
            except Broken as error:
                request.fault = str(error)
            request.ended = time.monotonic()
            self._stopped.wait(0 if is_long and not request.fault else _PAUSE_S)


def _judge(rules: Rules, release: Release, asker: Asker, restart: Restart) -> Judgement:
    card = asker.card()
    load = Load(rules, asker, card["id"])
    before = _instances(rules, asker)
    try:
        are_open = load.start()
        began = time.monotonic()
        fault = restart(rules.drain.restart_timeout_s) if are_open else "no stream opened in time"
        ended = time.monotonic()
        time.sleep(rules.drain.after_s if fault is None else 0)
        load.stop()
    finally:
        load.cancel()  # after an interrupt nobody waits for them
    if lost := load.lost():
        return FAIL, f"{len(lost)} of {len(load.requests)} requests lost, the first: {lost[0]}"
    return _witnessed(load, (began, ended), fault) or _replaced(rules, release, asker, before)


def _witnessed(load: Load, during: tuple[float, float], fault: str | None) -> Judgement | None:
    """Say why no request can have been lost; None where some could."""
    began, ended = during
    if fault is not None:
        return INCONCLUSIVE, fault
    if not load.num_open(began):
        return INCONCLUSIVE, "no stream was open when the restart began"
    if not any(began < request.started < ended for request in load.requests):
        return INCONCLUSIVE, "no request came during the restart"
    return None


def _replaced(rules: Rules, release: Release, asker: Asker, before: set[str]) -> Judgement:
    """See that others answer than before, with the same model."""
    after = _instances(rules, asker)
    if "" in before | after or before & after:
        return INCONCLUSIVE, "the server that answered before the restart still answers"
    found = asker.card()["thinking"]["manifest_sha256"]
    if found != release.model:
        return FAIL, f"behind the restart is another model: {found[:12]}"
    return PASS, "0 lost: every stream and every new request ended whole, and others answer now"


def _instances(rules: Rules, asker: Asker) -> set[str]:
    """Name those who answer; several behind one address are met by asking more than once."""
    cards = [asker.card() for _ in range(2 * rules.drain.num_streams)]
    return {str(card["thinking"].get("instance") or "") for card in cards}
