"""Votes among finished samples: in which form an answer votes, who leads, who speaks for it.

Pure. The same answer in two spellings is one ballot (core.answers); None has no vote. Ties go to
the ballot with the shortest member, or to the one asked for first; both are deterministic.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from s1_core import answers
from s1_core.errors import UserError
from s1_serve.strategies.known import Sample
from s1_serve.strategies.policy import Choice

TIES = ("shortest", "first")
NO_ANSWER = "no sample gave an answer"


def form(
    text: str, message: Mapping[str, Any] | None = None, *, is_cut: bool = False
) -> str | None:
    """Give the form in which an answer votes; None where there is none.

    Tool calls vote by name and canonical arguments, JSON by its canonical text, all else by its
    final answer (answers.extract, answers.normalise). An answer that was cut off votes only where
    it holds its result already: JSON that parses, a box that closes.
    """
    calls = (message or {}).get("tool_calls")
    if calls:
        if is_cut:
            return None
        return _canonical([_call(call) for call in calls])
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        try:
            return _canonical(json.loads(stripped))
        except (ValueError, RecursionError):
            pass
    answer = answers.extract(stripped, is_cut=is_cut)
    return None if answer is None else answers.normalise(answer) or None


def _call(call: Mapping[str, Any]) -> list[Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments") or "{}"
    try:
        return [function.get("name"), json.loads(arguments)]
    except (TypeError, ValueError, RecursionError):
        return [function.get("name"), arguments]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class Ballot:
    """All samples that gave one answer, in the order in which they were asked for."""

    form: str
    weight: float
    members: tuple[Sample, ...]


def check_tie(tie: str) -> None:
    """Refuse an unknown tie rule."""
    if tie not in TIES:
        raise UserError(f"tie is {tie!r}: give {' or '.join(TIES)}")


def tally(
    samples: Sequence[Sample],
    weight: Callable[[Sample], float] = lambda sample: 1.0,
    tie: str = TIES[0],
) -> list[Ballot]:
    """Count the votes of finished samples, the winner first."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.result.vote is not None:
            groups.setdefault(sample.result.vote, []).append(sample)
    ballots = [Ballot(form, math.fsum(map(weight, g)), tuple(g)) for form, g in groups.items()]
    places = {sample.id: place for place, sample in enumerate(samples)}

    def key(ballot: Ballot) -> tuple[float, ...]:
        return rank(ballot.weight, [(s.tokens, places[s.id]) for s in ballot.members], tie)

    return sorted(ballots, key=key)


def rank(weight: float, members: Iterable[tuple[float, int]], tie: str) -> tuple[float, ...]:
    """Give the key that sorts a ballot, the winner first; `members` are (tokens, place).

    THE tie rule: shortest is the ballot with the shortest member, of equal ones the one asked for
    first; first is the ballot whose first member was asked for first. Weights tie at 9 digits: in
    which order they were added says nothing.
    """
    weight = round(weight, 9)
    if tie == "first":
        return (-weight, min(place for _, place in members))
    return (-weight, *min(members))


def elect(
    samples: Sequence[Sample],
    why: str,
    weight: Callable[[Sample], float] | None = None,
    tie: str = TIES[0],
) -> Choice | None:
    """Choose by vote: the winner's shortest member, or its heaviest where votes have weights.

    Where nobody has a vote, the shortest finished sample answers and the choice is degraded; None
    where nothing is finished.
    """
    ballots = tally(samples, weight or (lambda sample: 1.0), tie)
    if not ballots:
        if not samples:
            return None
        shortest = min(samples, key=lambda sample: sample.tokens)
        return Choice(id=shortest.id, why=NO_ANSWER, is_degraded=True)
    winner = ballots[0]
    speaker = min(winner.members, key=lambda s: (-(weight(s) if weight else 0.0), s.tokens))
    return Choice(
        id=speaker.id,
        why=why,
        votes={ballot.form: ballot.weight for ballot in ballots},
        margin=margin(ballots),
    )


def margin(ballots: Sequence[Ballot]) -> float | None:
    """Give the share of all weight by which the first ballot leads; None where there is none."""
    total = sum(ballot.weight for ballot in ballots)
    second = ballots[1].weight if len(ballots) > 1 else 0.0
    return (ballots[0].weight - second) / total if total else None


def fallback(samples: Sequence[Sample], why: str, tie: str = TIES[0]) -> Choice | None:
    """Choose by plain majority because something better failed; `why` says what did."""
    choice = elect(samples, "a plain majority voted", tie=tie)
    if choice is None:
        return None
    return replace(choice, why=f"{why}: {choice.why}", is_degraded=True)
