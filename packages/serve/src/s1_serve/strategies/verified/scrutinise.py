"""Sample, scrutinise, scale (arXiv 2502.01839): many verdicts on each, near-ties compared in pairs.

Those within `band` of the best mean verdict go on, one for each answer; where several are left,
each pair is compared `tie_votes` times and the most wins decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

from s1_serve.strategies.calls import Call
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.parameters import MOST_CALLS, check_counts, check_shares, given
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.rounds import drawn
from s1_serve.strategies.verified import contest
from s1_serve.strategies.verifiers.judge import Judge
from s1_serve.strategies.verifiers.process import counted
from s1_serve.strategies.verifiers.verifier import Comparing, Verifier, judged

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Scrutinise:
    """Draw `n` samples, have each judged `votes` times, and the best ones compared."""

    name: ClassVar[str] = "scrutinise"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 8
    """Samples; the paper draws 200, its scaled-down form 16."""
    votes: int = 4
    """Independent verdicts on each; the paper asks for 50."""
    tie_votes: int = 4
    """Comparisons of each pair that is left; the paper asks for 100."""
    band: float = 0.05
    """How far below the best mean verdict a sample may be and still be left."""
    finalists: int = 8
    """Most answers that are compared in pairs, the best ones."""
    verifier: Verifier = given()

    def __post_init__(self) -> None:
        check_counts(n=self.n)
        check_counts(most=64, votes=self.votes, tie_votes=self.tie_votes)
        check_counts(most=32, finalists=self.finalists)
        ((asked, calls),) = counted("n", self.n, self.votes, self.verifier).items()
        compared = math.comb(min(self.finalists, self.n), 2) * self.tie_votes
        asked = f"{asked} + pairs of finalists * tie_votes"
        check_counts(most=MOST_CALLS, **{asked: calls + compared})
        check_shares(band=self.band)

    def decide(self, known: Known) -> Decision:
        if waiting := drawn(known, self.n):
            return waiting
        entered = contest.contestants(known)
        judging = judged(known, self.verifier, contest.ids(entered), self.votes)
        if judging.missing:
            return Decision(start=judging.missing)
        left = self._left(entered, contest.scores(judging))
        missing = tuple(call for call in self._comparisons(known, left) if call.id not in known)
        return Decision(start=missing) if missing else Decision(answer=self.best(known))

    def best(self, known: Known) -> Choice | None:
        entered = contest.contestants(known)
        found = contest.scores(judged(known, self.verifier, contest.ids(entered), self.votes))
        left = self._left(entered, found)
        if not left:
            return contest.unjudged(entered)
        wins = self._wins(known, left)
        winner = min(left, key=lambda s: (-wins[s.id], -found[s.id], s.tokens))
        votes = {
            s.result.vote: float(wins[s.id])
            for s in sorted(left, key=lambda s: -wins[s.id])
            if s.result.vote is not None and len(left) > 1
        }
        if len(left) == 1:
            why = f"one answer of {len(entered)} samples was left, with {found[winner.id]:.3g}"
        else:
            why = f"most wins in pairs of {len(left)} answers, {wins[winner.id]}"
        is_mute = len(left) > 1 and not any(wins.values())
        choice = Choice(
            id=winner.id,
            why="no comparison was decided: the best score" if is_mute else why,
            votes={} if is_mute else votes,
            is_degraded=is_mute,
        )
        return contest.marked(choice, found, entered)

    def _left(self, entered: Sequence[Sample], found: Mapping[str, float]) -> list[Sample]:
        """Keep those near the best; of equal answers the best sample speaks."""
        compared = contest.scored(entered, found)
        top = max((found[sample.id] for sample in compared), default=0.0)
        near = [s for s in compared if found[s.id] >= top - self.band - _ROUNDING]
        speakers = [contest.best(group, found) for group in contest.by_answer(near).values()]
        ranked = sorted(speakers, key=lambda s: (-found[s.id], s.tokens))
        kept = set(contest.ids(ranked[: self.finalists]))
        return [sample for sample in compared if sample.id in kept]

    @property
    def _comparer(self) -> Comparing:
        """Name who compares: the verifier where it can, else the model that answers."""
        return self.verifier if isinstance(self.verifier, Comparing) else Judge()

    def _comparisons(self, known: Known, left: Sequence[Sample]) -> list[Call]:
        return [
            call
            for one, other in combinations(contest.ids(left), 2)
            for call in self._comparer.comparisons(known, one, other, self.tie_votes)
        ]

    def _wins(self, known: Known, left: Sequence[Sample]) -> dict[str, int]:
        wins = dict.fromkeys(contest.ids(left), 0)
        for one, other in combinations(wins, 2):
            for is_one in self._comparer.preferences(known, one, other, self.tie_votes):
                if is_one is not None:
                    wins[one if is_one else other] += 1
        return wins
