"""Strategies over HTTP, around the contract: one chat request in, many through it, one answer out.

Requests without a strategy pass untouched. Refuses, in the error envelope, what no strategy can
honour, and more strategies at a time than may wait.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from s1_serve.contract.api import Dialect, Refusal
from s1_serve.contract.middleware import body_of, replayed
from s1_serve.contract.outlet import App, Receive, Scope, Send, refuse
from s1_serve.contract.tts import mentions
from s1_serve.contract.tts_reply import TtsReply
from s1_serve.server.tts.delivery import Delivery
from s1_serve.server.tts.order import House, Order, ordered
from s1_serve.server.tts.seats import Seats
from s1_serve.strategies.http_driver import Ask, HttpDriver, Route
from s1_serve.strategies.known import Known
from s1_serve.strategies.session import Session
from s1_serve.strategies.wire.asgi import AsgiPoster

STATE = "strategy"
"""where the request's scope holds its delivery, for the log"""
_SEEDS = 2**31


@dataclass(kw_only=True)
class Strategist:
    """An ASGI application around the contract's."""

    app: App
    house: House
    seats: Seats
    mirrors: bool
    timeout_s: float
    """Most time of a run, whatever its deadline."""
    observe: Callable[[Delivery], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_http = scope["type"] == "http" and scope["method"] == "POST"
        if not is_http or Dialect.at(scope["path"]) is not Dialect.CHAT:
            await self.app(scope, receive, send)
            return
        started, body = time.monotonic(), await body_of(receive)
        try:
            may_want = body is not None and mentions(body, self.house.name)
            order = ordered(body, self.house) if body is not None and may_want else None
        except Refusal as refusal:
            await refuse(send, Dialect.CHAT, refusal.message, refusal.field)
            return
        if order is None:
            await self.app(scope, replayed(body, receive), send)
        elif self.seats.is_full:
            await self._turn_away(send)
        else:
            await self._carry_out(order, started, scope, receive, send)

    async def _turn_away(self, send: Send) -> None:
        busy = f"{self.seats.num_parties} strategies are at work, the limit: try again in a second"
        again = ((b"retry-after", b"1"),)
        await refuse(send, Dialect.CHAT, busy, None, status=429, headers=again)

    async def _carry_out(
        self, order: Order, started: float, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async with self.seats.party() as seat:
            own = Route(poster=AsgiPoster(self.app), model=order.model, seat=seat)
            driver = self._driver(order, own)
            reply = self._reply(order, driver.session)
            delivery = Delivery(driver=driver, reply=reply, send=send, started=started)
            scope.setdefault("state", {})[STATE] = delivery
            try:
                await delivery.deliver(receive)
            finally:
                self.observe(delivery)

    def _driver(self, order: Order, own: Route) -> HttpDriver:
        client, deployment = order.client, self.house.deployment
        seed = secrets.randbelow(_SEEDS) if client.seed is None else client.seed
        known = Known(question=client.question, seed=seed)
        asked_ms = order.wanted.deadline_ms
        timeout_s = self.timeout_s if asked_ms is None else min(asked_ms / 1000, self.timeout_s)
        ask = Ask(
            client=client,
            routes={**deployment.routes, None: own},
            scorers=deployment.scorers,
            voice=self.house.voice,
            deadline=asyncio.get_running_loop().time() + timeout_s,
        )
        return HttpDriver(Session(order.policy, order.limits, known), ask)

    def _reply(self, order: Order, session: Session) -> TtsReply:
        head: dict[str, Any] = {
            "id": f"chatcmpl-{secrets.token_hex(16)}",
            "created": int(time.time()),
            "model": order.body.get("model") or self.house.name,
        }
        return TtsReply(
            session=session,
            strategy=order.wanted.strategy,
            parameters=order.parameters,
            body=order.body,
            shows_thinking=order.asked.shows_thinking,
            mirrors=self.mirrors,
            returns_candidates=order.wanted.returns_candidates,
            head=head,
        )
