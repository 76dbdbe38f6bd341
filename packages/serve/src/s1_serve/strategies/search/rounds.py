"""Rounds of steps: draw one for each parent, have all scored, choose the parents of the next.

What beam search, DVTS, REBASE and particles share; each says which steps go on (`following`).
The last round thinks to its end. Where the verifier says nothing of a whole round, what is open is
thought to its end without it, and a plain majority votes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from s1_core.errors import UserError
from s1_serve.strategies.calls import Call, Step
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.parameters import MOST_CALLS, check_counts, check_one_of, given
from s1_serve.strategies.policy import WAIT, Choice, Decision
from s1_serve.strategies.verified import contest
from s1_serve.strategies.verifiers.reward import AGGREGATES
from s1_serve.strategies.verifiers.verifier import Verifier, is_share, judged

VOTES = ("best", "weighted")
Parents = tuple[str | None, ...]


@dataclass(frozen=True, kw_only=True)
class Search(ABC):
    """The parameters that all searches have; each adds how it chooses what goes on."""

    name: ClassVar[str]
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 8
    """Steps of a round."""
    step_tokens: int = 256
    """Most tokens of a step."""
    depth: int = 40
    """Most rounds, fewer where they have more than 2048 steps; the last one thinks to the end."""
    aggregate: str = "last"
    """The score of a path from those of its steps: last, min, prod or mean."""
    vote: str = "weighted"
    """Who answers: best (the highest score) or weighted (equal answers add their scores)."""
    verifier: Verifier = given()

    def __post_init__(self) -> None:
        check_counts(n=self.n, step_tokens=self.step_tokens)
        check_counts(most=256, depth=self.depth)
        check_one_of(tuple(AGGREGATES), aggregate=self.aggregate)
        check_one_of(VOTES, vote=self.vote)
        if not self.verifier.scores_steps:
            raise UserError(
                f"{self.name} needs a verifier that scores steps: name a reward or process verifier"
            )

    @property
    def num_rounds(self) -> int:
        """Give the most rounds: `depth`, or as many as a run has calls for, a score to each step.

        So the last round is always one that answers.
        """
        return min(self.depth, MOST_CALLS // (2 * self.n))

    def decide(self, known: Known) -> Decision:
        return decide(known, self)

    def best(self, known: Known) -> Choice | None:
        return best(known, self)

    @abstractmethod
    def following(self, grown: Grown) -> Parents:
        """Name the parent of each step of the next round; none ends the search."""


@dataclass(frozen=True, kw_only=True)
class Grown:
    """What a search has come to after a round; a score is that of the whole path."""

    known: Known
    number: int
    """Of the round that has ended, from 0."""
    rounds: tuple[tuple[str, ...], ...]
    """The steps of every round so far."""
    scores: dict[str, float]
    """By step; those of which the verifier said nothing are left out."""

    @property
    def newest(self) -> tuple[str, ...]:
        """Name the steps of the last round."""
        return self.rounds[-1]

    @property
    def num_finished(self) -> int:
        """Count the paths that have come to their answer by this round; later ones are no matter.

        A search is played anew at every decision, and must choose as it did.
        """
        return sum(self.known[name].has_answered for names in self.rounds for name in names)

    @property
    def open(self) -> list[str]:
        """Name those of the last round that can go on, in their order."""
        return [name for name in self.newest if goes_on(self.known[name])]

    def ranked(self, names: Sequence[str]) -> list[str]:
        """Sort by score, the best first; of equals the first; without a score is worst."""
        return sorted(names, key=lambda name: -self.scores.get(name, -1.0))


def decide(known: Known, search: Search) -> Decision:
    """Play the rounds that have been, and say what is next: nothing while any call is live."""
    if any(known[name].is_live for name in reversed([*known.samples])):  # the newest first
        return WAIT
    parents: Parents = (None,) * search.n
    rounds: list[tuple[str, ...]] = []
    scores: dict[str, float] = {}
    num_drawn, is_last = 0, search.num_rounds == 1
    for number in range(search.num_rounds):
        names = tuple(f"{number}/{place}" for place in range(len(parents)))
        if names[0] not in known:
            return Decision(start=_steps(search, names, parents, num_drawn, is_last))
        if f"{number + 1}/0" not in known and (unasked := _unasked(known, search, names)):
            return Decision(start=unasked)
        rounds.append(names)
        scores |= _scores(known, search, names)
        grown = Grown(known=known, number=number, rounds=tuple(rounds), scores=scores)
        if is_last or not grown.open:
            break
        is_mute = not any(name in scores for name in names)
        parents = tuple(grown.open) if is_mute else search.following(grown)
        if not parents:
            break
        num_drawn += len(names)
        is_last = is_mute or number + 2 == search.num_rounds
    return Decision(answer=best(known, search))


def best(known: Known, search: Search) -> Choice | None:
    """Choose among the finished paths by score, or by a vote with scores as weights."""
    entered = contest.contestants(known)
    found = _scores(known, search, contest.ids(entered))
    is_weighted = search.vote == "weighted"
    return contest.chosen(entered, found, "finished paths", is_weighted=is_weighted)


def goes_on(sample: Sample) -> bool:
    """Say whether a step has ended where thinking has not."""
    return sample.is_finished and sample.result.end == "open"


def stands(sample: Sample) -> bool:
    """Say whether a step goes on or has come to an answer; one that was cut has done neither."""
    return goes_on(sample) or bool(sample.has_answered and sample.result.answer.strip())


def _steps(
    search: Search, names: Sequence[str], parents: Parents, num_drawn: int, is_last: bool
) -> tuple[Step, ...]:
    return tuple(
        Step(
            id=name,
            index=num_drawn + place,
            parent=parent,
            max_tokens=search.step_tokens,
            ends_thinking=is_last,
        )
        for place, (name, parent) in enumerate(zip(names, parents, strict=True))
    )


def _unasked(known: Known, search: Search, names: Sequence[str]) -> tuple[Call, ...]:
    """List the calls that score the steps which came to something, as far as they are missing."""
    targets = [name for name in names if known[name].is_finished]
    return judged(known, search.verifier, targets).missing


def _scores(known: Known, search: Search, names: Sequence[str]) -> dict[str, float]:
    """Aggregate the scores of the steps of each path; what is no share from 0 to 1 is left out."""
    found: dict[str, float] = {}
    for name in names:
        steps = search.verifier.steps(known, name)
        if not steps:
            continue
        score = AGGREGATES[search.aggregate](steps)
        if is_share(score):
            found[name] = score
    return found


def logit(share: float, margin: float = 1e-7) -> float:
    """Give the log odds of a share, which is kept off 0 and 1."""
    share = min(max(share, margin), 1 - margin)
    return math.log(share / (1 - share))
