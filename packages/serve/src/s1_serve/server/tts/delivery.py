"""How the answer of a strategy leaves the server: whole or as a stream, or as the error it is.

Nothing is sent before the engine has answered the first call, so that a refusal is a 400 in a
stream too; only a stream that waits long for it begins, and tells a refusal as its last event. A
client that leaves stops everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from s1_serve.contract.api import Dialect
from s1_serve.contract.outlet import Message, Receive, Send, answer, envelope
from s1_serve.contract.tts import NO_ANSWER
from s1_serve.contract.tts_reply import TtsReply, winner
from s1_serve.strategies.http_driver import HttpDriver
from s1_serve.strategies.session import BROKEN, OUT_OF_TIME, OUT_OF_TOKENS

PROGRESS_S = 0.1
KEEPALIVE_S = 10.0
"""of silence, before a stream begins and in it"""
CLIENT_LEFT = 499
_DONE = b"data: [DONE]\n\n"
_ALIVE = b": still at work\n\n"
_LOG = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Delivery:
    """One response on its way. `status` is what was sent, 499 where nobody waited for it."""

    driver: HttpDriver
    reply: TtsReply
    send: Send
    started: float = field(default_factory=time.monotonic)
    status: int = CLIENT_LEFT
    _best: str | None = None
    _shown: int = 0
    _last: dict[str, Any] | None = None

    @property
    def wall_ms(self) -> int:
        return round(1000 * (time.monotonic() - self.started))

    async def deliver(self, receive: Receive) -> None:
        """Run the strategy and answer; when it returns nothing of it runs any more."""
        run = asyncio.create_task(self.driver.run())
        gone = asyncio.create_task(_left(receive))
        answer = asyncio.create_task(self._answer())
        try:
            await asyncio.wait({gone, answer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            answer.cancel()
            if not self.driver.decided.is_set():
                run.cancel()
            await asyncio.wait({run, gone, answer})
        if not run.cancelled() and (error := run.exception()) is not None:
            _LOG.error(BROKEN, exc_info=error)  # its client has a 500 by now, or has left
        if not answer.cancelled() and (error := answer.exception()) is not None:
            raise error

    async def _answer(self) -> None:
        streams = bool(self.reply.body.get("stream"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KEEPALIVE_S if streams else None):
                await self.driver.begun.wait()
        if streams and self.driver.refusal is None:
            await self._stream()
        else:
            await self.driver.decided.wait()
            await self._whole()

    async def _whole(self) -> None:
        if (fault := self._fault()) is not None:
            self.status, said = fault
            await answer(self.send, self.status, said)
            return
        body = _dumped(self.reply.whole(self.wall_ms))
        self.status = 200
        headers = [(b"content-type", b"application/json")]
        headers += [(b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    def _fault(self) -> tuple[int, dict[str, Any]] | None:
        """Say as which error a run without an answer leaves: its status and its envelope."""
        refusal, outcome = self.driver.refusal, self.driver.session.outcome
        if refusal is not None:
            return _failed(refusal.status, refusal.said, refusal.param)
        if outcome is None or outcome.stopped == BROKEN:
            return _failed(500, BROKEN)
        if outcome.choice is not None:
            return None
        status, said = self._without_answer(outcome.stopped)
        if not self.driver.is_troubled:  # what it did, as of any run: nothing else will come of it
            said["error"]["type"] = NO_ANSWER
            said["tts"] = self.reply.told(self.wall_ms)
        return status, said

    def _without_answer(self, stopped: str) -> tuple[int, dict[str, Any]]:
        if stopped in (OUT_OF_TIME, OUT_OF_TOKENS):
            return _failed(504, f"no answer was there when {stopped}: allow more of it")
        failures = [sample.failure for sample in self.driver.session.known if sample.failure]
        why = failures[0] if failures else stopped
        return _failed(502, f"no sample came to an answer: {why}")

    async def _stream(self) -> None:
        """Tell how it goes until it is decided, then give the winner."""
        if self.driver.decided.is_set() and self._fault() is not None:
            await self._whole()
            return
        self.status = 200
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        if not self.driver.begun.is_set():
            await self._piece(_ALIVE)
        await self._progress()
        if (fault := self._fault()) is not None:
            await answer(self._as_event, *fault)
        else:
            await self._body(self.reply.chunks(self.wall_ms))
        await self.send({"type": "http.response.body", "body": _DONE, "more_body": False})

    async def _progress(self) -> None:
        decided = asyncio.ensure_future(self.driver.decided.wait())
        silent_since = time.monotonic()
        try:
            while not decided.done():
                if (chunk := self._news()) is not None:
                    await self._body([chunk])
                    silent_since = time.monotonic()
                elif time.monotonic() - silent_since > KEEPALIVE_S:
                    await self._piece(_ALIVE)
                    silent_since = time.monotonic()
                await asyncio.wait({decided}, timeout=PROGRESS_S)
        finally:
            decided.cancel()

    def _news(self) -> dict[str, Any] | None:
        """Write a chunk where something has changed since the last."""
        best = self._leader()
        if best != self._best:
            self._best, self._shown = best, 0
        text = self._thinking(best) if best is not None else ""
        chunk = self.reply.progress(best, text[self._shown :])
        self._shown = len(text)
        if chunk["tts"] == self._last:
            return None
        self._last = chunk["tts"]
        return chunk

    def _leader(self) -> str | None:
        """Name the best candidate so far; before one is finished, one that runs."""
        session = self.driver.session
        choice = session.policy.best(session.known)
        if choice is not None:
            return choice.id
        if self._best is not None and session.known[self._best].is_live:
            return self._best
        running = [s for s in session.known.live if s.is_candidate and s.id in self._texts]
        return max(running, key=lambda s: s.tokens).id if running else self._best

    @property
    def _texts(self) -> Mapping[str, Any]:
        return self.driver.transcripts

    def _thinking(self, name: str) -> str:
        known = self.driver.session.known
        if known[name].is_finished:
            return str(winner(known, name)["message"].get("reasoning") or "")
        before = "".join(sample.result.thinking for sample in known.path(name)[:-1])
        return before + "".join(self._texts[name].reasoning if name in self._texts else ())

    async def _body(self, chunks: Iterable[Mapping[str, Any]]) -> None:
        await self._piece(b"".join(b"data: " + _dumped(chunk) + b"\n\n" for chunk in chunks))

    async def _as_event(self, message: Message) -> None:
        """Send an error's envelope in a stream, whose head has long been sent."""
        if body := message.get("body"):
            await self._piece(b"data: " + body + b"\n\n")

    async def _piece(self, data: bytes) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": True})


def _failed(status: int, said: str, param: str | None = None) -> tuple[int, dict[str, Any]]:
    return status, envelope(Dialect.CHAT, said, param, status)


async def _left(receive: Receive) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _dumped(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
