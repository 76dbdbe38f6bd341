"""Recursive self-aggregation (RSA, arXiv 2509.26626): a population of answers, renewed in rounds.

The paper uses n = 16, k = 4 and ten rounds, the first draw among them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import ClassVar

from s1_core.errors import UserError
from s1_serve.strategies import ballots
from s1_serve.strategies.calls import Call, Chat
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.parameters import MOST_CALLS, check_counts
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.refine import prompts
from s1_serve.strategies.rounds import awaited


@dataclass(frozen=True, kw_only=True)
class Rsa:
    """Draw `n` samples; in each round combine `k` drawn members `n` times; the last ones vote.

    A round takes its members from those that answered; one that nobody survives is passed over.
    """

    name: ClassVar[str] = "rsa"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 4
    """Members of the population."""
    k: int = 2
    """Distinct members that each new one is made of; 1 is self-refinement side by side."""
    rounds: int = 2
    """Renewals after the first draw."""
    with_thinking: bool = False
    """Show members with their thinking, not their answers alone."""
    max_chars: int | None = None
    """Most characters of all members in one prompt; the ends of texts are kept."""
    tie: str = ballots.TIES[0]
    """Who wins a tied vote: shortest (the leader with the shortest sample) or first."""

    def __post_init__(self) -> None:
        check_counts(n=self.n)
        check_counts(most=self.n, k=self.k)
        check_counts(least=0, most=100, rounds=self.rounds)
        check_counts(most=MOST_CALLS, **{"n * (rounds + 1)": self.n * (self.rounds + 1)})
        chars = self.max_chars
        if chars is not None and (not isinstance(chars, int) or chars < 100):
            raise UserError(f"max_chars is {chars!r}: give a whole number from 100")
        ballots.check_tie(self.tie)

    def decide(self, known: Known) -> Decision:
        population: list[Sample] = []
        for number in range(self.rounds + 1):
            if number and not population:
                break
            calls = [self._call(known, number, place, population) for place in range(self.n)]
            if waiting := awaited(known, calls):
                return waiting
            ended = [known[call.id] for call in calls]
            population = [sample for sample in ended if sample.has_answered] or population
        return Decision(answer=self.best(known))

    def _call(self, known: Known, number: int, place: int, population: list[Sample]) -> Call:
        name = _name(number, place)
        if name in known:
            return known[name].call
        index = number * self.n + place
        if not number:
            return Chat(id=name, index=index)
        drawn = Random(f"{known.seed}/{name}").sample(population, min(self.k, len(population)))
        texts = [prompts.shown(s.result, with_thinking=self.with_thinking) for s in drawn]
        most = self.max_chars or prompts.MOST_CHARS
        single = len(texts) == 1
        under = prompts.improve(texts[0], most) if single else prompts.combine(texts, most)
        return Chat(id=name, index=index, under=under)

    def best(self, known: Known) -> Choice | None:
        """Let the last population vote that is complete; else all that came of the first."""
        for number in range(self.rounds, -1, -1):
            names = [_name(number, place) for place in range(self.n)]
            found = [known[name] for name in names if name in known]
            ended = [s for s in found if not s.is_live and s.state != "aborted"]
            voters = [sample for sample in ended if sample.has_answered]
            if voters and len(ended) == self.n:
                why = f"population {number + 1} of {self.rounds + 1} voted"
                choice = ballots.elect(voters, why, tie=self.tie)
                is_lost = number < self.rounds
                return choice and replace(choice, is_degraded=choice.is_degraded or is_lost)
        return ballots.elect(known.answered, "the first samples voted", tie=self.tie)


def _name(number: int, place: int) -> str:
    return f"r{number}/{place}" if number else str(place)
