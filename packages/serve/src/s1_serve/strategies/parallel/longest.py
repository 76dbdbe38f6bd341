"""Last finish search, LFS-k@N (arXiv 2512.02008): the k longest of N samples vote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies import ballots
from s1_serve.strategies.known import Known
from s1_serve.strategies.parameters import check_counts
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.rounds import drawn


@dataclass(frozen=True, kw_only=True)
class Longest:
    """Draw `n` samples, wait for all, let the `k` longest that have an answer vote.

    All that are as long as the k-th vote too; k = n is majority voting.
    """

    name: ClassVar[str] = "longest"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    k: int = 3
    """Samples that vote."""
    n: int = 8
    """Samples."""
    tie: str = ballots.TIES[0]
    """Who wins a tied vote: shortest (the leader with the shortest sample) or first."""

    def __post_init__(self) -> None:
        check_counts(n=self.n)
        check_counts(most=self.n, k=self.k)
        ballots.check_tie(self.tie)

    def decide(self, known: Known) -> Decision:
        return drawn(known, self.n) or Decision(answer=self.best(known))

    def best(self, known: Known) -> Choice | None:
        valid = [sample for sample in known.answered if sample.result.vote is not None]
        lengths = sorted((sample.tokens for sample in valid), reverse=True)
        if not valid:
            return ballots.elect(known.answered, ballots.NO_ANSWER)
        cutoff = lengths[min(self.k, len(lengths)) - 1]
        voters = [sample for sample in valid if sample.tokens >= cutoff]
        why = f"the {len(voters)} longest of {len(known.answered)} voted"
        return ballots.elect(voters, why, tie=self.tie)
