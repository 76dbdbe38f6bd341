"""The interface of a verifier: which calls judge a sample, and what their results say.

Pure, like a policy: a verifier asks by calls and reads what came of them. Scores are 0 to 1; one
that is missing, NaN, out of range or not understood is None, never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from s1_serve.strategies.calls import Call
from s1_serve.strategies.known import Known


class Verifier(Protocol):
    """Judges finished candidates; one that `scores_steps` also judges paths that go on."""

    @property
    def scores_steps(self) -> bool:
        """Say whether it gives a score for every step of thinking."""
        ...

    def calls(self, known: Known, target: str, votes: int = 1) -> tuple[Call, ...]:
        """Give the calls that judge a sample, `votes` independent times; none where none is due."""
        ...

    def verdicts(self, known: Known, target: str, votes: int = 1) -> list[float | None]:
        """Give a score for each vote, read from calls that have ended."""
        ...

    def steps(self, known: Known, target: str) -> tuple[float, ...] | None:
        """Give P(right) for each step of a sample's thinking; None where that cannot be said."""
        ...


@runtime_checkable
class Grouping(Verifier, Protocol):
    """Judges several candidates in one call, each beside the others."""

    def calls_together(
        self, known: Known, targets: Sequence[str], votes: int = 1
    ) -> tuple[Call, ...]:
        """Give the calls that judge all `targets`; another set of targets needs other calls."""
        ...

    def verdicts_together(
        self, known: Known, targets: Sequence[str], votes: int = 1
    ) -> dict[str, list[float | None]]:
        """Give the scores of each target, one for each vote."""
        ...


@runtime_checkable
class Comparing(Verifier, Protocol):
    """Also says which of two candidates is the better one."""

    def comparisons(self, known: Known, one: str, other: str, votes: int) -> tuple[Call, ...]:
        """Give the calls that compare two samples, `votes` independent times."""
        ...

    def preferences(self, known: Known, one: str, other: str, votes: int) -> list[bool | None]:
        """Say for each vote whether `one` is better; None where that was not said."""
        ...


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Where the judging of some samples stands."""

    missing: tuple[Call, ...]
    """Not asked for yet."""
    is_complete: bool
    """Nothing is missing and nothing is live."""
    verdicts: dict[str, list[float | None]]
    """By sample; those that are still to come are None."""

    def mean(self, target: str) -> float | None:
        """Average the verdicts that came; None where none did."""
        said = [score for score in self.verdicts.get(target, []) if score is not None]
        return sum(said) / len(said) if said else None


def judged(known: Known, verifier: Verifier, targets: Sequence[str], votes: int = 1) -> Judged:
    """Say what is still to be asked of a verifier about `targets`, or what it said."""
    if isinstance(verifier, Grouping):
        calls = list(verifier.calls_together(known, targets, votes))
        verdicts = verifier.verdicts_together(known, targets, votes)
    else:
        calls = [call for target in targets for call in verifier.calls(known, target, votes)]
        verdicts = {target: verifier.verdicts(known, target, votes) for target in targets}
    missing = tuple(call for call in calls if call.id not in known)
    is_live = any(call.id in known and known[call.id].is_live for call in calls)
    is_complete = known.is_closed or not (missing or is_live)
    return Judged(missing=missing, is_complete=is_complete, verdicts=verdicts)


def is_share(score: float | None) -> bool:
    """Say whether a number is one from 0 to 1; NaN is not."""
    return score is not None and math.isfinite(score) and 0 <= score <= 1
