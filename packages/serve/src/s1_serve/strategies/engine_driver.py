"""Runs of strategies over engines in this process: many sessions share one continuous batch.

Gives sessions what they wait for and carries out what they ask. Keeps deadlines by the clock, and
the budget of every call as the service does.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic

from s1_core.errors import S1Error
from s1_serve.budget.work import K
from s1_serve.strategies.calls import Chat, Reward, Step
from s1_serve.strategies.driving.asking import Ask, least
from s1_serve.strategies.driving.lane import Lane, Mind, Run
from s1_serve.strategies.known import Event, Failed, Finished, Result, Started
from s1_serve.strategies.session import Effect, Launch, Session

__all__ = ["Ask", "Done", "EngineDriver", "Mind", "Scorer"]

Scorer = Callable[[Sequence[tuple[str, str]]], Sequence[Sequence[float] | None]]
"""from questions and thinkings to P(right) of each step of core.steps; None where it has none"""
Done = Callable[[K, Session, float], Iterable[tuple[K, Ask]]]
"""from a run's key, its session with the outcome and its seconds to the runs that follow"""


@dataclass
class _Waiting(Generic[K]):
    """A run that has not begun."""

    key: K
    ask: Ask

    @cached_property
    def effects(self) -> list[Effect]:
        """What it begins with."""
        return self.ask.session.begin()


class EngineDriver:
    """Drives sessions on one model; `others` are further models by name, `scorers` reward models.

    Policies that watch hear of a sample every `heard_every` tokens.
    """

    def __init__(
        self,
        mind: Mind,
        *,
        others: Mapping[str, Mind] | None = None,
        scorers: Mapping[str, Scorer] | None = None,
        heard_every: int = 8,
    ) -> None:
        self.least = least(mind.speech)
        """Tokens that a call needs to come to an answer at all; session.Limits wants to know."""
        self._main = Lane(mind, self._hear, heard_every)
        self._lanes: dict[str | None, Lane] = {None: self._main}
        for name, other in (others or {}).items():
            self._lanes[name] = Lane(other, self._hear, heard_every)
        self._scorers = scorers or {}
        self._rewards: list[tuple[Run, Reward]] = []

    def run(self, runs: Iterable[tuple[K, Ask]], done: Done[K]) -> None:
        """Run sessions to their outcomes; `done` may give more.

        A session begins once no call of those before it waits for the engine; one that goes by
        which sample ends first, once all samples of its first round can start together.
        """
        waiting, running = deque(_Waiting(*pair) for pair in runs), dict[Run, K]()
        try:
            while waiting or running:
                while waiting and self._has_room(waiting[0]):
                    first = waiting.popleft()
                    run = Run(first.ask, time.monotonic())
                    running[run] = first.key
                    self._do(run, first.effects)
                    self._fill()  # else one run a step would begin
                self._turn(running)
                for run in [run for run in running if run.ask.session.outcome is not None]:
                    seconds = time.monotonic() - run.started
                    followers = done(running.pop(run), run.ask.session, seconds)
                    waiting.extend(_Waiting(*pair) for pair in followers)
        finally:
            self._rewards.clear()
            for lane in self._lanes.values():
                lane.clear()

    def _turn(self, running: Iterable[Run]) -> None:
        """Do all that is due, and one step of every engine."""
        self._expire(running)
        self._fill()
        self._score()
        for lane in self._lanes.values():
            lane.poll()

    def _fill(self) -> None:
        for lane in self._lanes.values():
            lane.fill()

    def _has_room(self, waiting: _Waiting[K]) -> bool:
        """Say whether a session can begin.

        Samples whose order matters start together: else the first to end could be the first to
        get a seat, whatever its length.
        """
        calls = [effect.call for effect in waiting.effects if isinstance(effect, Launch)]
        if waiting.ask.session.policy.ignores_order:
            calls = calls[:1]
        asked = Counter(_model(call) for call in calls if not isinstance(call, Reward))
        lanes = [(name, lane) for name, lane in self._lanes.items() if name is None or asked[name]]
        return all(lane.takes(asked[name]) for name, lane in lanes)

    def _expire(self, running: Iterable[Run]) -> None:
        now = time.monotonic()
        for run in running:
            deadline = run.ask.deadline_s
            if deadline is not None and now - run.started >= deadline:
                self._do(run, run.ask.session.expire())

    def _hear(self, run: Run, event: Event) -> None:
        self._do(run, run.ask.session.hear(event))

    def _do(self, run: Run, effects: Iterable[Effect]) -> None:
        """Carry out what a session asks for; a call that still waits is stopped by its session."""
        for effect in effects:
            if isinstance(effect, Launch):
                self._launch(run, effect)
            elif effect.id in run.live:
                lane, name = run.live.pop(effect.id)
                lane.cancel(run, effect.id, name)

    def _launch(self, run: Run, launch: Launch) -> None:
        call = launch.call
        if isinstance(call, Reward):
            self._rewards.append((run, call))
            return
        model = _model(call)
        if model in self._lanes:
            self._lanes[model].queue.append((run, launch, call))
        else:
            self._hear(run, Failed(call.id, f"there is no model {model}"))

    def _score(self) -> None:
        """Score all that waits for a reward model, each model in one go."""
        waiting = [(run, call) for run, call in self._rewards if run.waits(call.id)]
        self._rewards.clear()
        for name in {call.verifier: None for _, call in waiting}:
            mine = [(run, call) for run, call in waiting if call.verifier == name]
            for run, call in mine:
                self._hear(run, Started(call.id))
            for (run, _), event in zip(mine, self._scores(name, mine), strict=True):
                self._hear(run, event)

    def _scores(self, name: str, calls: Sequence[tuple[Run, Reward]]) -> list[Event]:
        """Ask a reward model, and say what came of each call."""
        if (scorer := self._scorers.get(name)) is None:
            return [Failed(call.id, f"there is no reward model {name}") for _, call in calls]
        asked = [(run.ask.question, _thinking(run.ask.session, call.of)) for run, call in calls]
        try:
            found = scorer(asked)
        except S1Error as error:
            return [Failed(call.id, str(error)) for _, call in calls]
        return [_scored(call.id, scores) for (_, call), scores in zip(calls, found, strict=True)]


def _model(call: Chat | Step) -> str | None:
    return call.model if isinstance(call, Chat) else None


def _scored(name: str, scores: Sequence[float] | None) -> Event:
    if scores is None:
        return Failed(name, "no scores came")
    return Finished(name, Result(scores=tuple(scores)))


def _thinking(session: Session, name: str) -> str:
    """Give the thinking of a sample; of a step that of its whole path."""
    return "".join(sample.result.thinking for sample in session.known.path(name))
