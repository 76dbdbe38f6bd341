"""Majority voting: N samples, one vote each (self-consistency; s1, Section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies import ballots
from s1_serve.strategies.known import Known
from s1_serve.strategies.parallel import clusters
from s1_serve.strategies.parameters import check_counts
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.rounds import drawn


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
    clusters: bool = False
    """Let the model say which answers without a final form mean the same, and count them so."""

    def __post_init__(self) -> None:
        check_counts(n=self.n)
        ballots.check_tie(self.tie)

    def decide(self, known: Known) -> Decision:
        if waiting := drawn(known, self.n):
            return waiting
        if self.clusters and (calls := clusters.grouped(known).missing):
            return Decision(start=calls)
        return Decision(answer=self.best(known))

    def best(self, known: Known) -> Choice | None:
        why = f"{len(known.answered)} samples voted"
        if not self.clusters:
            return ballots.elect(known.answered, why, tie=self.tie)
        groups = clusters.grouped(known)
        if groups.is_mute:
            return ballots.fallback(known.answered, clusters.MUTE, self.tie)
        return ballots.elect(groups.voters, f"{why}, clustered by meaning", tie=self.tie)
