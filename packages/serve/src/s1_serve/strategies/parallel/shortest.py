"""The first k of N samples vote, the others are stopped: short-m@k (arXiv 2505.17813) and first
finish search, FFS-k@N (arXiv 2505.18149, 2512.02008).

Samples that start together come in by length, so the first are the shortest; where fewer run at
the same time than are asked for, the first that come in still vote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies import ballots
from s1_serve.strategies.calls import Chat
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.parameters import check_counts, check_one_of
from s1_serve.strategies.policy import WAIT, Choice, Decision

THINKING, ANSWER = "thinking", "answer"


@dataclass(frozen=True, kw_only=True)
class Shortest:
    """Draw `n` samples until `k` have come in, stop the others, let those k vote.

    A sample that ends without an answer is none of the k; where fewer than k have one, all are
    waited for. What was stopped by the thinking clock stays stopped when one of the k then fails
    or turns out to have no answer: the others of the k vote.
    """

    name: ClassVar[str] = "shortest"
    watches: ClassVar[bool] = True
    ignores_order: ClassVar[bool] = False

    k: int = 1
    """Samples that vote."""
    n: int = 8
    """Samples."""
    clock: str = THINKING
    """What has to be at its end first: thinking (short-m@k) or the whole answer (FFS)."""
    tie: str = ballots.TIES[0]
    """Who wins a tied vote: shortest (the leader with the shortest sample) or first."""

    def __post_init__(self) -> None:
        check_counts(n=self.n)
        check_counts(most=self.n, k=self.k)
        check_one_of((THINKING, ANSWER), clock=self.clock)
        ballots.check_tie(self.tie)

    def decide(self, known: Known) -> Decision:
        if len(known.samples) < self.n:
            return Decision(start=tuple(Chat(id=str(i), index=i) for i in range(self.n)))
        late = tuple(sample.id for sample in known.live if not self._is_in(sample))
        if late and sum(map(self._is_in, known)) >= self.k:
            return Decision(abort=late)
        return WAIT if known.live else Decision(answer=self.best(known))

    def _is_in(self, sample: Sample) -> bool:
        """Say whether a sample has come in, by the clock."""
        has_thought = self.clock == THINKING and sample.state == "thought"
        return has_thought or (sample.has_answered and sample.result.vote is not None)

    def best(self, known: Known) -> Choice | None:
        first = _valid(known)[: self.k]
        if not first:
            return ballots.elect(known.answered, ballots.NO_ANSWER)
        voters = [sample for sample in known.answered if sample.id in first]
        why = f"the first {len(voters)} of {self.n} to end their {self.clock} voted"
        return ballots.elect(voters, why, tie=self.tie)


def _valid(known: Known) -> list[str]:
    """List those that have an answer, in the order in which they came in."""
    ended = [known[name] for name in known.ended]
    return [s.id for s in ended if s.has_answered and s.result.vote is not None]
