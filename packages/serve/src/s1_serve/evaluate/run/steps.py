"""Step-conditional control (spec 4.2): thinking that counts its steps down, ended from outside.

In that format the token that opens the answer opens every step too, so an end is only known from
what follows it: each step is a request of its own, and the head of the next tells what it is.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from s1_core import chat
from s1_serve.budget import loop
from s1_serve.budget.outcome import Outcome
from s1_serve.budget.plan import End
from s1_serve.completions import Completion, CompletionRequest, FinishReason, Sampling
from s1_serve.text import Codec


@dataclass(frozen=True, kw_only=True)
class Countdown:
    """The control strings of a format that counts steps, as token ids, and the room there is."""

    codec: Codec
    end: tuple[int, ...]
    cut: tuple[int, ...]
    stop_ids: tuple[int, ...]
    room: int
    """output tokens of thinking and answer together"""
    answer_reserve: int

    @classmethod
    def of(
        cls, fmt: chat.Format, codec: Codec, stop_ids: tuple[int, ...], room: int, reserve: int
    ) -> Countdown:
        assert fmt.counts_steps, f"{fmt.name} counts no steps"
        end, cut = codec.encode(chat.end_string(fmt)), codec.encode(chat.cut_string(fmt))
        return cls(
            codec=codec, end=end, cut=cut, stop_ids=stop_ids, room=room, answer_reserve=reserve
        )

    @property
    def opening(self) -> int:
        """The token that opens a step, or the answer."""
        return self.end[0]

    def is_down(self, ids: Sequence[int]) -> bool:
        """Say whether a step's header has counted to zero, or below."""
        return self.codec.decode(ids[:2]).strip()[:1] in ("0", "-")

    def num_tokens(self, thinking_ids: Sequence[int]) -> int:
        """Count the tokens of the steps without their openings and headers (spec 5)."""
        count, is_header, pending = 0, True, list[int]()
        for token in thinking_ids:
            if token == self.opening:
                is_header, pending = True, []
            elif is_header:
                pending.append(token)
                is_header = "\n" not in self.codec.decode(pending)
            else:
                count += 1
        return count


def machine(
    prompt: tuple[int, ...], marks: Countdown, max_steps: int | None, sampling: Sampling
) -> Generator[CompletionRequest, Completion, Outcome]:
    """Think step by step, at most `max_steps` of them but at least one, then answer.

    A step that the model numbers 0 or less ends thinking too, where steps are limited; as in the
    authors' harness nothing is forced behind the end string then. The cut string is forced where
    there is no room for more.
    """
    thinking: tuple[int, ...] = ()
    num_steps = 0
    while True:
        thought = thinking[:-1] if thinking[-1:] == (marks.opening,) else thinking
        left = marks.room - marks.answer_reserve - len(marks.cut) - len(thinking)
        if left < 1:
            return (yield from _answered(prompt, marks, thought, marks.cut, sampling))
        step = yield CompletionRequest(
            prompt_ids=prompt + thinking,
            max_tokens=left,
            stop_ids=(marks.opening, *marks.stop_ids),
            sampling=_drawn(sampling, len(thinking)),
        )
        if num_steps and step.token_ids[: len(marks.end) - 1] == marks.end[1:]:
            return (yield from _finished(prompt, marks, thought, step, sampling))
        is_over = num_steps == max_steps or marks.is_down(step.token_ids)
        if num_steps and max_steps is not None and is_over:
            return (yield from _answered(prompt, marks, thought, marks.end, sampling))
        thinking += step.token_ids
        num_steps += 1
        if step.finish_reason == "stop":  # an end of turn while thinking opens a step as well
            thinking += (marks.opening,)


def _finished(
    prompt: tuple[int, ...],
    marks: Countdown,
    thought: tuple[int, ...],
    step: Completion,
    sampling: Sampling,
) -> Generator[CompletionRequest, Completion, Outcome]:
    """Take what followed the opening as the answer, and go on with it where it was cut short."""
    begun = step.token_ids[len(marks.end) - 1 :]
    if step.finish_reason == "stop":
        return _outcome(thought, marks.end, begun, "natural", "stop")
    outcome = yield from _answered(prompt, marks, thought, marks.end + begun, sampling)
    return replace(
        outcome, ending_ids=marks.end, answer_ids=begun + outcome.answer_ids, end="natural"
    )


def _answered(
    prompt: tuple[int, ...],
    marks: Countdown,
    thinking: tuple[int, ...],
    ending: tuple[int, ...],
    sampling: Sampling,
) -> Generator[CompletionRequest, Completion, Outcome]:
    """Force the ending and let the model answer."""
    request = CompletionRequest(
        prompt_ids=prompt + thinking + ending,
        max_tokens=max(1, marks.room - len(thinking) - len(ending)),
        stop_ids=marks.stop_ids,
        sampling=_drawn(sampling, len(thinking) + len(ending)),
    )
    answer = yield request
    return _outcome(thinking, ending, answer.token_ids, "budget", answer.finish_reason)


def _outcome(
    thinking: tuple[int, ...],
    ending: tuple[int, ...],
    answer: tuple[int, ...],
    end: End,
    reason: FinishReason,
) -> Outcome:
    return Outcome(
        header_ids=(),
        thinking_ids=thinking,
        ending_ids=ending,
        answer_ids=answer,
        end=end,
        extends=0,
        finish_reason=reason,
    )


def _drawn(sampling: Sampling, position: int) -> Sampling:
    return loop.drawn(sampling, position, "step")
