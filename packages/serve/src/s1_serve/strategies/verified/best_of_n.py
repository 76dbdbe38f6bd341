"""Best of N: a verifier scores N samples, and the best one answers (arXiv 2408.03314, 2110.14168).

`weighted` sums the scores of equal answers and takes the best member of the heaviest answer
(weighted best of N).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies.known import Known
from s1_serve.strategies.parameters import MOST_CALLS, check_counts, given
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.verified import contest
from s1_serve.strategies.verifiers.process import counted
from s1_serve.strategies.verifiers.verifier import Verifier, judged


@dataclass(frozen=True, kw_only=True)
class BestOfN:
    """Draw `n` samples, have each judged `votes` times, answer with the best."""

    name: ClassVar[str] = "best-of-n"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 8
    """Samples."""
    votes: int = 1
    """Independent verdicts on each; their mean is its score."""
    weighted: bool = False
    """Sum the scores of equal answers instead of taking the single best sample."""
    verifier: Verifier = given()

    def __post_init__(self) -> None:
        check_counts(n=self.n)
        check_counts(most=64, votes=self.votes)
        check_counts(most=MOST_CALLS, **counted("n", self.n, self.votes, self.verifier))

    def decide(self, known: Known) -> Decision:
        return contest.decide(known, self)

    def best(self, known: Known) -> Choice | None:
        entered = contest.contestants(known)
        found = contest.scores(judged(known, self.verifier, contest.ids(entered), self.votes))
        return contest.chosen(entered, found, "samples", is_weighted=self.weighted)
