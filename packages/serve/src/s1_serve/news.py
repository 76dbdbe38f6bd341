"""What came of one job in one step of the engine, read from vLLM's outputs. Loads no vLLM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from s1_serve.budget.outcome import Outcome
from s1_serve.budget.plan import Plan
from s1_serve.budget.request import Decided
from s1_serve.completions import Completion


class News(NamedTuple):
    """What came of one job in one step of the engine."""

    name: str
    ids: tuple[int, ...]
    """The newest tokens of a job that streams, the stop token too; of others all, at the end."""
    likelihoods: tuple[tuple[float, float], ...] = ()
    """Of each of `ids`, where asked for: its own raw logprob, the mean of the top ones."""
    result: Completion | Outcome | None = None
    """At the end; the outcome of a `Planned`."""
    cached_tokens: int = 0
    """Of the prompt, read from the prefix cache."""
    tops: tuple[tuple[float, ...], ...] = ()
    """Of each of `ids`, where the job keeps them: the raw top logprobs, the highest first."""


def likelihoods(
    ids: tuple[int, ...], logprobs: Any, num_top: int
) -> tuple[tuple[float, float], ...]:
    """Read each token's own logprob and the mean of the top ones: the model's, before any filter.

    vLLM takes them before its logits processors, so what the machine forces or masks has them too.
    """
    found = []
    for token, position in zip(ids, logprobs, strict=True):
        top = [one.logprob for one in position.values() if one.rank <= num_top]
        found.append((position[token].logprob, sum(top) / len(top) if top else 0.0))
    return tuple(found)


def mean_logprob(
    likelihoods: Sequence[tuple[float, float]], outcome: Outcome, plan: Plan, decided: Decided
) -> float | None:
    """Average over the tokens that were the model's own, the stop token too; None without any.

    The machine remembers where it extended last; of more extends than that, those before are
    taken for the model's.
    """
    thought = len(outcome.thinking_ids)
    forced = {*range(thought, thought + len(outcome.ending_ids))}
    for nth, at in enumerate(decided.extended_at):
        forced |= {*range(at, at + len(plan.extend_ids(outcome.extends - 1 - nth)))}
    own = [one for at, (one, _) in enumerate(likelihoods) if at not in forced]
    return sum(own) / len(own) if own else None


def tops_of(logprobs: Any, num_top: int) -> tuple[tuple[float, ...], ...]:
    """Read the top logprobs of each token, the highest first."""
    ranked = (sorted(position.values(), key=lambda one: one.rank) for position in logprobs)
    return tuple(tuple(one.logprob for one in each if one.rank <= num_top) for each in ranked)


def completion_of(tokens: tuple[int, ...], reason: str | None) -> Completion:
    """Read how a request ended; its stop token is none of its tokens."""
    if reason == "stop":
        return Completion(token_ids=tokens[:-1], finish_reason="stop")
    assert reason == "length", f"the engine ended a request with {reason!r}"
    return Completion(token_ids=tokens, finish_reason="length")
