"""The text format: every delimiter, turn marker and prompt string there is, and no other file.

Strings and pure functions only. Control tokens inside questions, thinking and answers are
neutralised, so that only this module's own text can act as one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from s1_core.errors import UserError
from s1_core.records import Example
from s1_core.splitter import Marks, Splitter

TURN_START, TURN_END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
ANSWER_START = "<|im_start|>answer"
"""the end-of-thinking delimiter of s1: there is no token of its own for it (spec 1.9)"""
PAD = "<|fim_pad|>"
STEP_END = "<|quad_end|>"
"""parts the steps of a text that is only tokenized; no model ever reads it"""
CALL_START, CALL_END = "<tool_call>", "</tool_call>"
RESULT_START, RESULT_END = "<tool_response>", "</tool_response>"
SYSTEM_PROMPT = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
SPECIAL_TOKENS = (
    END_OF_TEXT, TURN_START, TURN_END,
    "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>",
    "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>",
    "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", PAD, "<|repo_name|>", "<|file_sep|>",
    "<tool_response>", "</tool_response>", "<think>", "</think>",
)  # fmt: skip
"""Qwen2.5's added tokens in the order of their ids, then the four that Qwen3 appended."""

Encode = Callable[[str], Sequence[int]]

_CONTROL = re.compile("|".join(map(re.escape, SPECIAL_TOKENS)))
_WORD_JOINER = "\u2060"
_STEP_TAIL = " steps left"
_SUFFIXES = {
    "tokens": "Think for up to {value} tokens.",
    "steps": "Think for up to {value} steps.",
    "long": "Answer after a long amount of thinking. If you feel like you are finished early, "
    "spend the extra time trying to double-check your work until you are absolutely sure that "
    "you have the correct answer.",
    "short": "Answer after a short amount of thinking. Do not spend excessive time "
    "double-checking your work.",
}


@dataclass(frozen=True, kw_only=True)
class Format:
    """How thinking and answer are marked inside the assistant's turn."""

    name: str
    thinking_start: str
    answer_start: str
    cut_suffix: str = "\nFinal Answer:"
    counts_steps: bool = False


FORMATS = {
    fmt.name: fmt
    for fmt in (
        Format(
            name="s1",
            thinking_start="<|im_start|>think",
            answer_start=ANSWER_START,
        ),
        Format(
            name="s1-steps",
            thinking_start="<|im_start|>",
            answer_start=ANSWER_START,
            counts_steps=True,
        ),
        Format(name="think", thinking_start="<think>", answer_start="</think>"),
    )
}


@dataclass(frozen=True)
class Segment:
    """A stretch of rendered text; `is_target` says whether training learns it.

    A `label` is what its last token is to predict, instead of what follows.
    """

    text: str
    is_target: bool
    label: str | None = None


def format_named(name: str) -> Format:
    """Find a format; an unknown name is a UserError that lists the valid ones."""
    if name not in FORMATS:
        raise UserError(f"unknown text format {name!r}; valid are {', '.join(FORMATS)}")
    return FORMATS[name]


def check_tokens(fmt: Format, encode: Encode) -> None:
    """Refuse a tokenizer in which a control token of the format is not a single id."""
    delimiters = fmt.thinking_start + fmt.answer_start
    for token in sorted({TURN_START, TURN_END, *_CONTROL.findall(delimiters)}):
        found = len(encode(token))
        if found != 1:
            raise UserError(
                f"the tokenizer splits {token} into {found} ids, format {fmt.name!r} wants one;"
                " add it as a special token or choose another format"
            )


def neutralise(text: str) -> str:
    """Break every control token with an invisible word joiner; other text stays as it is."""
    return _CONTROL.sub(lambda token: token[0][0] + _WORD_JOINER + token[0][1:], text)


def answer_text(attempt: str) -> str:
    """Prefix "Answer: " unless "Answer:" already occurs (spec 1.9)."""
    attempt = attempt.strip()
    return attempt if "Answer:" in attempt else f"Answer: {attempt}"


def render(fmt: Format, question: str, thinking: str, answer: str) -> tuple[Segment, ...]:
    """Render a training text as prompt, header, completion, end of turn and newline.

    The joined texts are spec 1.9 byte for byte. Each boundary is also one of the tokenizer, so
    that segments may be encoded one by one.
    """
    thinking, answer = neutralise(thinking).strip(), neutralise(answer).strip()
    body = _countdown(thinking) if fmt.counts_steps else f"\n{thinking}\n"
    return (
        Segment(_prompt(question), is_target=False),
        Segment(fmt.thinking_start, is_target=True),
        Segment(f"{body}{fmt.answer_start}\n{answer}", is_target=True),
        Segment(TURN_END, is_target=True),
        Segment("\n", is_target=False),
    )


def render_example(fmt: Format, example: Example) -> tuple[Segment, ...]:
    """Render an s1k row (spec 1.9): its trace, then the answer text."""
    return render(fmt, example.question, trace(example), answer_text(example.attempt))


def trace(example: Example) -> str:
    """Join the trajectories of an s1k row by newlines (spec 1.9)."""
    return "\n".join(example.thinking_trajectories).strip()


def completion(segments: Sequence[Segment]) -> str:
    """Give what an engine returns for a rendered text: all behind the generation prompt."""
    return segments[2].text


def generation_prompt(fmt: Format, question: str) -> str:
    """Render the prompt of a question up to the thinking start, which no newline follows."""
    return _prompt(question) + fmt.thinking_start


def end_string(fmt: Format) -> str:
    """Give what ends the thinking naturally."""
    return fmt.answer_start


def cut_string(fmt: Format, *, suffix: bool = True) -> str:
    """Give what ends the thinking by force; no suffix where a grammar rules the answer."""
    return f"\n{fmt.answer_start}{fmt.cut_suffix if suffix else ''}"


def control_suffix(kind: str, value: int | None = None) -> str:
    """Give the sentence of length control by prompt: tokens, steps, long or short (spec 4)."""
    if kind not in _SUFFIXES:
        raise UserError(f"unknown length control {kind!r}; valid are {', '.join(_SUFFIXES)}")
    if "{value}" in _SUFFIXES[kind] and value is None:
        raise UserError(f"length control {kind!r} wants a number")
    return _SUFFIXES[kind].format(value=value)


def controlled(question: str, kind: str, value: int | None = None) -> str:
    """Append the sentence of length control to a question, after a blank line."""
    return f"{question}\n\n{control_suffix(kind, value)}"


def num_steps(thinking: str) -> int:
    """Count the steps of a trace: its parts between blank lines."""
    return len(thinking.strip().split("\n\n"))


def rounded_up(count: int) -> int:
    """Round up to a power of two, the k of token- and step-conditional control (spec 4.1, 4.2)."""
    return 1 << max(count - 1, 0).bit_length()


def split(fmt: Format, text: str) -> tuple[str, str | None]:
    """Part a completion into thinking and answer; None where no answer was begun."""
    splitter = StreamSplitter(fmt)
    pieces = splitter.feed(text) + splitter.close()
    thinking = "".join(piece for channel, piece in pieces if channel == "thinking")
    answer = "".join(piece for channel, piece in pieces if channel == "answer")
    return thinking, answer if splitter.channel == "answer" else None


class StreamSplitter(Splitter):
    """`split` for a completion that arrives in pieces; the sum is the same under any chunking."""

    def __init__(self, fmt: Format) -> None:
        steps = {"step_start": TURN_START, "step_tail": _STEP_TAIL} if fmt.counts_steps else {}
        stops = (TURN_END, END_OF_TEXT)
        super().__init__(
            Marks(start=fmt.thinking_start, switch=fmt.answer_start, stops=stops, **steps)
        )


def _prompt(question: str) -> str:
    return (
        f"{TURN_START}system\n{SYSTEM_PROMPT}{TURN_END}\n"
        f"{TURN_START}user\n{neutralise(question)}{TURN_END}\n{TURN_START}assistant\n"
    )


def _countdown(thinking: str) -> str:
    """Number the steps downwards; the first header lacks the token that the prompt ends with."""
    steps = thinking.split("\n\n")
    left = rounded_up(len(steps))
    numbered = (f"{left - n}{_STEP_TAIL}\n{step}\n" for n, step in enumerate(steps))
    return TURN_START.join(numbered)
