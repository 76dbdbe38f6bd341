"""One reply into the journal: tries, backoff, and the booking of whatever each try cost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass
from typing import Any

from s1_core.errors import UserError
from s1_data.endpoint.asking import Inquiry, Prompt, key, request
from s1_data.endpoint.client import Client, Refusal, Setback
from s1_data.endpoint.journal import Journal
from s1_data.endpoint.reporting import Report
from s1_data.endpoint.spending import FREE, Charge, Spending, price

LONGEST_BACKOFF_S = 60.0


class Lost(Exception):
    """A question ran out of tries."""


class Stopped(Exception):
    """No call is started any more."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Makes calls for an inquiry until `stopped` is set."""

    inquiry: Inquiry
    journal: Journal
    client: Client
    spending: Spending
    report: Report
    stopped: asyncio.Event

    async def bring(self, prompt: Prompt, num: int) -> None:
        """Ask a prompt for the `num`-th time after the first, until a reply is in the journal.

        Raises Refusal or Lost for this question; UserError, CapReached or Stopped for all.
        """
        config, complaint = self.inquiry.config, ""
        name, call = key(config, prompt, num), request(config, prompt, num)
        for trial in range(config.max_retries + 1):
            try:
                await self._try(name, call)
                return
            except Setback as setback:
                complaint = self.report.setback = str(setback)
                if trial < config.max_retries:
                    await self._pause(trial, setback.wait_s)
        raise Lost(f"no usable reply in {config.max_retries + 1} tries, the last: {complaint}")

    async def _try(self, name: str, call: dict[str, Any]) -> None:
        worst = self._worst(call)
        await self.spending.reserve(worst)
        charged = FREE
        try:
            charged = await self._booked(name, call, worst)
        except Setback as setback:
            charged = self._cost(setback, worst)
            raise
        finally:
            self.spending.settle(worst, charged)

    async def _booked(self, name: str, call: dict[str, Any], worst: Charge) -> Charge:
        """Make one call between its two lines in the journal; broken off, the first one stands."""
        if self.stopped.is_set():
            raise Stopped
        self.journal.begin(worst)
        body = {k: v for k, v in call.items() if k != "max_tokens"}
        body[self.inquiry.config.max_tokens_field] = call["max_tokens"]
        try:
            reply = await self.client.send(json.dumps(body).encode())
        except (Refusal, UserError) as error:
            self.journal.break_off(str(error), worst, FREE)
            raise
        except Setback as setback:
            self.journal.break_off(str(setback), worst, self._cost(setback, worst))
            raise
        charged = worst if reply.usage is None else price(self.inquiry.config, *reply.usage)
        self.journal.finish(name, reply, worst, charged)
        return charged

    def _worst(self, call: dict[str, Any]) -> Charge:
        """Bound the cost of a call: no token is shorter than a byte, no reply than max_tokens."""
        messages = json.dumps(call["messages"], ensure_ascii=False)
        num_bytes = len(messages.encode("utf-8", "surrogatepass"))
        return price(self.inquiry.config, num_bytes, call["max_tokens"])

    def _cost(self, setback: Setback, worst: Charge) -> Charge:
        if setback.usage is not None:
            return price(self.inquiry.config, *setback.usage)
        return worst if setback.was_begun else FREE

    async def _pause(self, trial: int, wait_s: float) -> None:
        """Wait as long as the server wished and a random while more; a stop ends it at once."""
        ceiling = min(self.inquiry.config.backoff_s * 2**trial, LONGEST_BACKOFF_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s + random.uniform(0, ceiling)):
                await self.stopped.wait()
