"""Which text first held a run of words: an index that is asked by hash and answers by words.

A shingle is a run of consecutive words of the case-folded text, parted at white space (spec 1.2).
Hashes find candidates, a batch at a time; a match is only reported after its words were compared.
Of two shingles in the index with one hash the first counts: a chance of 1 in 10^6 for a whole pool
of 59,000 questions that one shingle of it is overlooked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s1_core.records import Question

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Numbers = NDArray[np.int64]

BATCH = 256  # rows: the text of a batch and its hashes stay in the cache
# Marks the hashes that occur at all: one look here spares a binary search for nearly every shingle.
_TABLE_BITS = 24
_FACTOR = 0x9E3779B97F4A7C15
_SPACE, _NEWLINE = b" \n"


@dataclass(frozen=True)
class Match:
    """The first text that shares a shingle with a row, who brought it, and the shingle."""

    owner: str
    question_id: str
    shingle: str


def normalise(text: str) -> str:
    """Fold case and collapse white space; punctuation stays."""
    return " ".join(text.lower().split())


class ShingleIndex:
    """The shingles of all texts added so far; texts of fewer words have none."""

    def __init__(self, num_words: int) -> None:
        import numpy as np

        self._num_words = num_words
        self._table = np.zeros(1 << _TABLE_BITS, dtype=bool)
        self._parts: list[tuple[Hashes, Numbers]] = []
        self._rows: list[tuple[str, Question]] = []

    def add(self, owner: str, rows: Sequence[Question]) -> None:
        """Take in the shingles of `rows` in the name of `owner`."""
        import numpy as np

        found = [
            (hashes, at + len(self._rows) + start) for start, hashes, at, _ in self._shingles(rows)
        ]
        self._rows += [(owner, row) for row in rows]
        if any(len(hashes) for hashes, _ in found):
            hashes = np.concatenate([part for part, _ in found])
            # np.unique keeps the first of equals: the earliest text that holds the shingle.
            unique, first = np.unique(hashes, return_index=True)
            self._parts.append((unique, np.concatenate([at for _, at in found])[first]))
            self._table[_slots(unique)] = True

    def find(self, rows: Sequence[Question]) -> list[Match | None]:
        """Return for each row the earliest added text that shares a shingle with it."""
        matches: list[Match | None] = [None] * len(rows)
        for start, hashes, at, batch in self._shingles(rows):
            for row, text in self._candidates(hashes, at):
                if matches[start + row] is None:
                    matches[start + row] = self._match(batch[row], text)
        return matches

    def _shingles(
        self, rows: Sequence[Question]
    ) -> Iterator[tuple[int, Hashes, Numbers, list[str]]]:
        """Yield for each batch its start, the hashes of its shingles, their rows, its texts."""
        for start in range(0, len(rows), BATCH):
            batch = [normalise(row.question) for row in rows[start : start + BATCH]]
            yield start, *_hashes(batch, self._num_words), batch

    def _candidates(self, hashes: Hashes, at: Numbers) -> list[tuple[int, int]]:
        """List the (row, indexed text) pairs with an equal hash, the earliest texts first."""
        import numpy as np

        known = np.flatnonzero(self._table[_slots(hashes)])
        hashes, at = hashes[known], at[known]
        pairs: set[tuple[int, int]] = set()
        for indexed, texts in self._parts:
            place = np.minimum(np.searchsorted(indexed, hashes), len(indexed) - 1)
            hit = np.flatnonzero(indexed[place] == hashes)
            pairs.update(zip(at[hit].tolist(), texts[place[hit]].tolist(), strict=True))
        return sorted(pairs)

    def _match(self, row: str, text: int) -> Match | None:
        owner, question = self._rows[text]
        indexed, words = f" {normalise(question.question)} ", row.split()
        for start in range(len(words) - self._num_words + 1):
            shingle = " ".join(words[start : start + self._num_words])
            if f" {shingle} " in indexed:
                return Match(owner, question.id, shingle)
        return None


def _hashes(batch: Sequence[str], num_words: int) -> tuple[Hashes, Numbers]:
    """Hash every run of words: two arrays (S,), the hashes and the rows that they stand in.

    A polynomial over the bytes, modulo 2^64. A run's share of the running sum, divided by the
    power of its first byte, is the same wherever the run stands.
    """
    import numpy as np

    text = np.frombuffer("\n".join(batch).encode() + b"\n", np.uint8)
    powers, inverses = _powers(len(text))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(text * powers)])
    ends = np.flatnonzero((text == _SPACE) | (text == _NEWLINE))
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    row = np.cumsum(text[ends] == _NEWLINE) - (text[ends] == _NEWLINE)
    last = min(num_words - 1, len(ends))
    first, end, row_of_end = starts[: len(ends) - last], ends[last:], row[last:]
    hashes = (sums[end] - sums[first]) * inverses[first]
    whole = row[: len(row_of_end)] == row_of_end
    return hashes[whole], row_of_end[whole]


def _powers(size: int) -> tuple[Hashes, Hashes]:
    """Give the powers 0 to size - 1 of an odd factor and of its inverse, modulo 2^64."""
    import numpy as np

    inverse = pow(_FACTOR, -1, 1 << 64)
    both = [np.full(size, factor, np.uint64) for factor in (_FACTOR, inverse)]
    for powers in both:
        powers[:1] = 1
    return np.cumprod(both[0]), np.cumprod(both[1])


def _slots(hashes: Hashes) -> Hashes:
    import numpy as np

    return hashes >> np.uint64(64 - _TABLE_BITS)
