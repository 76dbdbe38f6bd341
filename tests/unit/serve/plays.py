"""A policy played in virtual time against results written down by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from s1_serve.strategies.known import Known, Result
from s1_serve.strategies.policy import Choice, Policy
from s1_serve.strategies.session import Launch, Limits, Session
from s1_serve.strategies.simulation import simulate


def said(vote: str | None, tokens: int = 10, **fields: Any) -> Result:
    """Write down what a sample comes to; `answer` is its vote unless it is given."""
    values = {"answer": vote or "", "thinking_tokens": tokens // 2} | fields
    return Result(vote=vote, tokens=tokens, **values)


def play(
    policy: Policy,
    results: Mapping[str, Result] | Callable[[Launch], Result],
    deadline: int | None = None,
    **limits: Any,
) -> Session:
    """Run a policy to its end; a call of which nothing is written down fails."""

    def script(launch: Launch) -> Result:
        return results(launch) if callable(results) else results[launch.call.id]

    seed = limits.pop("seed", 0)
    known = Known(question="How many r in raspberry?", seed=seed)
    session = Session(policy, Limits(**limits), known)
    simulate(session, script, deadline)
    return session


def chosen(session: Session) -> Choice:
    """Give the choice of a run that came to one."""
    assert session.outcome is not None and session.outcome.choice is not None
    return session.outcome.choice


def numbered(*results: Result) -> dict[str, Result]:
    """Give results the ids of plain samples."""
    return {str(index): result for index, result in enumerate(results)}
