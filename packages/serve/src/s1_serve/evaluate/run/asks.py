"""What a run asks for and what it gets: the exchange between methods and whatever answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from s1_serve.budget.plan import End
from s1_serve.completions import FinishReason, Sampling
from s1_serve.config import ThinkingBudget
from s1_serve.evaluate.settings import Setting

K = TypeVar("K")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One answer to be had: what is asked, what is forced, how it is drawn."""

    question: str
    """with what a method writes under it"""
    budget: ThinkingBudget | None
    """None: nothing is forced"""
    sampling: Sampling
    max_steps: int | None = None
    """thinking is ended after so many steps; None counts none"""
    is_alone: bool = False
    """shares nothing with others: what a user of the served model would get"""
    wants_logprob: bool = False
    """its mean logprob is stored where it can be had, for votes that weigh by it"""
    strategy: str = ""
    """answered by many calls of this strategy, not by one"""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a strategy generated for an answer, stop tokens too, and how it came to choose it."""

    total_tokens: int
    sequential_tokens: int
    aborted_tokens: int
    verifier_tokens: int
    num_started: int
    num_aborted: int
    is_degraded: bool
    decision: str
    """JSON: selected, votes, margin, why"""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One answer. `maximum` is the number of thinking tokens in force, None where none was."""

    thinking: str
    answer: str
    thinking_tokens: int | None
    output_tokens: int
    end: End
    extends: int
    finish_reason: FinishReason
    maximum: int | None
    seconds: float
    is_kept: bool = True
    """False where what came back says that another budget was in force"""
    mean_logprob: float | None = None
    """of what was generated; None where it was not asked for"""
    spent: Spent | None = None
    """of a strategy"""


NOTHING = Answered(
    thinking="",
    answer="",
    thinking_tokens=0,
    output_tokens=0,
    end="length",
    extends=0,
    finish_reason="length",
    maximum=None,
    seconds=0.0,
)
"""where there was no answer to be had"""

Answers = Callable[[K, Answered], Iterable[tuple[K, Ask]]]
"""from the key of an ask and its answer to the asks that follow"""


class Answerer(Protocol):
    """Whatever answers: an engine in this process, a server of token ids, a server that chats."""

    def refusal(self, setting: Setting) -> str | None:
        """Say why a run cannot be had here; None where it can."""
        ...

    def check(self, ask: Ask) -> None:
        """Raise UserError where an ask has no room; before anything runs."""
        ...

    def work(self, asks: Iterable[tuple[K, Ask]], done: Answers[K]) -> None:
        """Answer all asks and those that `done` gives for each answer."""
        ...
