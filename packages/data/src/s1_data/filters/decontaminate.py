"""Keeps benchmark questions out of the pool, by the released rule of s1 (spec 1.2).

One shared shingle of 8 words is enough, with a benchmark or with a source before one's own.
Verbatim spans only: paraphrases pass, and so does every text of fewer words than a shingle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from s1_core.records import Question
from s1_data.config import DecontaminationConfig
from s1_data.filters.shingles import Match, ShingleIndex, normalise

EARLIER = "an earlier source"
NUM_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """What one source shares with one benchmark or with the sources before it."""

    source: str
    against: str
    """a benchmark, or EARLIER"""
    total: int
    contaminated: int
    rate_percent: float
    remaining: int
    examples: tuple[Mapping[str, str], ...] = field(default=())


class Screen:
    """Holds one source after the other against the benchmarks and what was taken before it."""

    def __init__(
        self, benchmarks: Mapping[str, Sequence[Question]], config: DecontaminationConfig
    ) -> None:
        self._config = config
        self._against = [*benchmarks, *([EARLIER] if config.across_sources else [])]
        self._index = _Texts() if config.rule == "exact" else ShingleIndex(config.shingle_words)
        for name, rows in benchmarks.items():
            self._index.add(name, rows)

    def rules(
        self, source: str, rows: Sequence[Question]
    ) -> tuple[list[str | None], list[Contamination]]:
        """Name, for each row, the first text that it shares something with, and report.

        A row is counted once: the benchmarks in their order, then what was taken before.
        """
        matches = self._index.find(rows)
        rules = [None if match is None else match.owner for match in matches]
        return rules, _report(source, rows, matches, self._against)

    def take(self, rows: Sequence[Question]) -> None:
        """Hold the sources to come against these rows too."""
        if self._config.across_sources:
            self._index.add(EARLIER, rows)


def _report(
    source: str, rows: Sequence[Question], matches: Sequence[Match | None], against: Sequence[str]
) -> list[Contamination]:
    """Count one source against each benchmark in turn; what is left goes on to the next."""
    counts = Counter(match.owner for match in matches if match is not None)
    total, lines = len(rows), []
    for name in against:
        pairs = [
            {"question_id": row.id, "with": match.question_id, "shingle": match.shingle}
            for row, match in zip(rows, matches, strict=True)
            if match is not None and match.owner == name
        ]
        lines.append(
            Contamination(
                source=source,
                against=name,
                total=total,
                contaminated=counts[name],
                rate_percent=round(100 * counts[name] / total, 3) if total else 0.0,
                remaining=total - counts[name],
                examples=tuple(pairs[:NUM_EXAMPLES]),
            )
        )
        total -= counts[name]
    return lines


class _Texts:
    """The rule for texts from templates: equal when normalised, else nothing is shared."""

    def __init__(self) -> None:
        self._first: dict[str, Match] = {}

    def add(self, owner: str, rows: Sequence[Question]) -> None:
        for row in rows:
            text = normalise(row.question)
            self._first.setdefault(text, Match(owner, row.id, text))

    def find(self, rows: Sequence[Question]) -> list[Match | None]:
        return [self._first.get(normalise(row.question)) for row in rows]
