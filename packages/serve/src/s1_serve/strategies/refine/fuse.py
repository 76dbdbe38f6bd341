"""Rank and fuse: the model orders candidates, the best ones become one answer.

The ranking is GenSelect's (all candidates in one prompt), asked several times in shuffled order
and counted by places; the fusion LLM-Blender's (arXiv 2306.02561), whose PairRM it does not need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from s1_serve.strategies import ballots
from s1_serve.strategies.calls import Call, Chat
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.parameters import check_counts
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.refine import prompts
from s1_serve.strategies.rounds import awaited, drawn

FUSED = "fused"
NO_RANKING = "no ranking was understood"
_JUDGE = {"temperature": 0.3}
"""optillm's, for GenSelect"""


@dataclass(frozen=True, kw_only=True)
class Fuse:
    """Draw `n` samples, rank them, write one answer from the `top` ones."""

    name: ClassVar[str] = "fuse"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 4
    """Candidates."""
    top: int = 2
    """Candidates that are fused; 1 gives the best one as it is."""
    votes: int = 2
    """Rankings, each in another order of the candidates."""

    def __post_init__(self) -> None:
        check_counts(most=64, n=self.n)
        check_counts(most=self.n, top=self.top)
        check_counts(most=64, votes=self.votes)

    def decide(self, known: Known) -> Decision:
        if waiting := drawn(known, self.n):
            return waiting
        candidates = _candidates(known)
        if len(candidates) < 2:
            return Decision(answer=self.best(known))
        judges = [self._judge(known, vote, candidates) for vote in range(self.votes)]
        if waiting := awaited(known, judges):
            return waiting
        ranked = self._ranked(known, candidates)
        if self.top == 1 or not ranked:
            return Decision(answer=self.best(known))
        texts = [prompts.shown(sample.result) for sample in ranked[: self.top]]
        fused = Chat(id=FUSED, index=self.n + self.votes, under=prompts.fuse(texts))
        return awaited(known, [fused]) or Decision(answer=self.best(known))

    def _judge(self, known: Known, vote: int, candidates: Sequence[Sample]) -> Call:
        name = _name(vote)
        if name in known:
            return known[name].call
        texts = [prompts.shown(s.result) for s in _shuffled(known, vote, candidates)]
        return Chat(
            id=name,
            index=self.n + vote,
            under=prompts.rank(texts),
            overrides=_JUDGE,
            is_verifier=True,
        )

    def _ranked(self, known: Known, candidates: Sequence[Sample]) -> list[Sample]:
        """Order candidates by the places that they got (Borda); empty where none was understood.

        Equal ones come shortest first.
        """
        points = dict.fromkeys((sample.id for sample in candidates), 0)
        for vote in range(self.votes):
            order = _shuffled(known, vote, candidates)
            said = known[_name(vote)].reply if _name(vote) in known else ""
            for rank, place in enumerate(prompts.ranking(said, len(order))):
                points[order[place].id] += len(order) - rank
        if not any(points.values()):
            return []
        return sorted(candidates, key=lambda sample: (-points[sample.id], sample.tokens))

    def best(self, known: Known) -> Choice | None:
        candidates = _candidates(known)
        if FUSED in known and known[FUSED].has_answered:
            has_vote = known[FUSED].result.vote is not None
            if has_vote or all(sample.result.vote is None for sample in candidates):
                return Choice(id=FUSED, why=f"the best {self.top} of {self.n} were fused")
        ranked = self._ranked(known, candidates)
        if ranked:
            why = f"ranked best of {self.n}" + (", fusion failed" if self.top > 1 else "")
            return Choice(id=ranked[0].id, why=why, is_degraded=self.top > 1)
        if len(candidates) == 1:
            return Choice(id=candidates[0].id, why="one candidate came", is_degraded=self.n > 1)
        return ballots.fallback(candidates, NO_RANKING)


def _candidates(known: Known) -> list[Sample]:
    """List the plain samples that answered; only those with a final answer where any has one."""
    found = [sample for sample in known.answered if sample.id != FUSED]
    return [sample for sample in found if sample.result.vote is not None] or found


def _shuffled(known: Known, vote: int, candidates: Sequence[Sample]) -> list[Sample]:
    return Random(f"{known.seed}/{_name(vote)}").sample(list(candidates), len(candidates))


def _name(vote: int) -> str:
    return f"rank/{vote}"
