"""Who may ask, and how much: keys, sizes, one log line a request.

An ASGI middleware around the whole service. Probes and metrics are open; all else wants a key where
there are keys. Refuses with 401 and 413, in the words of the dialect asked.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from s1_serve.contract.api import Dialect
from s1_serve.contract.outlet import App, Message, Receive, Scope, Send, refuse
from s1_serve.server.telemetry import Telemetry, log, told, told_strategy
from s1_serve.server.tts.delivery import CLIENT_LEFT
from s1_serve.server.tts.strategist import STATE

PAGE = "/ui"
_ID = re.compile(r"[\x21-\x7e]{1,128}")
_OPEN_PATHS = ("/livez", "/readyz", "/healthz", "/metrics")
_PAGE_PATHS = ("/", PAGE, "/favicon.ico", "/manifest.json")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What all requests share."""

    keys: Sequence[str]
    max_body_bytes: int
    telemetry: Telemetry
    logs_prompts: bool = False

    def admits(self, scope: Scope) -> bool:
        """Compare with every key, each in constant time."""
        if not self.keys:
            return True
        headers = dict(scope["headers"])
        given = headers.get(b"authorization", b"").removeprefix(b"Bearer ").strip()
        given = given or headers.get(b"x-api-key", b"").strip()
        found = False
        for key in self.keys:  # all of them: the time must not tell which
            found |= hmac.compare_digest(given, key.encode())
        return found


class Access:
    """The middleware; `gate` is shared with the service."""

    def __init__(self, app: App, gate: Gate) -> None:
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope=scope, send_on=send)
        state = scope.setdefault("state", {})
        try:
            await self._visit(visit, scope, receive)
        except Exception:
            visit.status = visit.status or 500  # so the server around us answers
            raise
        finally:
            if visit.status and visit.status >= 400:
                self._gate.telemetry.refusals.labels(str(visit.status)).inc()
            if not scope["path"].startswith(PAGE):
                fields = visit.told()
                if exchange := state.get("exchange"):
                    fields |= told(exchange, with_prompt=self._gate.logs_prompts)
                if strategy := state.get(STATE):
                    fields |= told_strategy(strategy, with_prompt=self._gate.logs_prompts)
                log(**fields)

    async def _visit(self, visit: _Visit, scope: Scope, receive: Receive) -> None:
        gate, dialect = self._gate, Dialect.at(scope["path"])
        is_page = scope["path"] in _PAGE_PATHS or scope["path"].startswith(PAGE + "/")

        if not is_page and not gate.admits(scope):
            wanted = "no valid API key: send Authorization: Bearer KEY or x-api-key: KEY"
            await refuse(visit.send, dialect, wanted, None, status=401)
            return
        body = await _limited(receive, scope, gate.max_body_bytes)
        if body is None:
            limit = f"the body is larger than {gate.max_body_bytes} bytes, the limit of this server"
            await refuse(visit.send, dialect, limit, None, status=413)
            return
        await self._app(scope, body, visit.send)


@dataclass
class _Visit:
    """One request as the log tells it."""

    scope: Scope
    send_on: Send
    started: float = field(default_factory=time.monotonic)
    status: int | None = None
    id: str = ""

    def __post_init__(self) -> None:
        given = dict(self.scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        self.id = given if _ID.fullmatch(given) else secrets.token_hex(16)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            others = [pair for pair in message.get("headers", []) if pair[0] != b"x-request-id"]
            message["headers"] = [*others, (b"x-request-id", self.id.encode())]
        await self.send_on(message)

    def told(self) -> dict[str, Any]:
        return {
            "request_id": self.id,
            "method": self.scope["method"],
            "path": self.scope["path"],
            "status": CLIENT_LEFT if self.status is None else self.status,
            "seconds": round(time.monotonic() - self.started, 4),
        }


async def _limited(receive: Receive, scope: Scope, limit: int) -> Receive | None:
    """Count the body as it comes; None where it is larger than may be, announced or not."""
    announced = dict(scope["headers"]).get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limit:
        return None
    messages: list[Message] = []
    size = 0
    while True:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if size > limit:
            return None
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            break

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again
