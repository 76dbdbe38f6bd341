"""Pessimistic verification: the answer with the best lower bound of its verdicts wins.

After Heimdall (arXiv 2504.10337): N solutions with M verdicts each; an answer a with N_a solutions
and the mean verdict r(a) counts r(a) - alpha * ln(N M) / (N_a M + 1). Alpha 0 is the best mean
verdict; a large alpha comes to majority voting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.parameters import MOST_CALLS, check_counts, check_shares, given
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.verified import contest
from s1_serve.strategies.verifiers.process import counted
from s1_serve.strategies.verifiers.verifier import Judged, Verifier, judged


@dataclass(frozen=True, kw_only=True)
class Pessimistic:
    """Draw `n` samples with `votes` verdicts each; few verdicts count against an answer."""

    name: ClassVar[str] = "pessimistic"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 8
    """Samples (N)."""
    votes: int = 2
    """Independent verdicts on each (M)."""
    alpha: float = 0.1
    """How much is taken off for an answer of few samples."""
    verifier: Verifier = given()

    def __post_init__(self) -> None:
        check_counts(n=self.n)
        check_counts(most=64, votes=self.votes)
        check_counts(most=MOST_CALLS, **counted("n", self.n, self.votes, self.verifier))
        check_shares(most=1e6, alpha=self.alpha)

    def decide(self, known: Known) -> Decision:
        return contest.decide(known, self)

    def best(self, known: Known) -> Choice | None:
        entered = contest.contestants(known)
        judging = judged(known, self.verifier, contest.ids(entered), self.votes)
        found = contest.scores(judging)
        groups = contest.by_answer(contest.scored(entered, found))
        if not groups:
            return contest.unjudged(entered)
        bounds = self._bounds(groups, judging)
        key = min(groups, key=lambda name: (-bounds[name], min(s.tokens for s in groups[name])))
        winner = contest.best(groups[key], found)
        votes = {  # a share is never below 0, so a bound below it says no more than 0
            str(groups[name][0].result.vote): max(bounds[name], 0.0)
            for name in sorted(groups, key=lambda name: -bounds[name])
            if groups[name][0].result.vote is not None
        }
        why = f"the best lower bound of {len(groups)} answers, {bounds[key]:.3g}"
        return contest.marked(Choice(id=winner.id, why=why, votes=votes), found, entered)

    def _bounds(self, groups: Mapping[str, Sequence[Sample]], judging: Judged) -> dict[str, float]:
        """Bound each answer from below; N_a M counts the verdicts that came."""
        said = {
            name: [v for s in group for v in judging.verdicts[s.id] if v is not None]
            for name, group in groups.items()
        }
        total = sum(map(len, said.values()))
        return {
            name: sum(v) / len(v) - self.alpha * math.log(total) / (len(v) + 1)
            for name, v in said.items()
        }
