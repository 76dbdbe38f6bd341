"""The contract over HTTP, around vLLM's own application: requests in, responses out.

Takes our fields out of a request before vLLM sees it; what became of them is written into the
response on its way out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from s1_serve.contract.api import Asked, Dialect, Refusal, read
from s1_serve.contract.exchange import CURRENT, Exchange
from s1_serve.contract.outlet import App, Message, Outlet, Receive, Scope, Send, refuse
from s1_serve.contract.reply import Reply

_GONE = "the client has left"


@dataclass(kw_only=True)
class Contract:
    """An ASGI application. `known_fields` are those of vLLM's request models."""

    app: App
    known_fields: Mapping[Dialect, Collection[str]]
    max_answers: int
    mirrors: bool
    observe: Callable[[Exchange], None]
    is_alive: Callable[[], bool]
    """The engine works: what fails before it was asked is then the request's fault."""
    num_answers: int = 0
    """in flight"""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        dialect = Dialect.at(scope.get("path", ""))
        if scope["type"] != "http" or dialect is None or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        body = await body_of(receive)
        if body is None:
            await refuse(send, dialect, _GONE, None, status=499)
            return
        try:
            asked = self._read(dialect, body)
        except Refusal as refusal:
            await refuse(send, dialect, refusal.message, refusal.field)
            return
        if self.num_answers + asked.num_answers > self.max_answers:
            busy = (
                f"{self.num_answers} answers are in flight and {asked.num_answers} more are asked,"
                f" the limit is {self.max_answers}: try again in a second"
            )
            await refuse(send, dialect, busy, None, status=429, headers=((b"retry-after", b"1"),))
            return
        self.num_answers += asked.num_answers
        try:
            await self._exchange(Exchange(dialect=dialect, asked=asked), scope, receive, send)
        finally:
            self.num_answers -= asked.num_answers

    def _read(self, dialect: Dialect, body: bytes) -> Asked:
        try:
            parsed = json.loads(body)
            json.dumps(parsed, ensure_ascii=False).encode()  # halves of surrogates are no text
        except (ValueError, RecursionError) as error:
            raise Refusal(f"the body is not JSON in UTF-8: {str(error)[:200]}", None) from error
        return read(dialect, parsed, self.known_fields[dialect], self.max_answers)

    async def _exchange(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        body = json.dumps(exchange.asked.body).encode()
        scope["headers"] = [
            *(pair for pair in scope["headers"] if pair[0] != b"content-length"),
            (b"content-length", str(len(body)).encode()),
        ]
        scope.setdefault("state", {})["exchange"] = exchange
        outlet = Outlet(Reply(exchange=exchange, mirrors=self.mirrors), send, self.is_alive)
        token = CURRENT.set(exchange)
        try:
            await self.app(scope, replayed(body, receive), outlet.send)
        except Exception:  # whatever vLLM and Starlette make of a refusal in a stream's first step
            if exchange.refusal is None:
                await outlet.give_up(500, "the server failed")
                raise
            await outlet.refuse()
        else:
            await outlet.give_up(499, _GONE)
        finally:
            CURRENT.reset(token)
            exchange.close()
            self.observe(exchange)


async def body_of(receive: Receive) -> bytes | None:
    """Read a request's body; None where the client left."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def replayed(body: bytes | None, receive: Receive) -> Receive:
    """Give the body once, then what the connection says: that the client left.

    Without a body it had left already.
    """
    waiting = [] if body is None else [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return {"type": "http.disconnect"} if body is None else await receive()

    return again
