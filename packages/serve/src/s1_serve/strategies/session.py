"""One run of a policy, without the engine: events in, what to launch and to cancel out.

Keeps the caps: samples at the same time, tokens in total (reserved before a call starts, so never
passed), and time, which `expire` tells it is over. Knows no clock and no engine.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from s1_serve.strategies.calls import Call, Reward, Step, is_verifier
from s1_serve.strategies.known import Aborted, Event, Heard, Known, Sample, Started, heard
from s1_serve.strategies.parameters import MOST_CALLS
from s1_serve.strategies.policy import Choice, Policy

OUT_OF_TOKENS = "the token budget was spent"
OUT_OF_TIME = "the deadline had come"
BROKEN = "the strategy failed"
"""it or what carries it out has a bug"""
OUT_OF_CALLS = f"it had made {MOST_CALLS} calls, the limit of a request"
_MOST_TURNS = 10_000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a run may use. `least` is what a call needs to come to an answer at all."""

    concurrency: int = 16
    total_tokens: int | None = None
    """Generated tokens of all calls together, verifiers' too."""
    least: int = 64


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Start a call; `path` are the steps that it continues, `max_tokens` what it may generate."""

    call: Call
    path: tuple[Sample, ...] = ()
    max_tokens: int | None = None


@dataclass(frozen=True)
class Cancel:
    """Stop a call that runs."""

    id: str


Effect = Launch | Cancel


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Generated tokens of a run, stop tokens too: plain runs of an evaluation leave those out."""

    total: int
    sequential: int
    """one after another, from the request to the answer"""
    aborted: int
    """of candidates that were stopped before their end"""
    verifier: int
    """of what judged candidates, to its end or not"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended; without a `choice` there was nothing to choose."""

    choice: Choice | None
    stopped: str
    """Why no more was generated."""
    is_degraded: bool
    """Chosen by less than was asked for: the choice says so, or a candidate failed."""


class Session:
    """A run. Feed it every event; after `outcome` is there it launches nothing more."""

    def __init__(self, policy: Policy, limits: Limits, known: Known) -> None:
        self.policy, self.limits, self.known = policy, limits, known
        self.outcome: Outcome | None = None
        self._waiting: deque[Call] = deque()
        self._running: dict[str, int] = {}  # by id: the tokens reserved for it
        self._stopping: dict[str, int] = {}  # the same, until it is heard what was used of them
        self._launched: set[str] = set()

    def begin(self) -> list[Effect]:
        """Give the first launches."""
        return self._turn()

    def hear(self, event: Event) -> list[Effect]:
        """Take an event in; give what follows from it.

        The `Aborted` that answers a `Cancel` corrects a count and frees what was reserved; a
        `Heard` behind the end of a call that came to nothing corrects what it had thought.
        """
        if isinstance(event, Heard) and self._is_lost(event.id):
            self._correct(event)
            return []
        before, self.known = self.known, heard(self.known, event)
        has_ended = not isinstance(event, Started | Heard)
        has_stopped = has_ended and self._stopping.pop(event.id, None) is not None
        if self.outcome is not None or (self.known is before and not has_stopped):
            return []
        if self.known[event.id].is_live:
            if isinstance(event, Started) or not self.policy.watches:
                return []
        else:
            self._running.pop(event.id, None)
        return self._turn()

    def expire(self, why: str = OUT_OF_TIME) -> list[Effect]:
        """Stop everything and answer with the best there is."""
        if self.outcome is not None:
            return []
        self.known = replace(self.known, is_closed=True)
        effects = self._stop([sample.id for sample in self.known.live])
        choice = self.policy.best(self.known)
        self.outcome = Outcome(choice=choice, stopped=why, is_degraded=True)
        return effects

    def fail(self) -> None:
        """End without a choice, and ask the policy nothing more: it may be what is broken."""
        if self.outcome is None:
            self.known = replace(self.known, is_closed=True)
            self._stop([sample.id for sample in self.known.live])
            self.outcome = Outcome(choice=None, stopped=BROKEN, is_degraded=True)

    @property
    def tokens(self) -> Tokens:
        """Count what was generated so far."""
        spent = {sample.id: sample.tokens for sample in self.known}
        return Tokens(
            total=sum(spent.values()),
            sequential=max((sample.sequential for sample in self.known), default=0),
            aborted=sum(spent[s.id] for s in self.known if s.is_candidate and s.state == "aborted"),
            verifier=sum(spent[s.id] for s in self.known if is_verifier(s.call)),
        )

    @property
    def candidates(self) -> list[Sample]:
        """List the candidates that were started, in the order in which they were asked for."""
        return [s for s in self.known if s.is_candidate and s.id in self._launched]

    def counts(self) -> Mapping[str, int]:
        """Count the candidates that were started, and how they ended; verifiers are not."""
        states = Counter[str](sample.state for sample in self.candidates)
        ends = ("finished", "aborted", "failed")
        return {"started": states.total(), **{end: states[end] for end in ends}}

    def _turn(self) -> list[Effect]:
        """Let the policy decide until it waits or answers."""
        effects: list[Effect] = []
        for _ in range(_MOST_TURNS):
            decision = self.policy.decide(self.known)
            if decision.answer is not None:
                effects += self._stop([sample.id for sample in self.known.live])
                choice = decision.answer
                has_lost = any(s.is_candidate and s.state == "failed" for s in self.known)
                is_degraded = choice.is_degraded or has_lost
                self.outcome = Outcome(choice=choice, stopped=choice.why, is_degraded=is_degraded)
                return effects
            fresh = {call.id: call for call in decision.start if call.id not in self.known}
            gone = [name for name in decision.abort if self._is_live(name)]
            if not fresh and not gone:
                break
            if len(self.known.samples) + len(fresh) > MOST_CALLS:
                return [*effects, *self.expire(OUT_OF_CALLS)]
            base = max((s.sequential for s in self.known if not s.is_live), default=0)
            self.known = self.known.all_asked(fresh.values(), base)
            self._waiting.extend(fresh.values())
            effects += self._stop(gone)
        else:
            raise AssertionError(f"{self.policy.name} decides for ever")
        effects += self._launches()
        if not (self._running or self._stopping) and self.outcome is None:
            effects += self.expire(OUT_OF_TOKENS if self._waiting else "nothing was left to do")
        return effects

    def _is_live(self, name: str) -> bool:
        return name in self.known and self.known[name].is_live

    def _is_lost(self, name: str) -> bool:
        return name in self.known and self.known[name].state in ("aborted", "failed")

    def _correct(self, event: Heard) -> None:
        sample = self.known[event.id]
        most = max(sample.thinking_tokens, event.thinking_tokens)
        samples = {**self.known.samples, event.id: replace(sample, thinking_tokens=most)}
        self.known = replace(self.known, samples=samples)

    def _stop(self, names: list[str]) -> list[Effect]:
        """Take back those that wait, cancel those that run."""
        effects: list[Effect] = []
        for name in names:
            if name in self._running:
                effects.append(Cancel(name))
                reserved = self._running.pop(name)
                if reserved and self.known[name].state != "waiting":
                    self._stopping[name] = reserved
            self.known = heard(self.known, Aborted(name, self.known[name].tokens))
        self._waiting = deque(call for call in self._waiting if self._is_live(call.id))
        return effects

    def _launches(self) -> list[Effect]:
        """Start what may run: each call of a round gets an equal share of what is left."""
        effects: list[Effect] = []
        while self._waiting and len(self._running) < self.limits.concurrency:
            share = self._share()
            is_spent = share is not None and share < self.limits.least
            payable = (c for c in self._waiting if not is_spent or isinstance(c, Reward))
            if (call := next(payable, None)) is None:
                break
            self._waiting.remove(call)
            if isinstance(call, Reward) and share is not None:
                share = 0  # it generates nothing
            path = self.known.path(call.id)[:-1] if isinstance(call, Step) else ()
            effects.append(Launch(call=call, path=tuple(path), max_tokens=share))
            self._running[call.id] = share or 0
            self._launched.add(call.id)
        return effects

    def _share(self) -> int | None:
        if self.limits.total_tokens is None:
            return None
        reserved = self._running | self._stopping
        spent = sum(s.tokens for s in self.known if s.id not in reserved)
        left = self.limits.total_tokens - spent - sum(reserved.values())
        claims = sum(not isinstance(call, Reward) for call in self._waiting)
        return left // max(min(claims, left // self.limits.least), 1)
