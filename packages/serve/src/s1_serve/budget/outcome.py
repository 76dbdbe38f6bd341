"""One finished answer in token ids, and how to read it from what an engine returned."""

from __future__ import annotations

from dataclasses import dataclass

from s1_serve.budget.plan import End, Plan
from s1_serve.budget.request import Decided
from s1_serve.completions import Completion, FinishReason


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One finished answer. `thinking_ids` count from after the header, extend strings included."""

    header_ids: tuple[int, ...]
    thinking_ids: tuple[int, ...]
    ending_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    end: End
    extends: int
    finish_reason: FinishReason
    mean_logprob: float | None = None
    """of the tokens that were the model's own, the stop token too; None where none were asked"""

    @property
    def output_ids(self) -> tuple[int, ...]:
        return self.header_ids + self.thinking_ids + self.ending_ids + self.answer_ids

    @staticmethod
    def read(output: Completion, plan: Plan, decided: Decided) -> Outcome:
        """Part the tokens of one request by what the machine decided.

        Thinking holds no token that attempts an end, so the first of them opens the end string.
        """
        marks, ids = plan.delimiters, output.token_ids
        start = len(marks.header)
        if decided.end == "length":
            thought, answer = len(ids), len(ids)
        elif decided.end == "budget":
            thought = start + plan.maximum
            answer = thought + len(marks.cut)
        else:
            thought = ids.index(marks.end[0], start)
            answer = thought + len(marks.end)
        return Outcome(
            header_ids=ids[:start],
            thinking_ids=ids[start:thought],
            ending_ids=ids[thought:answer],
            answer_ids=ids[answer:],
            end=decided.end,
            extends=decided.extends,
            finish_reason=output.finish_reason,
        )
