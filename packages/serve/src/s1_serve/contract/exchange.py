"""One HTTP request on its way through the engine; a context variable holds the current one.

vLLM's handlers know nothing of budgets: the contract leaves here what was asked, the engine what
became of it.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from s1_serve.contract.api import Asked, Dialect, Refusal
from s1_serve.contract.thought import Thought


@dataclass(kw_only=True)
class Exchange:
    """What was asked, and the answers in the order of their choices."""

    dialect: Dialect
    asked: Asked
    thoughts: list[Thought] = field(default_factory=list)
    refusal: Refusal | None = None
    is_admitted: bool = False
    """The engine has answered: what it cannot do it has said by now."""
    prompt_tokens: int = 0

    @property
    def has_grammar(self) -> bool:
        """Say whether tools may rule the answer; a response format is known to the engine."""
        return bool(self.asked.body.get("tools"))

    def summary(self, index: int) -> dict[str, Any] | None:
        """Say how the thinking of a choice went; None without a budget or before its end."""
        return self.thoughts[index].summary if index < len(self.thoughts) else None

    def close(self) -> None:
        """Give back what answers that never started still hold."""
        for thought in self.thoughts:
            thought.board.give_back(thought.ticket)

    @property
    def thinking_tokens(self) -> int:
        return sum(t.summary["tokens"] for t in self.thoughts if t.summary)


CURRENT: ContextVar[Exchange | None] = ContextVar("exchange", default=None)
