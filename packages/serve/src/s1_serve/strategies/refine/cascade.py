"""A cascade of two models: the larger one is asked where the smaller one is not sure.

Card 24 at the level of responses; speculative cascades (arXiv 2405.19261) decide at each token.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from s1_core.errors import UserError
from s1_serve.strategies import ballots
from s1_serve.strategies.calls import Chat
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.parallel.weighted import likelihood
from s1_serve.strategies.parameters import check_counts, check_one_of, check_shares
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.rounds import awaited, drawn
from s1_serve.strategies.verified.contest import is_whole

MARGIN, LIKELIHOOD = "margin", "likelihood"
DEFERRED = "deferred"


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """Let `n` samples of the served model vote; below `threshold` ask `model` instead.

    Where `model` fails or gives no answer, the vote stands and the choice is degraded.
    """

    name: ClassVar[str] = "cascade"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    model: str = ""
    """The larger model, by the name the server knows it by; the server fills in its first one."""
    n: int = 4
    """Samples of the smaller model."""
    threshold: float = 0.5
    """The least confidence with which the vote answers."""
    by: str = MARGIN
    """Confidence: margin (by which the winner leads) or likelihood (mean, a token)."""

    def __post_init__(self) -> None:
        if not self.model:
            raise UserError("cascade needs the name of another model")
        check_counts(n=self.n)
        check_shares(threshold=self.threshold)
        check_one_of((MARGIN, LIKELIHOOD), by=self.by)
        if self.by == MARGIN and self.n < 2:
            raise UserError("n is 1: a margin needs a vote, give n from 2 or by likelihood")

    def decide(self, known: Known) -> Decision:
        if waiting := drawn(known, self.n, top_logprobs=int(self.by == LIKELIHOOD)):
            return waiting
        if self._is_sure(known):
            return Decision(answer=self.best(known))
        larger = Chat(id=DEFERRED, index=self.n, model=self.model)
        return awaited(known, [larger]) or Decision(answer=self.best(known))

    def _is_sure(self, known: Known) -> bool:
        """Say whether the smaller model answers: it has an answer, and is sure enough of it."""
        answers = any(map(is_whole, _smaller(known)))
        return answers and self.confidence(known) >= self.threshold

    def confidence(self, known: Known) -> float:
        """Say how sure the smaller model is, 0 to 1; 0 where it cannot be said.

        A sample that came to no answer counts as 0, however likely its tokens: loops are likely.
        """
        answered = _smaller(known)
        if self.by == LIKELIHOOD:
            sure = [(likelihood(s) or 0.0) if is_whole(s) else 0.0 for s in answered]
            return fmean(sure) if sure else 0.0
        tallied = ballots.tally(answered)
        lead = ballots.margin(tallied) if tallied else None
        # Those without an answer are doubt too: they take their share from the margin.
        voters = sum(len(ballot.members) for ballot in tallied)
        return 0.0 if lead is None else lead * voters / self.n

    def best(self, known: Known) -> Choice | None:
        smaller, confidence, is_sure = _smaller(known), self.confidence(known), self._is_sure(known)
        found = f"{self.by} {confidence:.2f} is {'at least' if is_sure else 'below'} "
        why = f"{found}{self.threshold:g}"
        choice = ballots.elect(smaller, why)
        if is_sure or DEFERRED not in known:
            return choice
        larger = known[DEFERRED]
        is_mute = larger.result.vote is None and bool(choice and choice.votes)
        if larger.has_answered and not is_mute:
            return Choice(id=DEFERRED, why=f"{why}: {self.model} answered")
        return ballots.fallback(smaller, f"{why} but {self.model} gave no answer")


def _smaller(known: Known) -> list[Sample]:
    return [sample for sample in known.answered if sample.id != DEFERRED]
