"""Keeps benchmark questions out of the pool, by the released rule of s1 (spec 1.2).

One shared shingle of 8 words is enough. Verbatim spans only: paraphrases pass, and so does every
text of fewer words than a shingle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from s1_core.records import Question
from s1_data.funnel import Rules

Benchmarks = Mapping[str, Iterable[Question]]


def normalise(text: str) -> str:
    """Fold case and collapse white space; punctuation stays."""
    return " ".join(text.lower().split())


def shingles(text: str, num_words: int) -> Iterator[tuple[str, ...]]:
    """Yield every run of `num_words` consecutive words of the normalised text."""
    words = text.lower().split()
    return zip(*(words[start:] for start in range(num_words)), strict=False)


def sharing_shingles(pool: Sequence[Question], benchmarks: Benchmarks, num_words: int) -> Rules:
    """Name, for each question, the first benchmark that it shares a shingle with."""
    index = {
        name: {shingle for row in rows for shingle in shingles(row.question, num_words)}
        for name, rows in benchmarks.items()
    }

    def contaminant(question: Question) -> str | None:
        for name, seen in index.items():
            if not seen.isdisjoint(shingles(question.question, num_words)):
                return name
        return None

    return [contaminant(question) for question in pool]


def sharing_text(pool: Sequence[Question], benchmarks: Benchmarks) -> Rules:
    """Name, for each question, the benchmark that holds the same normalised text."""
    owner = {normalise(row.question): name for name, rows in benchmarks.items() for row in rows}
    return [owner.get(normalise(question.question)) for question in pool]
