"""Compares answers with a reference that is given: for oracles, and for requests that carry one.

Asks nothing. What only algebra could tell stays without a score unless `uses_algebra`: that may
take seconds on hostile input (core.answers), which an evaluation can afford and a server cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from s1_core import answers
from s1_serve.strategies import ballots
from s1_serve.strategies.calls import Call
from s1_serve.strategies.known import Known


@dataclass(frozen=True, kw_only=True)
class Exact:
    """1 for the answer that is the reference, 0 for another or none."""

    reference: str
    """The right answer, in any spelling."""
    uses_algebra: bool = False
    """Compare by math-verify where spelling does not decide."""

    @property
    def scores_steps(self) -> bool:
        return False

    def calls(self, known: Known, target: str, votes: int = 1) -> tuple[Call, ...]:
        return ()

    def verdicts(self, known: Known, target: str, votes: int = 1) -> list[float | None]:
        sample = known.samples.get(target)
        if sample is None or not sample.has_answered or not self.reference.strip():
            return [None] * votes
        return [_score(sample.result.vote, self.reference, self.uses_algebra)] * votes

    def steps(self, known: Known, target: str) -> tuple[float, ...] | None:
        return None


@lru_cache(maxsize=4096)
def _score(vote: str | None, reference: str, uses_algebra: bool) -> float | None:
    """Compare; remembered because a policy asks again at every event."""
    if vote is None:
        return 0.0
    if vote == ballots.form(reference):
        return 1.0
    found = answers.decide(vote, reference)
    if found is None and uses_algebra:
        found = answers.are_equivalent(vote, reference)
    return None if found is None else float(found)
