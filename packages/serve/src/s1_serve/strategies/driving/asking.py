"""One run of a strategy as a driver takes it, and the plan of each of its calls.

Pure. The rules are those of a request to the service: fields of a call replace the request's.
Refuses a call that has no room, and fields that mean nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from s1_core import chat
from s1_core.errors import UserError
from s1_serve.budget.plan import Delimiters, Limits, Plan, resolve
from s1_serve.completions import Sampling
from s1_serve.config import ThinkingBudget
from s1_serve.strategies.calls import Chat, Step
from s1_serve.strategies.session import Session
from s1_serve.text import Codec

_BUDGETS = {
    "thinking_token_budget": "max",
    "min_thinking_tokens": "min",
    "num_extends": "extends",
    "extend_with": "extend_with",
}
_DRAWS = ("temperature", "top_p", "top_k", "min_p")
VERDICT_TOKENS = 512
"""of a verifier's thinking, unless it says so itself; verdicts are short"""


class Speech(Protocol):
    """What a model's tokens mean, and how many there may be (evaluate.run.tokens.Speech)."""

    @property
    def format(self) -> chat.Format: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def context(self) -> int | None: ...
    @property
    def answer_tokens(self) -> int: ...
    @property
    def marks(self) -> Delimiters: ...

    def prompt(self, question: str) -> tuple[int, ...]:
        """Encode a question up to the thinking header."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One run: a question, the session that answers it, and what a request would say."""

    question: str
    session: Session
    budget: ThinkingBudget = field(default_factory=ThinkingBudget)
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None
    """Thinking and answer of one call together; None is what the maximum or the context leaves."""
    deadline_s: float | None = None
    """From when the run begins."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a call asks for once its own fields have replaced the request's."""

    question: str
    budget: ThinkingBudget
    sampling: Sampling
    max_tokens: int | None
    cap: int | None
    """What a token budget leaves for the call; shortens its thinking rather than its answer."""


def wanted(ask: Ask, call: Chat | Step, cap: int | None, least: int) -> Wanted:
    """Read what a call asks for; `least` is what `least` says of the model.

    Raises:
        UserError: a field that no call has, or a value that cannot be.
    """
    own, question = dict(call.overrides), ask.question
    budget, max_tokens = ask.budget, ask.max_tokens
    if isinstance(call, Chat) and call.under:
        question = f"{question}\n\n{call.under}".strip()
    if isinstance(call, Chat) and call.is_verifier:
        budget, max_tokens = ThinkingBudget(), None
        if "max_tokens" in own or "thinking_token_budget" not in own:
            room = own.pop("max_tokens", VERDICT_TOKENS + least)
            cap = room if cap is None else min(cap, room)
    limits = {name: own.pop(key) for key, name in _BUDGETS.items() if key in own}
    draws = {name: own.pop(name) for name in _DRAWS if name in own}
    sampling = replace(ask.sampling, **draws) if draws else ask.sampling
    sampling = sampling.fanned(call.index)
    if "seed" in own:
        sampling = replace(sampling, seed=own.pop("seed"))
    max_tokens = own.pop("max_tokens", max_tokens)
    if own:
        known = (*_BUDGETS, *_DRAWS, "seed", "max_tokens")
        raise UserError(f"a call cannot set {next(iter(own))}: give some of {', '.join(known)}")
    return Wanted(
        question=question,
        budget=replace(budget, **limits) if limits else budget,
        sampling=sampling,
        max_tokens=max_tokens,
        cap=cap,
    )


def least(speech: Speech) -> int:
    """Tell how many tokens a call needs to come to an answer at all."""
    return len(speech.marks.header) + len(speech.marks.cut) + speech.answer_tokens + 1


def planned(speech: Speech, asked: Wanted) -> Plan:
    """Resolve the budget of a call.

    Behind an explicit maximum the answer may have the answer tokens, as in an evaluation, unless
    the request gives `max_tokens`.

    Raises:
        UserError: it has no room.
    """
    budget, marks, reserve = asked.budget, speech.marks, speech.answer_tokens
    fixed = len(marks.header) + len(marks.cut)
    most = asked.max_tokens
    if most is None and budget.max not in (None, -1):
        most = (budget.max or 0) + fixed + reserve
    bounds = [bound for bound in (most, asked.cap) if bound is not None]
    limits = Limits(
        prompt_tokens=len(speech.prompt(asked.question)),
        max_tokens=min(bounds, default=None),
        context=speech.context,
        answer_reserve=reserve,
    )
    if asked.cap is not None:
        budget = _lowered(budget, limits.room() - fixed - reserve)
    return resolve(budget, limits, marks, speech.codec.encode, asked.sampling)


def _lowered(budget: ThinkingBudget, fits: int) -> ThinkingBudget:
    """Lower a maximum to what fits, but not below the minimum."""
    fits = max(fits, budget.min, 0)
    return replace(budget, max=fits if budget.max in (None, -1) else min(budget.max or 0, fits))
