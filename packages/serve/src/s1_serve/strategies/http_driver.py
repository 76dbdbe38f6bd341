"""Runs a session over HTTP: every call a request of its own, stopped by closing its stream.

The requests go to our own application or to any server of the chat API (`wire.poster`). Refuses a
request of which the first call is refused: all others would be, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from s1_core.errors import UserError
from s1_serve.strategies.calls import Chat, Reward, Step, is_verifier
from s1_serve.strategies.known import Aborted, Event, Failed, Finished, Known, Result, Started
from s1_serve.strategies.session import Cancel, Effect, Launch, Session
from s1_serve.strategies.wire.body import Client, chat_body, foreign
from s1_serve.strategies.wire.poster import Poster, Refused
from s1_serve.strategies.wire.steps import Stepper, Voice
from s1_serve.strategies.wire.transcript import Transcript

CHAT = "/v1/chat/completions"
LEFT = "the client has left"
_HEARD_S = 0.05
"""between two reports of how far a call has come; that its thinking ended is told at once"""
_BUSY_S = (0.05, 0.1, 0.2, 0.5, *[1.0] * 60)
"""waits before a server that is full is asked again"""

Scorer = Callable[[str, str], Awaitable[Sequence[float]]]
"""question and thinking to P(right) of each step"""


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where a model is asked."""

    poster: Poster
    model: str | None = None
    """As its server calls it; None is the first there."""
    seat: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext
    """Is entered before a call is posted and left behind its end."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One run of a strategy."""

    client: Client
    routes: Mapping[str | None, Route]
    """Models by the names that calls use; None is the one that the client asks."""
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    voice: Voice | None = None
    """What the served model's tokens mean; without it there are no steps."""
    deadline: float | None = None
    """By the clock of the event loop."""


class HttpDriver:
    """One session and its running calls. After `decided` is set the outcome or a refusal is there;
    `run` ends when everything that was stopped has ended."""

    def __init__(self, session: Session, ask: Ask) -> None:
        self.session, self.ask = session, ask
        self.refusal: Refused | None = None
        self.begun, self.decided = asyncio.Event(), asyncio.Event()
        self.transcripts: dict[str, Transcript] = {}
        self.is_troubled = False
        """A candidate failed of its server, which was full or broken: later it might not."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group = asyncio.TaskGroup()
        self._stepper: Stepper | None = None

    async def run(self) -> None:
        """Run the session to its outcome; cancelled, stop everything."""
        try:
            async with self._group:
                with self._guarded():
                    self._apply(self.session.begin())
                    await self._decided()
        finally:
            self.begun.set()
            self.decided.set()

    async def _decided(self) -> None:
        try:
            async with asyncio.timeout_at(self.ask.deadline):
                await self.decided.wait()
        except TimeoutError:
            self._apply(self.session.expire())
        except asyncio.CancelledError:
            self._apply(self.session.expire(LEFT))
            raise

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Close the session before a bug flies.

        The group then stops all calls, as where the client left, and their ends would have an
        open session start more.
        """
        try:
            yield
        except Exception:
            self.session.fail()
            self._apply(())
            raise

    def _apply(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Cancel):
                self._tasks[effect.id].cancel()
                continue
            name = effect.call.id
            self._tasks[name] = self._group.create_task(self._call(effect))
        if self.session.outcome is not None:
            self.begun.set()
            self.decided.set()

    def _hear(self, event: Event) -> None:
        self._apply(self.session.hear(event))

    async def _call(self, launch: Launch) -> None:
        """Make one call and tell the session what becomes of it."""
        transcript = self.transcripts[launch.call.id] = Transcript()
        try:
            with self._guarded():
                await self._made(launch, transcript)
        finally:  # of one that was stopped or failed the last report may be old
            self._hear(transcript.heard(launch.call.id))

    async def _made(self, launch: Launch, transcript: Transcript) -> None:
        name = launch.call.id
        try:
            result = await self._patiently(launch, transcript)
        except asyncio.CancelledError:
            self._hear(Aborted(name, transcript.tokens))
            raise
        except UserError as error:
            if isinstance(error, Refused) and self._is_refusal(launch, error):
                self.refusal = error
                self._apply(self.session.expire(error.said))
            is_theirs = isinstance(error, Refused) and not error.is_ours
            self.is_troubled |= is_theirs and not is_verifier(launch.call)
            self._hear(Failed(name, str(error), transcript.tokens))
        else:
            self.begun.set()
            self._hear(Finished(name, result))

    def _is_refusal(self, launch: Launch, error: Refused) -> bool:
        is_first = not self.begun.is_set() and not is_verifier(launch.call)
        return is_first and error.is_ours and getattr(launch.call, "model", None) is None

    async def _patiently(self, launch: Launch, transcript: Transcript) -> Result:
        """Ask, and ask again while the server is full."""
        for wait_s in _BUSY_S:
            try:
                return await self._result(launch, transcript)
            except Refused as error:
                if not error.is_busy or transcript.tokens:
                    raise
            await asyncio.sleep(wait_s)
        return await self._result(launch, transcript)

    async def _result(self, launch: Launch, transcript: Transcript) -> Result:
        call = launch.call
        if isinstance(call, Reward):
            return await self._reward(call)
        if isinstance(call, Step):
            return await self._step(launch, transcript)
        return await self._chat(call, launch.max_tokens, transcript)

    async def _chat(self, call: Chat, most: int | None, transcript: Transcript) -> Result:
        route = self.ask.routes.get(call.model)
        if route is None:
            raise UserError(f"there is no model {call.model}")
        target = await route.poster.target(route.model)
        body = chat_body(call, self.ask.client, target.model, most)
        async with route.seat():
            events = route.poster.events(CHAT, body if target.is_ours else foreign(body))
            async with aclosing(events):
                await self._listen(call.id, events, transcript)
        if not transcript.is_complete:
            raise UserError("the stream broke off before the answer's end")
        return transcript.result()

    async def _listen(self, name: str, events: Any, transcript: Transcript) -> None:
        """Follow a stream; say at once that thinking ended, all else now and then."""
        clock, told_at, had_thought = asyncio.get_running_loop().time, 0.0, False
        async for event in events:
            if not told_at:
                self.begun.set()
                self._hear(Started(name))
            transcript.feed(event)
            is_news = transcript.has_thought and not had_thought
            if is_news or clock() - told_at > _HEARD_S:
                told_at, had_thought = clock(), transcript.has_thought
                self._hear(transcript.heard(name))
        self._hear(transcript.heard(name))

    async def _step(self, launch: Launch, transcript: Transcript) -> Result:
        route, voice = self.ask.routes[None], self.ask.voice
        if voice is None or route.model is None:
            raise UserError("a search over steps needs a service of ours to go on from token ids")
        if self._stepper is None:
            self._stepper = Stepper(route.poster, route.model, self.ask.client, voice)
        async with route.seat():
            self._hear(Started(launch.call.id))
            return await self._stepper.result(launch, self.session, transcript)

    async def _reward(self, call: Reward) -> Result:
        scorer = self.ask.scorers.get(call.verifier)
        if scorer is None:
            raise UserError(f"there is no reward model {call.verifier}")
        thinking = thought(self.session.known, call.of)
        self._hear(Started(call.id))
        scores = await scorer(self.ask.client.question, thinking)
        return Result(scores=tuple(scores))


def thought(known: Known, name: str) -> str:
    """Give all thinking of a call, of a step that of its path."""
    return "".join(sample.result.thinking for sample in known.path(name))
