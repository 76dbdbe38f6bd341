"""The training text of each example in a format, for trainers that want a `text` column.

Our own training reads the examples and renders by itself; `s1_core.chat` owns the format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from s1_core import chat
from s1_core.artifacts import Draft
from s1_core.records import Example


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """One training text, byte for byte as spec 1.9 has it for the format s1."""

    question_id: str
    text: str


def write_texts(draft: Draft, formats: Sequence[str], examples: Sequence[Example]) -> None:
    """Write one file of texts a format, in the order of the examples."""
    for name in formats:
        fmt = chat.format_named(name)
        texts = ("".join(part.text for part in chat.render_example(fmt, e)) for e in examples)
        rows = [
            Rendered(question_id=example.question_id, text=text)
            for example, text in zip(examples, texts, strict=True)
        ]
        draft.write(f"text-{name}", rows, Rendered)
