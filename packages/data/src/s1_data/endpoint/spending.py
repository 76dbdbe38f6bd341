"""What calls cost, and the cap: a call starts only if its worst case still fits under it.

Owns all arithmetic on money, in whole picodollars, so that sums are exact.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from s1_data.endpoint.config import EndpointConfig

PICODOLLARS = 10**12
"""in a dollar: a token at $0.000001 a million is one"""


@dataclass(frozen=True)
class Charge:
    """Tokens of one call or many, and their price when they were bought."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    picodollars: int = 0

    def __add__(self, other: Charge) -> Charge:
        return Charge(*(a + b for a, b in zip(self.values, other.values, strict=True)))

    def __sub__(self, other: Charge) -> Charge:
        return Charge(*(a - b for a, b in zip(self.values, other.values, strict=True)))

    def __str__(self) -> str:
        price = f"${self.usd:,.2f} and " if self.picodollars else ""
        return f"{price}{self.tokens:,} tokens"

    @property
    def values(self) -> tuple[int, int, int]:
        """Give it as what a journal line holds."""
        return self.prompt_tokens, self.completion_tokens, self.picodollars

    @property
    def tokens(self) -> int:
        """Count prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def usd(self) -> float:
        """Give the price in dollars, to be shown."""
        return self.picodollars / PICODOLLARS


FREE = Charge()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may be spent in all; None is no limit."""

    max_tokens_total: int | None = None
    max_picodollars: int | None = None

    @classmethod
    def of(cls, config: EndpointConfig) -> Limits:
        """Read the caps of a configuration."""
        usd, tokens = config.max_cost_usd, config.max_tokens_total
        money = None if usd is None else int(usd * PICODOLLARS)
        return cls(max_tokens_total=tokens, max_picodollars=money)

    def share(self, elsewhere: Charge, count: int) -> Limits:
        """Divide what `elsewhere` has left into `count` equal shares."""
        tokens, money = self.max_tokens_total, self.max_picodollars
        return Limits(
            max_tokens_total=None if tokens is None else (tokens - elsewhere.tokens) // count,
            max_picodollars=None if money is None else (money - elsewhere.picodollars) // count,
        )

    def broken_by(self, total: Charge) -> str | None:
        """Name the option that `total` would exceed, None when it fits."""
        if self.max_picodollars is not None and total.picodollars > self.max_picodollars:
            return "max_cost_usd"
        if self.max_tokens_total is not None and total.tokens > self.max_tokens_total:
            return "max_tokens_total"
        return None


def price(config: EndpointConfig, prompt_tokens: int, completion_tokens: int) -> Charge:
    """Price tokens at what the configuration says they cost."""
    per_prompt, per_completion = (
        round(usd * (PICODOLLARS // 10**6))
        for usd in (config.usd_per_million_input, config.usd_per_million_output)
    )
    picodollars = per_prompt * prompt_tokens + per_completion * completion_tokens
    return Charge(prompt_tokens, completion_tokens, picodollars)


class CapReached(Exception):
    """No call may start any more; `option` names the cap."""

    def __init__(self, option: str, wanted: Charge) -> None:
        super().__init__(option)
        self.option, self.wanted = option, wanted


class Spending:
    """The account of one process: what is spent, and what calls in flight may yet spend.

    `spent` plus `reserved` never exceeds the limits, as long as no call costs more than it
    reserved.
    """

    def __init__(self, limits: Limits, spent: Charge) -> None:
        self.spent, self.reserved = spent, FREE
        self._limits = limits
        self._settled = asyncio.Event()

    async def reserve(self, worst: Charge) -> None:
        """Set the worst case of a call aside, waiting for calls in flight that may free enough.

        Raises CapReached when nothing is in flight and it still does not fit.
        """
        while option := self._limits.broken_by(self.spent + self.reserved + worst):
            if self.reserved == FREE:
                raise CapReached(option, worst)
            self._settled.clear()
            await self._settled.wait()
        self.reserved += worst

    def settle(self, worst: Charge, charged: Charge) -> None:
        """Turn a reservation into what was charged."""
        self.reserved -= worst
        self.spent += charged
        self._settled.set()
