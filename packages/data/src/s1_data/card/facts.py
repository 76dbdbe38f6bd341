"""Everything that the card and its figure tell, gathered in one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s1_core.records import Example
from s1_data.config import BuildConfig
from s1_data.funnel import Funnel

if TYPE_CHECKING:
    from s1_data.embedding.measures import Measure


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A selection and how it came about."""

    config: BuildConfig
    funnel: Funnel
    examples: Sequence[Example]
    models: Sequence[str]
    """whose attempts said what is easy"""
    teachers: Sequence[str]
    """who wrote the traces"""
    source_of: Mapping[str, str]
    """question id to source"""
    sources: Mapping[str, Any]
    """sources.json of the questions artifact"""
    contamination: Sequence[Mapping[str, Any]]
    """decontamination.json of the questions artifact"""
    measures: Sequence[Measure]
    notes: Sequence[str]
    """what the selection itself wants said"""

    @property
    def unit(self) -> str:
        """What thinking is counted in."""
        return "words" if self.config.difficulty.tokenizer == "words" else "tokens"

    @property
    def lengths(self) -> list[int]:
        """Thinking of each example, in `unit`."""
        return [example.thinking_tokens for example in self.examples]

    def tally(self, labels: Sequence[str]) -> list[tuple[str, int, int]]:
        """Count rows and thinking by label, the most frequent first: (label, rows, thinking)."""
        rows, thinking = Counter(labels), Counter[str]()
        for label, length in zip(labels, self.lengths, strict=True):
            thinking[label] += length
        order = sorted(rows, key=lambda label: (-rows[label], label))
        return [(label, rows[label], thinking[label]) for label in order]

    def origins(self) -> list[str]:
        """Name the source of each example."""
        return [self.source_of[example.question_id] for example in self.examples]

    def domains(self) -> list[str]:
        """Name the domain of each example."""
        return [example.domain for example in self.examples]
