"""Who posts a call, and the one who does so over HTTP, to any server of the chat API.

A poster gives a stream's events one by one and drops the request when the generator is closed, so
that the engine behind frees it. Refuses nothing itself: what the other side refuses is `Refused`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from s1_core.errors import UserError

Json = dict[str, Any]
BUSY = (429, 503)
GOOD = 200
TIMEOUT = httpx.Timeout(120.0, connect=5.0)
"""of silence: a stream that goes on may take as long as it likes"""
_MOST_SAID = 300


class Refused(UserError):
    """The other side answered with an error."""

    def __init__(self, status: int, said: str, param: str | None = None) -> None:
        super().__init__(said)
        self.status, self.said, self.param = status, said, param

    @property
    def is_busy(self) -> bool:
        """Say whether the same request may work later."""
        return self.status in BUSY

    @property
    def is_ours(self) -> bool:
        """Say whether the request itself is at fault."""
        return 400 <= self.status < 500 and not self.is_busy


@dataclass(frozen=True)
class Target:
    """A model as its server calls it; `is_ours` where the server knows all fields of ours."""

    model: str
    is_ours: bool


class Poster(Protocol):
    """Posts JSON. All raise Refused, whatever fails."""

    async def target(self, model: str | None) -> Target:
        """Find a model, or the first that there is."""
        ...

    def events(self, path: str, body: Json) -> AsyncGenerator[Json, None]:
        """Post a request that streams; give its events."""
        ...

    async def post(self, path: str, body: Json) -> Json:
        """Post a request; give its whole answer."""
        ...


class HttpPoster:
    """Posts to a server; `url` is its root or ends in /v1. `close` it."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.url = url.rstrip("/").removesuffix("/v1")
        try:
            self.client = httpx.AsyncClient(
                base_url=self.url,
                headers=headers,
                timeout=TIMEOUT,
                limits=httpx.Limits(max_connections=None),
            )
        except httpx.InvalidURL as error:
            raise UserError(f"{url} is no URL ({error}): give http://HOST:PORT") from error
        self._targets: dict[str | None, Target] = {}

    async def target(self, model: str | None) -> Target:
        if model not in self._targets:
            self._targets[model] = await self._found(model)
        return self._targets[model]

    async def _found(self, model: str | None) -> Target:
        try:
            response = await self.client.get("/v1/models")
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        listed = whole(response.status_code, response.content, self.url).get("data")
        cards = [card for card in listed or [] if isinstance(card, dict) and "id" in card]
        found = next((card for card in cards if model in (None, card["id"])), None)
        if found is None:
            raise Refused(502, f"{self.url} has no model {model or 'at all'}")
        return Target(found["id"], is_ours=isinstance(found.get("thinking"), dict))

    async def events(self, path: str, body: Json) -> AsyncGenerator[Json, None]:
        try:
            async with self.client.stream("POST", path, json=body) as response:
                if response.is_error:
                    raise refusal(response.status_code, await response.aread(), self.url)
                async for event in events_of(response.aiter_bytes()):
                    yield event
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    async def post(self, path: str, body: Json) -> Json:
        try:
            response = await self.client.post(path, json=body)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return whole(response.status_code, response.content, self.url)

    def _unreachable(self, error: httpx.HTTPError) -> Refused:
        return Refused(502, f"no answer from {self.url} ({type(error).__name__})")

    async def close(self) -> None:
        """Let all connections go."""
        await self.client.aclose()


async def events_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[Json]:
    """Part a stream into its events' JSON; an error among them is a refusal."""
    pending = b""
    async for piece in pieces:
        *lines, pending = (pending + piece).split(b"\n")
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if len(data) < len(line) and data.startswith(b"{"):
                event = parsed(data)
                if event.get("error"):
                    raise refusal(500, data)
                yield event


def whole(status: int, said: bytes, url: str = "") -> Json:
    """Read a whole answer."""
    if status != GOOD:
        raise refusal(status, said, url)
    return parsed(said, url)


def parsed(said: bytes, url: str = "") -> Json:
    """Read a JSON object."""
    with contextlib.suppress(ValueError):
        found = json.loads(said)
        if isinstance(found, dict):
            return found
    raise Refused(502, f"{url or 'the server'} answers no JSON object")


def refusal(status: int, body: bytes, url: str = "") -> Refused:
    """Read what an error says, in one line."""
    said, param = body.decode(errors="replace"), None
    with contextlib.suppress(ValueError, KeyError, TypeError):
        error = json.loads(body)["error"]
        said, param = str(error["message"]), error.get("param")
    said = " ".join(said.split())[:_MOST_SAID]
    return Refused(status, f"{url} answers {status}: {said}" if url else said, param)
