"""A thinking budget in tokens: which ids end thinking, what is forced, how much room there is.

Refuses budgets that leave no room for an answer, with the numbers; never shortens an explicit one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from s1_core import chat
from s1_core.errors import UserError
from s1_serve.completions import Sampling
from s1_serve.config import ThinkingBudget

Encode = Callable[[str], tuple[int, ...]]
End = Literal["natural", "budget", "length"]
"""how thinking ended: by itself, at the maximum, or not before the room did"""
END_WORDS: dict[End, str] = {
    "natural": "ended by itself",
    "budget": "cut at the maximum",
    "length": "ran out of context",
}


class ExtendError(UserError):
    """An extend string that would end thinking."""


class RoomError(UserError):
    """What was asked does not fit, in this prompt's room."""


@dataclass(frozen=True, kw_only=True)
class Delimiters:
    """The control strings of a format as token ids of one tokenizer.

    `attempt_ids`: emitting one of them while thinking is an attempt to end it.
    `end`, `cut`: what is forced at a natural end and at the maximum. `stop_ids` end the answer.
    `header`: the thinking start, where it is not in the prompt and must be forced first.
    """

    attempt_ids: tuple[int, ...]
    end: tuple[int, ...]
    cut: tuple[int, ...]
    stop_ids: tuple[int, ...]
    header: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A budget resolved for one prompt: every number is a count of tokens."""

    maximum: int
    minimum: int
    extends: int
    extend_with: tuple[tuple[int, ...], ...]
    room: int
    delimiters: Delimiters
    sampling: Sampling = field(default_factory=Sampling)

    def extend_ids(self, used: int) -> tuple[int, ...]:
        """Return the next extend string: the list in turn, its last item again and again."""
        return self.extend_with[min(used, len(self.extend_with) - 1)]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The room of one request: output tokens asked for, the context, what the answer keeps."""

    prompt_tokens: int
    max_tokens: int | None
    context: int | None
    answer_reserve: int

    def room(self) -> int:
        """Return how many output tokens fit.

        Raises:
            UserError: neither bound is known, or the prompt fills the context.
        """
        bounds = [] if self.max_tokens is None else [self.max_tokens]
        if self.context is not None:
            bounds.append(self.context - self.prompt_tokens)
        if not bounds:
            raise UserError("the context length is unknown: give max_tokens")
        if min(bounds) < 1:
            raise RoomError(
                f"no room for a single token: the prompt has {self.prompt_tokens} tokens, the "
                f"context {self.context}, max_tokens {self.max_tokens}; shorten the prompt"
            )
        return min(bounds)


def delimiters(
    fmt: chat.Format, encode: Encode, stop_ids: tuple[int, ...], *, suffix: bool = True
) -> Delimiters:
    """Turn the strings of `fmt` into ids; no `suffix` behind a cut where a grammar rules.

    Raises:
        UserError: the first token of the end string also opens a step in this format, so that an
            attempt cannot be told from one token.
    """
    if fmt.counts_steps:
        raise UserError(
            f"format {fmt.name} opens every step with the first token of its end: forcing would "
            "need a look-ahead; use a model of another format"
        )
    end, cut = encode(chat.end_string(fmt)), encode(chat.cut_string(fmt, suffix=suffix))
    attempts = tuple(sorted({end[0], *stop_ids}))
    return Delimiters(attempt_ids=attempts, end=end, cut=cut, stop_ids=tuple(sorted(stop_ids)))


def resolve(
    budget: ThinkingBudget,
    limits: Limits,
    marks: Delimiters,
    encode: Encode,
    sampling: Sampling | None = None,
) -> Plan:
    """Resolve `budget` for one prompt.

    Raises:
        UserError: an explicit maximum leaves no room for the cut string and one answer token, or
            the minimum is above the maximum that fits.
    """
    return Plan(
        maximum=_maximum(budget, limits, len(marks.header) + len(marks.cut)),
        minimum=budget.min,
        extends=budget.extends,
        extend_with=_extend_ids(budget, marks, encode),
        room=limits.room(),
        delimiters=marks,
        sampling=sampling or Sampling(),
    )


def _maximum(budget: ThinkingBudget, limits: Limits, fixed: int) -> int:
    """Find the maximum, given what the delimiters take."""
    room = limits.room()
    if budget.max is None or budget.max == -1:
        maximum = room - fixed - limits.answer_reserve
        if maximum < max(budget.min, 0):
            raise RoomError(
                f"{room} tokens of room leave {maximum} for thinking after {fixed} of the "
                f"delimiters and {limits.answer_reserve} kept for the answer, but the minimum "
                f"is {budget.min}; raise max_tokens or lower the minimum"
            )
        return maximum
    if budget.max + fixed + 1 > room:
        raise RoomError(
            f"a maximum of {budget.max} thinking tokens, {fixed} of the delimiters and 1 of the "
            f"answer need {budget.max + fixed + 1} tokens, but there is room for {room}; lower "
            f"the maximum to at most {room - fixed - 1} or raise max_tokens"
        )
    return budget.max


def _extend_ids(
    budget: ThinkingBudget, marks: Delimiters, encode: Encode
) -> tuple[tuple[int, ...], ...]:
    strings = [budget.extend_with] if isinstance(budget.extend_with, str) else budget.extend_with
    found = tuple(encode(text) for text in strings)
    if any(set(marks.attempt_ids).intersection(ids) for ids in found):
        raise ExtendError("extend_with holds a token that ends thinking: leave control tokens out")
    return found
