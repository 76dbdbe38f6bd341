"""Posts calls to an ASGI application in this process, and leaves it as a client would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from s1_serve.strategies.wire.poster import GOOD, Json, Refused, Target, events_of, refusal, whole

_App = Callable[..., Awaitable[None]]
_Message = MutableMapping[str, Any]
_LEAVE_S = 10.0
"""for an application to end after its client left; then it is cancelled"""


@dataclass(frozen=True)
class AsgiPoster:
    """Posts to an application in this process."""

    app: _App

    async def target(self, model: str | None) -> Target:
        assert model is not None
        return Target(model, is_ours=True)

    async def events(self, path: str, body: Json) -> AsyncGenerator[Json, None]:
        async with aclosing(self._messages(path, body)) as messages:
            start = await anext(messages)
            pieces = (message.get("body", b"") async for message in messages)
            if start["status"] != GOOD:
                raise refusal(start["status"], b"".join([piece async for piece in pieces]))
            async for event in events_of(pieces):
                yield event

    async def post(self, path: str, body: Json) -> Json:
        async with aclosing(self._messages(path, body)) as messages:
            start = await anext(messages)
            said = b"".join([message.get("body", b"") async for message in messages])
        return whole(start["status"], said)

    async def _messages(self, path: str, body: Json) -> AsyncGenerator[_Message, None]:
        """Give what the application sends, its start first."""
        parts, gone = [json.dumps(body).encode()], asyncio.Event()
        sent: asyncio.Queue[_Message | None] = asyncio.Queue()

        async def receive() -> _Message:
            if parts:
                return {"type": "http.request", "body": parts.pop(), "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: _Message) -> None:
            sent.put_nowait(message)

        task = asyncio.ensure_future(self.app(_scope(path, len(parts[0])), receive, send))
        task.add_done_callback(lambda _: sent.put_nowait(None))
        has_started = False
        try:
            while (message := await sent.get()) is not None:
                has_started = True
                yield message
            if not has_started or task.exception() is not None:
                raise Refused(500, f"the server failed: {task.exception() or 'no answer'}")
        finally:
            gone.set()
            await _ended(task)


async def _ended(task: asyncio.Future[None]) -> None:
    """Let an application end that was told that its client is gone."""
    try:
        await asyncio.wait({task}, timeout=_LEAVE_S)
    finally:
        if not task.done():
            task.cancel()
        elif not task.cancelled():
            task.exception()  # told already, or of no one's interest


def _scope(path: str, length: int) -> _Message:
    return {
        "type": "http",
        # From 2.4 on Starlette waits for a failing send instead of for the disconnect.
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", str(length).encode()),
        ],
        "client": None,
        "server": None,
        "state": {},
    }
