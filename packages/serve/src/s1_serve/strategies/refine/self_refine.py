"""Self-refinement (card 28; arXiv 2303.17651): draft, critique, rewrite, and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies.calls import Chat
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.parameters import check_counts
from s1_serve.strategies.policy import Choice, Decision
from s1_serve.strategies.refine import prompts
from s1_serve.strategies.rounds import awaited

_UNCHANGED = 2
"""rewrites in a row that left the answer as it was: it will not change any more"""


@dataclass(frozen=True, kw_only=True)
class SelfRefine:
    """Rewrite a draft after its critique, until the critique finds nothing or nothing changes.

    The newest draft with a final answer is the one to go on from, and the one that answers.
    """

    name: ClassVar[str] = "self-refine"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    rounds: int = 2
    """Most rewrites."""

    def __post_init__(self) -> None:
        check_counts(most=100, rounds=self.rounds)

    def decide(self, known: Known) -> Decision:
        if waiting := awaited(known, [Chat(id="0")]):
            return waiting
        for number in range(1, self.rounds + 1):
            drafts = _drafts(known, number)
            if not drafts:
                return Decision(answer=None)
            if _is_settled(drafts):
                return _end(known, f"{_UNCHANGED} rewrites left the answer as it was")
            draft = prompts.shown(_newest(drafts).result)
            name = f"{number}/critique"
            critique = Chat(id=name, index=number, under=prompts.criticise(draft), is_verifier=True)
            if waiting := awaited(known, [critique]):
                return waiting
            if not known[name].is_finished:
                return _end(known, f"critique {number} failed", is_degraded=True)
            said = known[name].result.answer
            if prompts.verdict(known[name].reply):
                return _end(known, f"critique {number} found nothing wrong")
            rewrite = Chat(id=str(number), index=number, under=prompts.rewrite(draft, said))
            if waiting := awaited(known, [rewrite]):
                return waiting
            if not known[str(number)].is_finished:
                return _end(known, f"rewrite {number} failed", is_degraded=True)
        return _end(known, f"{self.rounds} rewrites were made")

    def best(self, known: Known) -> Choice | None:
        return _end(known, "the newest draft").answer


def _drafts(known: Known, until: int) -> list[Sample]:
    """List the drafts before rewrite `until` that answered, the first one first."""
    names = map(str, range(until))
    return [known[name] for name in names if name in known and known[name].has_answered]


def _newest(drafts: list[Sample]) -> Sample:
    return ([draft for draft in drafts if draft.result.vote is not None] or drafts)[-1]


def _is_settled(drafts: list[Sample]) -> bool:
    said = [draft.result.vote or draft.result.answer.strip() for draft in drafts]
    return len(said) > _UNCHANGED and len(set(said[-1 - _UNCHANGED :])) == 1


def _end(known: Known, why: str, is_degraded: bool = False) -> Decision:
    drafts = known.answered
    if not drafts:
        return Decision(answer=None)
    return Decision(answer=Choice(id=_newest(drafts).id, why=why, is_degraded=is_degraded))
