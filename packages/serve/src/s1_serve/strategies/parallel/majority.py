"""Majority voting: N samples, one vote each (self-consistency; s1, Section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies import ballots
from s1_serve.strategies.calls import Chat
from s1_serve.strategies.known import Known
from s1_serve.strategies.parameters import check_counts
from s1_serve.strategies.policy import WAIT, Choice, Decision


@dataclass(frozen=True, kw_only=True)
class Majority:
    """Draw `n` samples and let their answers vote."""

    name: ClassVar[str] = "majority"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 8
    """Samples."""
    tie: str = ballots.TIES[0]
    """Who wins a tied vote: shortest (the leader with the shortest sample) or first."""

    def __post_init__(self) -> None:
        check_counts(n=self.n)
        ballots.check_tie(self.tie)

    def decide(self, known: Known) -> Decision:
        start = tuple(Chat(id=str(index), index=index) for index in range(self.n))
        if len(known.samples) < self.n:
            return Decision(start=start)
        return WAIT if known.live else Decision(answer=self.best(known))

    def best(self, known: Known) -> Choice | None:
        return ballots.elect(known.answered, f"{self.n} samples voted", tie=self.tie)
