"""One engine and the calls of all sessions on it: those that wait, those that it generates.

Sessions hear through the driver. A call that cannot be had fails; its session goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from s1_core.errors import S1Error
from s1_serve.budget.work import Job
from s1_serve.engine import Engine
from s1_serve.news import News
from s1_serve.strategies.calls import Chat, Step
from s1_serve.strategies.driving.answering import Answering, Chatting, Reply
from s1_serve.strategies.driving.asking import Ask, Speech, least, planned, wanted
from s1_serve.strategies.driving.stepping import Bounds, Path
from s1_serve.strategies.driving.striding import Stepping
from s1_serve.strategies.known import Aborted, Event, Failed, Finished, Heard, Result, Started
from s1_serve.strategies.session import Launch


@dataclass(frozen=True, kw_only=True)
class Mind:
    """A model that generates, and what its tokens mean."""

    engine: Engine
    speech: Speech


@dataclass(eq=False)
class Run:
    """A session that has begun."""

    ask: Ask
    started: float
    live: dict[str, tuple[Lane, str]] = field(default_factory=dict)
    """By call: where it is generated, under which name."""

    def waits(self, call: str) -> bool:
        """Say whether the session still wants a call."""
        return self.ask.session.known[call].is_live


@dataclass
class _Live:
    """A call that the engine generates."""

    run: Run
    call: Chat | Step
    answering: Answering


Hear = Callable[[Run, Event], None]


class Lane:
    """Keeps one engine full with the calls of many sessions."""

    def __init__(self, mind: Mind, hear: Hear, heard_every: int) -> None:
        self.queue: deque[tuple[Run, Launch, Chat | Step]] = deque()
        self._mind, self._hear, self._heard_every = mind, hear, heard_every
        self._live: dict[str, _Live] = {}

    def takes(self, count: int) -> bool:
        """Say whether so many calls would start at once; of more than it holds, those it holds."""
        most = self._mind.engine.max_num_seqs
        return not self.queue and len(self._live) + min(max(count, 1), most) <= most

    def fill(self) -> None:
        """Start calls that wait, as long as the engine takes them; some are not wanted any more."""
        while self.queue and len(self._live) < self._mind.engine.max_num_seqs:
            run, launch, call = self.queue.popleft()
            if not run.waits(call.id):
                continue
            try:
                live = _Live(run, call, self._answering(run, launch, call))
                self._go_on(live, live.answering.begin())
            except S1Error as error:
                self._hear(run, Failed(call.id, str(error)))

    def poll(self) -> None:
        """Take one step of the engine, count all that came of it, then tell the sessions."""
        if not self._live:
            return
        came = []
        for news in self._mind.engine.poll():
            live = self._live[news.name]
            if replies := live.answering.hear(news):
                came.append((news, live, replies))
        for name in self._mind.engine.thought():
            thinker = self._live.get(name)  # what another one came to may have stopped it just now
            if thinker and (heard := thinker.answering.think_ends(self._mind.engine.count(name))):
                self._hear(thinker.run, heard)
        for news, live, replies in came:
            for reply in replies:
                if news.name in self._live:
                    self._tell(news, live, reply)

    def cancel(self, run: Run, call: str, name: str) -> None:
        """Stop a call and say what it has cost."""
        tokens = max(self._live.pop(name).answering.tokens, self._mind.engine.count(name))
        self._mind.engine.close([name])
        self._hear(run, Aborted(call, tokens))

    def clear(self) -> None:
        """Stop everything."""
        self._mind.engine.close(self._live)
        self._live.clear()
        self.queue.clear()

    def _go_on(self, live: _Live, what: Job | Result) -> None:
        """Give the engine a call's next job, or its session what it came to."""
        run, call = live.run, live.call
        if isinstance(what, Result):
            self._hear(run, Finished(call.id, what))
            return
        answering = live.answering
        name = self._mind.engine.open(what, streams=answering.streams, num_top=answering.num_top)
        self._live[name] = live
        run.live[call.id] = self, name
        self._hear(run, Started(call.id))

    def _tell(self, news: News, live: _Live, reply: Reply) -> None:
        if isinstance(reply, Heard):
            self._hear(live.run, reply)
            return
        del self._live[news.name], live.run.live[live.call.id]
        if news.result is None:  # a step has ended where the engine would go on
            self._mind.engine.close([news.name])
        self._go_on(live, reply)

    def _answering(self, run: Run, launch: Launch, call: Chat | Step) -> Answering:
        """Plan a call.

        Raises:
            UserError: it has no room, or says what cannot be.
        """
        speech, ask, cap = self._mind.speech, run.ask, launch.max_tokens
        if isinstance(call, Chat):
            asked = wanted(ask, call, cap, least(speech))
            watches = ask.session.policy.watches
            return Chatting(call, speech, asked, self._heard_every if watches else None)
        asked = wanted(ask, call, None, least(speech))  # the cap is the step's, the plan the path's
        path = Path.of(speech.prompt(asked.question), launch.path)
        bounds = Bounds(plan=planned(speech, asked), cap=cap, reserve=speech.answer_tokens)
        return Stepping(call, speech, path, bounds)
