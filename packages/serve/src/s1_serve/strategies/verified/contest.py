"""Who competes for being the answer, what was said of them, and who of them wins.

Pure. Those compete who gave an answer that votes, or a text that came to its end; where there are
none, all who are finished. Ties go to the shorter sample, then to the one asked for first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from s1_serve.strategies import ballots
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.policy import Choice, Decision, Policy
from s1_serve.strategies.rounds import drawn
from s1_serve.strategies.verifiers.verifier import Judged, Verifier, judged

MUTE = "the verifier gave no verdict"


class Judging(Policy, Protocol):
    """A policy that draws, has all judged, and chooses."""

    @property
    def n(self) -> int: ...

    @property
    def votes(self) -> int: ...

    @property
    def verifier(self) -> Verifier: ...


def decide(known: Known, policy: Judging) -> Decision:
    """Draw `n` samples, ask for `votes` verdicts on each that competes, then choose."""
    if waiting := drawn(known, policy.n):
        return waiting
    judging = judged(known, policy.verifier, ids(contestants(known)), policy.votes)
    if judging.missing:
        return Decision(start=judging.missing)
    return Decision(answer=policy.best(known))


def contestants(known: Known, samples: Iterable[Sample] | None = None) -> list[Sample]:
    """List who competes, in the order in which they were asked for."""
    finished = known.answered if samples is None else list(samples)
    return [sample for sample in finished if is_whole(sample)] or finished


def ids(samples: Iterable[Sample]) -> list[str]:
    """Name samples."""
    return [sample.id for sample in samples]


def scores(judging: Judged) -> dict[str, float]:
    """Give the mean verdict on each sample; those without one are left out."""
    means = {target: judging.mean(target) for target in judging.verdicts}
    return {target: mean for target, mean in means.items() if mean is not None}


def scored(samples: Iterable[Sample], found: Mapping[str, float]) -> list[Sample]:
    """List the samples that have a score."""
    return [sample for sample in samples if sample.id in found]


def by_answer(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """Group samples by their answers; one without a vote is an answer of its own."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(_form(sample), []).append(sample)
    return groups


def best(samples: Sequence[Sample], found: Mapping[str, float]) -> Sample:
    """Give the sample with the highest score; of equals the shortest, then the first."""
    return min(samples, key=lambda sample: (-found[sample.id], sample.tokens))


def chosen(
    entered: Sequence[Sample], found: Mapping[str, float], what: str, *, is_weighted: bool
) -> Choice | None:
    """Choose the best scored of those who entered, or the answer whose scores sum to most.

    Without any score a plain majority decides, degraded, as it does where each weight would be 0;
    None where nobody entered.
    """
    compared = scored(entered, found)
    if not compared:
        return unjudged(entered)
    if is_weighted and not any(found[sample.id] for sample in compared):
        choice = ballots.fallback(compared, f"the scores of {len(compared)} {what} are all 0")
        assert choice is not None
    elif is_weighted and any(sample.result.vote is not None for sample in compared):
        why = f"{len(compared)} {what} voted with their scores"
        choice = ballots.elect(compared, why, weight=lambda sample: found[sample.id])
        assert choice is not None
    else:
        winner = best(compared, found)
        why = f"the best score of {len(compared)} {what}, {found[winner.id]:.3g}"
        choice = Choice(id=winner.id, why=why)
    return marked(choice, found, entered)


def marked(choice: Choice, found: Mapping[str, float], entered: Sequence[Sample]) -> Choice:
    """Add the scores to a choice; it is degraded where some contestants have none."""
    mute = sum(sample.id not in found for sample in entered)
    if not mute:
        return replace(choice, scores=dict(found))
    why = f"{choice.why}; {MUTE} on {mute} of {len(entered)}"
    return replace(choice, scores=dict(found), why=why, is_degraded=True)


def unjudged(entered: Sequence[Sample]) -> Choice | None:
    """Choose where the verifier said nothing at all."""
    return ballots.fallback(entered, MUTE)


def _form(sample: Sample) -> str:
    return f"vote:{sample.result.vote}" if sample.result.vote is not None else f"id:{sample.id}"


def is_whole(sample: Sample) -> bool:
    """Say whether a sample gave an answer that votes, or a text that came to its end."""
    if sample.result.vote is not None:
        return True
    return bool(sample.result.answer.strip()) and sample.result.finish_reason != "length"
