"""A process reward model as a verifier: one call scores all steps, `aggregate` makes one of them.

The model itself is the server's to run or to reach. It draws nothing, so more votes are one vote.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from s1_serve.strategies.calls import Call, Reward
from s1_serve.strategies.known import Known
from s1_serve.strategies.parameters import check_one_of
from s1_serve.strategies.verifiers.verifier import is_share

AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "last": lambda scores: scores[-1],
    "min": min,
    "prod": math.prod,
    "mean": lambda scores: sum(scores) / len(scores),
}


@dataclass(frozen=True, kw_only=True)
class RewardModel:
    """The reward model that the server knows as `name`."""

    name: str
    aggregate: str = "last"
    """One score of the steps': last, min, prod or mean (arXiv 2408.03314, Section 5.1)."""

    def __post_init__(self) -> None:
        check_one_of(tuple(AGGREGATES), aggregate=self.aggregate)

    @property
    def scores_steps(self) -> bool:
        return True

    def calls(self, known: Known, target: str, votes: int = 1) -> tuple[Call, ...]:
        if target not in known or not known[target].is_finished:
            return ()
        return (Reward(id=_name(target), of=target, verifier=self.name),)

    def verdicts(self, known: Known, target: str, votes: int = 1) -> list[float | None]:
        steps = self.steps(known, target)
        return [None if steps is None else AGGREGATES[self.aggregate](steps)]

    def steps(self, known: Known, target: str) -> tuple[float, ...] | None:
        reply = known.samples.get(_name(target))
        if reply is None or not reply.is_finished:
            return None
        scores = reply.result.scores
        return scores if scores and all(is_share(score) for score in scores) else None


def _name(target: str) -> str:
    return f"{target}/r"
