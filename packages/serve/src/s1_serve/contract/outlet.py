"""The way out of the contract: what vLLM's application sends, completed and let go.

Nothing is sent before the engine has answered, so that a refusal is always a 400 and a failure a
status, in a stream too.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from s1_serve.contract.api import Dialect, Refusal
from s1_serve.contract.reply import Reply

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_KINDS = {
    401: "authentication_error", 413: "request_too_large", 429: "rate_limit_error",
    500: "api_error", 502: "api_error", 504: "timeout_error",
}  # fmt: skip


@dataclass
class Outlet:
    """What vLLM sends, completed; held back while a refusal may still come."""

    reply: Reply
    sender: Send
    is_alive: Callable[[], bool]
    held: list[Message] = field(default_factory=list)
    is_stream: bool = False
    is_json: bool = False
    has_sent: bool = False
    is_unreadable: bool = False
    failure: dict[str, Any] | None = None
    pending: bytes = b""

    async def send(self, message: Message) -> None:
        """Take a message of the application; pass on what may be sent by now."""
        exchange = self.reply.exchange
        if exchange.refusal is not None:
            await self.refuse()
            return
        if message["type"] == "http.response.start":
            kind = dict(message["headers"]).get(b"content-type", b"")
            is_good = message["status"] == 200
            # vLLM 0.32 fails of some malformed items of Responses with an IndexError.
            self.is_unreadable = (
                message["status"] == 500 and not exchange.prompt_tokens and self.is_alive()
            )
            self.is_stream = is_good and kind.startswith(b"text/event-stream")
            self.is_json = is_good and kind.startswith(b"application/json")
            self.held.append(message)
            return
        body = self._completed(message)
        is_last = not message.get("more_body", False)
        if self.is_unreadable and is_last:
            exchange.refusal = Refusal(f"the request cannot be read: {_said(body)}", None)
            await self.refuse()
            return
        if self.failure is not None:
            await self._fail(is_last=is_last)
            return
        if self.is_json and is_last:
            _set_length(self.held[0], len(body))
        if body or is_last:
            self.held.append({"type": message["type"], "body": body, "more_body": not is_last})
        if is_last or not self.is_stream or exchange.is_admitted:
            self.has_sent = True
            for each in self.held:
                await self.sender(each)
            self.held = []

    async def _fail(self, *, is_last: bool) -> None:
        """Answer with a stream's first error as if it had not been one."""
        assert self.failure is not None
        if not is_last:
            return
        error = self.failure["error"]
        is_theirs = "request" in str(error.get("type", "")).lower()
        status = error.get("code") or (400 if is_theirs else 500)
        body = _dumped(self.failure)
        headers = [(b"content-type", b"application/json")]
        start = {"type": "http.response.start", "status": status, "headers": headers}
        _set_length(start, len(body))
        self.has_sent = True
        await self.sender(start)
        await self.sender({"type": "http.response.body", "body": body, "more_body": False})

    async def give_up(self, status: int, why: str) -> None:
        """Answer where nothing was sent: BentoML waits for a first byte, hours if need be."""
        if not self.has_sent:
            self.has_sent = True
            await refuse(self.sender, self.reply.exchange.dialect, why, None, status=status)

    async def refuse(self) -> None:
        """Answer with the refusal, once, instead of what was held back."""
        found = self.reply.exchange.refusal
        if found is not None and not self.has_sent:
            self.has_sent = True
            await refuse(self.sender, self.reply.exchange.dialect, found.message, found.field)

    def _completed(self, message: Message) -> bytes:
        body: bytes = message.get("body", b"")
        is_last = not message.get("more_body", False)
        if self.is_stream:
            *events, self.pending = (self.pending + body).split(b"\n\n")
            done = b"".join(map(self._event, events))
            return done + self.pending if is_last else done
        if not self.is_json:
            return body
        self.pending += body
        if not is_last:
            return b""
        parsed = json.loads(self.pending)
        return _dumped(self.reply.whole(parsed) if isinstance(parsed, dict) else parsed)

    def _event(self, event: bytes) -> bytes:
        head, mark, data = event.partition(b"data: ")
        if not mark or not data.startswith(b"{"):
            return event + b"\n\n"
        said = json.loads(data)
        if not self.reply.exchange.is_admitted and isinstance(said.get("error"), dict):
            self.failure = said
        parsed = self.reply.event(said)
        return b"" if parsed is None else head + mark + _dumped(parsed) + b"\n\n"


async def refuse(
    send: Send, dialect: Dialect | None, message: str, param: str | None, *, status: int = 400,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:  # fmt: skip
    """Answer with the error envelope of a dialect."""
    await answer(send, status, envelope(dialect, message, param, status), headers)


def envelope(
    dialect: Dialect | None, message: str, param: str | None, status: int
) -> dict[str, Any]:
    """Write an error as a dialect does."""
    kind = _KINDS.get(status, "invalid_request_error")
    error: dict[str, Any] = {"message": message, "type": kind}
    if dialect is Dialect.MESSAGES:
        return {"type": "error", "error": error}
    return {"error": error | {"param": param, "code": status}}


async def answer(
    send: Send, status: int, body: Any, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Send JSON whole."""
    data = _dumped(body)
    length = (b"content-length", str(len(data)).encode())
    kind_header = (b"content-type", b"application/json")
    start = {"type": "http.response.start", "status": status}
    await send({**start, "headers": [kind_header, length, *headers]})
    await send({"type": "http.response.body", "body": data, "more_body": False})


def _dumped(body: Any) -> bytes:
    # In ASCII: U+2028 raw would end a line for many a reader of event streams.
    return json.dumps(body, separators=(",", ":")).encode()


def _said(body: bytes) -> str:
    """Find the message in an error's envelope."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "it does not fit the API"


def _set_length(start: Message, length: int) -> None:
    others = [pair for pair in start["headers"] if pair[0] != b"content-length"]
    start["headers"] = [*others, (b"content-length", str(length).encode())]
