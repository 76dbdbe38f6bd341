"""A vote in which likely answers weigh more: exp(mean logprob) of each sample (card 30).

Weights by a verifier are best-of-n's; `likelihood` takes the likeliest sample without a vote.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies import ballots
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.parameters import check_counts
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.rounds import drawn

NO_LOGPROBS = "the engine gave no logprobs"


def likelihood(sample: Sample) -> float | None:
    """Give the geometric mean of a sample's token probabilities; None where it is not known."""
    mean = sample.result.mean_logprob
    return None if mean is None or math.isnan(mean) else math.exp(min(mean, 0.0))


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """Draw `n` samples and let their answers vote, each with its likelihood as its weight.

    A sample whose likelihood is missing has no weight.
    """

    name: ClassVar[str] = "weighted"
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
        return drawn(known, self.n, top_logprobs=1) or Decision(answer=self.best(known))

    def best(self, known: Known) -> Choice | None:
        answered = known.answered
        voters = [sample for sample in answered if likelihood(sample) is not None]
        if len(voters) < len(answered) and all(s.result.vote is None for s in voters):
            return ballots.fallback(answered, NO_LOGPROBS, self.tie)
        why = f"{len(voters)} samples voted by likelihood"
        return ballots.elect(voters, why, lambda sample: likelihood(sample) or 0.0, self.tie)
