"""A vote over samples drawn under different settings (the idea of HEX, arXiv 2510.05040).

HEX varies the block sizes of a diffusion model; here temperature and thinking budget vary. `auto`
and the other strategies draw all samples alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from s1_core.errors import UserError
from s1_serve.strategies import ballots
from s1_serve.strategies.calls import Chat
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.parameters import check_counts, check_shares
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.rounds import awaited

TEMPERATURE, BUDGET = "temperature", "thinking_token_budget"
_MOST_SETTINGS = 64


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Draw `n` samples, each under the next setting of the lists in turn, and let them vote.

    A tie goes to the lowest temperature, then to the smallest budget, then to the shortest.
    """

    name: ClassVar[str] = "schedule"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 8
    """Samples."""
    temperatures: tuple[float, ...] = (0.4, 0.6, 0.8, 1.0)
    """Taken in turn; an empty list leaves the request's own."""
    budgets: tuple[int, ...] = ()
    """Maximum thinking tokens, taken in turn, -1 for no maximum; empty leaves the request's own."""

    def __post_init__(self) -> None:
        check_counts(n=self.n)
        for values, kinds in ((self.temperatures, int | float), (self.budgets, int)):
            if len(values) > _MOST_SETTINGS or not all(_is(value, kinds) for value in values):
                raise UserError(
                    f"schedule has {values!r}: give temperatures as numbers, budgets as whole "
                    f"numbers, at most {_MOST_SETTINGS} of each"
                )
        for temperature in self.temperatures:
            check_shares(most=2.0, temperatures=temperature)
        for budget in self.budgets:
            check_counts(least=-1, most=10_000_000, budgets=budget)

    def decide(self, known: Known) -> Decision:
        calls = [self._call(index) for index in range(self.n)]
        return awaited(known, calls) or Decision(answer=self.best(known))

    def _call(self, index: int) -> Chat:
        lists = ((TEMPERATURE, self.temperatures), (BUDGET, self.budgets))
        overrides = {key: values[index % len(values)] for key, values in lists if values}
        return Chat(id=str(index), index=index, overrides=overrides)

    def best(self, known: Known) -> Choice | None:
        modest = sorted(known.answered, key=_modesty)
        why = f"{len(modest)} samples under varied settings voted"
        return ballots.elect(modest, why, tie="first")


def _is(value: Any, kinds: Any) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _modesty(sample: Sample) -> tuple[float, float, int]:
    """Sort the lowest temperature and the smallest budget first."""
    overrides: Mapping[str, Any] = getattr(sample.call, "overrides", {})
    budget = overrides.get(BUDGET, -1)
    return overrides.get(TEMPERATURE, 0.0), math.inf if budget < 0 else budget, sample.tokens
