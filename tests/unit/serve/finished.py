"""Runs with few words: samples that have ended, and policies played against a script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from s1_serve.strategies import ballots
from s1_serve.strategies.calls import Call, Chat
from s1_serve.strategies.known import Failed, Finished, Known, Result, heard
from s1_serve.strategies.policy import Choice, Policy
from s1_serve.strategies.session import Launch, Limits, Session
from s1_serve.strategies.simulation import simulate


def result(answer: str = "12", tokens: int = 10, **fields: Any) -> Result:
    """A finished answer with the vote that its form is."""
    message = fields.get("message")
    vote = ballots.form(answer, message) if answer or message else None
    return Result(**({"answer": answer, "tokens": tokens, "vote": vote} | fields))


def known(*results: Result, seed: int = 0) -> Known:
    """Samples "0", "1" ... that have come to these results."""
    found = Known(question="How many r in raspberry?", seed=seed)
    for index, value in enumerate(results):
        found = ended(found, Chat(id=str(index), index=index), value)
    return found


def ended(found: Known, call: Call, value: Result | None) -> Known:
    """Add a call and what it came to; None is a failure."""
    event = Failed(call.id, "it died") if value is None else Finished(call.id, value)
    return heard(found.asked(call, 0), event)


def replied(found: Known, calls: tuple[Call, ...], *answers: str | Result | None) -> Known:
    """Let calls come to these answers, one each; None is a failure."""
    for call, answer in zip(calls, answers, strict=True):
        value = Result(answer=answer, tokens=1) if isinstance(answer, str) else answer
        found = ended(found, call, value)
    return found


def of(call: Call) -> Chat:
    assert isinstance(call, Chat)
    return call


Script = Callable[[Launch], Result]


def scripted(
    candidates: list[Result], verdicts: Mapping[str, str] | Callable[[Chat], str]
) -> Script:
    """Candidates by their number; verdicts by the id of the call, a missing one fails."""

    def script(launch: Launch) -> Result:
        call = of(launch.call)
        if not call.is_verifier:
            return candidates[call.index]
        said = verdicts[call.id] if isinstance(verdicts, Mapping) else verdicts(call)
        return Result(answer=said, tokens=3)

    return script


def played(policy: Policy, script: Script, seed: int = 0, **limits: Any) -> Session:
    session = Session(policy, Limits(**limits), Known(question="Why?", seed=seed))
    simulate(session, script)
    return session


def rewarded(scores: Sequence[float | None], candidates: Sequence[Result]) -> Script:
    """Candidates and a reward model's scores, both by number; None is a failure."""

    def script(launch: Launch) -> Result:
        if isinstance(launch.call, Chat):
            return candidates[launch.call.index]
        score = scores[int(launch.call.id.removesuffix("/r"))]
        if score is None:
            raise LookupError("the reward model is not there")
        return Result(scores=(score,))

    return script


def chosen(policy: Policy, script: Script, **limits: Any) -> Choice:
    """Play to the end and give the choice."""
    outcome = played(policy, script, **limits).outcome
    assert outcome is not None and outcome.choice is not None
    return outcome.choice
