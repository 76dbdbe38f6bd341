"""Steps of a thinking: where a text is parted, and how a reward model reads and labels them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from s1_core import chat

LABELS = WRONG, RIGHT = "-", "+"
"""what a reward model is to predict behind a step, in the order of its scores"""

# A blank line, a newline behind the end of a sentence, or the next numbered item of a walk as the
# problem bank writes them ("1:r=1 2:a=1"). Newlines belong to the step that they end.
_BOUNDARY = re.compile(r"(?<=[^\n])\n{2,}(?=[^\n])|(?<=[.!?])\n+(?=[^\n])|(?<=\d)(?= \d+:)")


def parted(text: str) -> list[str]:
    """Part a thinking into its steps; joined they are the text again, and none is empty.

    A text that goes on keeps its steps: those of its beginning are the same, but for the last,
    which is not known to have ended.
    """
    ends = [found.end() for found in _BOUNDARY.finditer(text)]
    starts = [0, *ends]
    return [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True) if text]


def passages(prompt: str, steps: Sequence[str]) -> tuple[str, ...]:
    """Write what a reward model reads, a passage a step; its score stands at the last token.

    Each passage is tokenized by itself, so that it ends where a token does. The generation prompt
    leads the first, and newlines behind a step lead the next one: a step's end is what it says.
    """
    written: list[str] = []
    before = f"{prompt}\n"
    for step in steps:
        text = chat.neutralise(step)
        text = text if written else text.lstrip("\n")
        said = text.rstrip("\n")
        written.append(before + said)
        before = text[len(said) :]
    return tuple(written)


def marked(prompt: str, steps: Sequence[str]) -> str:
    """Write the passages with a mark behind each, for a tokenizer: no mark is read by the model."""
    return "".join(passage + chat.STEP_END for passage in passages(prompt, steps))


def render(
    prompt: str, steps: Sequence[str], are_right: Sequence[bool]
) -> tuple[chat.Segment, ...]:
    """Render a training text: the passages, each with its label and no other target."""
    return tuple(
        chat.Segment(passage, is_target=False, label=RIGHT if is_right else WRONG)
        for passage, is_right in zip(passages(prompt, steps), are_right, strict=True)
    )
