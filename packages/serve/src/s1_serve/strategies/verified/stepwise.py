"""Several proposals for the next step, and a judge picks one (GTA1, arXiv 2507.05791).

For agents: the step is a tool call or an answer, and only the picked one reaches the client. A
pick that is not understood falls back to the first valid proposal.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from s1_serve.strategies.calls import Chat
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.parameters import check_counts
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.rounds import drawn
from s1_serve.strategies.verified import contest
from s1_serve.strategies.verifiers import prompts
from s1_serve.strategies.verifiers.judge import Judge

_PICK = "pick"


@dataclass(frozen=True, kw_only=True)
class Stepwise:
    """Draw `n` proposals and have the best one picked by its number."""

    name: ClassVar[str] = "stepwise"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n: int = 8
    """Proposals; equal ones are shown to the judge once."""
    judge: str | None = None
    """Another model of the deployment that picks; none is the one that proposes."""

    def __post_init__(self) -> None:
        check_counts(most=64, n=self.n)

    def decide(self, known: Known) -> Decision:
        if waiting := drawn(known, self.n):
            return waiting
        listed = self._listed(known)
        if len(listed) > 1 and _PICK not in known:
            return Decision(start=(self._pick(listed),))
        return Decision(answer=self.best(known))

    def best(self, known: Known) -> Choice | None:
        listed = self._listed(known)
        if not listed:
            nobody = known.answered[:1]
            why = "no proposal was valid"
            return Choice(id=nobody[0].id, why=why, is_degraded=True) if nobody else None
        if len(listed) == 1:
            return Choice(id=listed[0].id, why="one proposal was valid, or all were the same")
        number = prompts.said_number(known.samples.get(_PICK), most=len(listed))
        if number is None:
            first = next(s for s in known.answered if is_valid(s))
            return Choice(id=first.id, why="no pick: the first valid proposal", is_degraded=True)
        return Choice(id=listed[number - 1].id, why=f"picked from {len(listed)} proposals")

    def _pick(self, listed: list[Sample]) -> Chat:
        return Judge(model=self.judge, temperature=0.0).pick(_PICK, listed)

    def _listed(self, known: Known) -> list[Sample]:
        """List what the judge sees: valid proposals, equal ones once, in an order drawn for it."""
        groups = contest.by_answer(sample for sample in known.answered if is_valid(sample))
        listed = [group[0] for group in groups.values()]
        random.Random(f"{known.seed}/{_PICK}").shuffle(listed)
        return listed


def is_valid(proposal: Sample) -> bool:
    """Say whether a proposal could be executed: a whole answer, or tool calls that parse."""
    result = proposal.result
    if result.finish_reason == "length":
        return False
    calls = result.message.get("tool_calls") or []
    return all(map(_parses, calls)) if calls else bool(result.answer.strip())


def _parses(call: Mapping[str, Any]) -> bool:
    function = call.get("function") or {}
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except (TypeError, ValueError, RecursionError):
        return False
    return bool(function.get("name")) and isinstance(arguments, dict)
