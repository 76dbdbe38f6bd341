"""Best of N by likelihood: the sample with the highest mean logprob answers, nobody votes.

What the released code of arXiv 2512.02008 calls beam search (`best_of` of an API); the paper finds
that it gets no better with N.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies import ballots
from s1_serve.strategies.known import Known
from s1_serve.strategies.parallel.weighted import NO_LOGPROBS, likelihood
from s1_serve.strategies.parameters import check_counts
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.rounds import drawn


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Draw `n` samples and give the likeliest; of equal ones the shortest."""

    name: ClassVar[str] = "likelihood"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 8
    """Samples."""

    def __post_init__(self) -> None:
        check_counts(n=self.n)

    def decide(self, known: Known) -> Decision:
        return drawn(known, self.n, top_logprobs=1) or Decision(answer=self.best(known))

    def best(self, known: Known) -> Choice | None:
        found = known.answered
        found = [sample for sample in found if sample.result.vote is not None] or found
        scored = [(p, sample) for sample in found if (p := likelihood(sample)) is not None]
        if not scored:
            return ballots.fallback(known.answered, NO_LOGPROBS)
        probability, likeliest = min(scored, key=lambda pair: (-pair[0], pair[1].tokens))
        why = f"the likeliest of {len(scored)}: {probability:.3f} a token"
        return Choice(id=likeliest.id, why=why)
