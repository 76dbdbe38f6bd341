"""The recipe of "The Art of Scaling Test-Time Compute" (arXiv 2512.02008, Table 2).

It chooses by the model's family, which `just calibrate` finds out, and by how much may be spent:
a majority where that is much; where it is little, the first to finish for short-horizon and
non-reasoning models, a single sample for long-horizon ones. Difficulty changes no row of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from s1_core.errors import UserError
from s1_serve.strategies.calibration import LONG, UNKNOWN, Calibration
from s1_serve.strategies.calls import Call, Chat
from s1_serve.strategies.known import Known
from s1_serve.strategies.parallel.majority import Majority
from s1_serve.strategies.parallel.shortest import ANSWER, Shortest
from s1_serve.strategies.parameters import check_counts, check_one_of, given
from s1_serve.strategies.policy import Choice, Decision

LOW, HIGH = "low", "high"
_FEW = 4
"""samples below which a budget is low: so many are needed for a vote to be more than a tie"""


@dataclass(frozen=True, kw_only=True)
class Auto:
    """Choose a strategy for the model and the budget, and do what it does."""

    name: ClassVar[str] = "auto"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = False

    calibration: Calibration | None = given()
    n: int = 8
    """Most samples."""
    compute: str | None = None
    """How much may be spent: low or high; unsaid, low is what affords fewer than 4 samples."""
    tokens: int | None = None
    """Tokens that may be spent in all: no more samples than they afford on average."""
    is_tuned: bool = False
    """Draw at the temperature that calibration found, not at the request's."""

    def __post_init__(self) -> None:
        check_counts(n=self.n)
        if self.compute is not None:
            check_one_of((LOW, HIGH), compute=self.compute)
        tokens = self.tokens
        if tokens is not None and (not isinstance(tokens, int) or tokens < 1):
            raise UserError(f"tokens is {tokens!r}: give a whole number from 1")

    @property
    def affordable(self) -> int:
        """Count the samples that `n` and `tokens` allow."""
        mean = self.calibration.mean_tokens if self.calibration else math.nan
        if self.tokens is None or not mean > 0:
            return self.n
        return max(1, min(self.n, int(self.tokens / mean)))

    @property
    def spends(self) -> str:
        """Say whether much may be spent, or little."""
        return self.compute or (LOW if self.affordable < _FEW else HIGH)

    def resolved(self) -> Majority | Shortest:
        """Give the strategy that it comes to."""
        family = self.calibration.family if self.calibration else UNKNOWN
        if self.spends == HIGH or family == UNKNOWN:
            return Majority(n=self.affordable)
        if family == LONG:
            return Majority(n=1)
        return Shortest(k=1, n=self.affordable, clock=ANSWER)

    @property
    def reason(self) -> str:
        """Explain the choice: the rule and the numbers behind it."""
        chosen = self.resolved()
        name = f"majority of {chosen.n}" if chosen.n > 1 else "a single sample"
        if isinstance(chosen, Shortest):
            name = f"the first of {chosen.n} to finish (FFS-1@{chosen.n})"
        if self.calibration is None:
            return f"{name}: not calibrated, so no family is known (run `just calibrate`)"
        family = self.calibration.family
        if family == UNKNOWN:
            family = "model of no clear family"
        spent = f"n is {self.n}"
        if self.tokens is not None:
            spent += f", {self.tokens} tokens at {self.calibration.mean_tokens:.0f} a sample"
        why = self.calibration.facts.get("why")
        shown = f" ({why})" if isinstance(why, str) and why else ""
        return f"{name}: {family}{shown}, compute is {self.spends} ({spent})"

    def decide(self, known: Known) -> Decision:
        decision = self.resolved().decide(known)
        start = tuple(map(self._tuned, decision.start))
        return replace(decision, start=start, answer=self._explained(decision.answer))

    def best(self, known: Known) -> Choice | None:
        return self._explained(self.resolved().best(known))

    def _tuned(self, call: Call) -> Call:
        heat = self.calibration.temperature if self.calibration and self.is_tuned else None
        if heat is None or not isinstance(call, Chat):
            return call
        return replace(call, overrides={"temperature": heat, **call.overrides})

    def _explained(self, choice: Choice | None) -> Choice | None:
        return choice and replace(choice, why=f"{choice.why}; {self.reason}")
