"""A plan as the machine keeps it and as it travels to the engine: one row of integers."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import IntEnum

from s1_serve.budget.plan import Plan

UNDECIDED, NATURAL, BUDGET = 0, 1, 2
"""how thinking has ended"""
MEMORY = 16
"""extends that are remembered: a row can undo so many, and engines step back by a token or two"""


class Column(IntEnum):
    """Columns of a slot's terms, behind which its strings lie."""

    MAXIMUM, MINIMUM, EXTENDS, SEED, TOP_K = range(5)
    HEADER, END, CUT, LENGTHS, NUM_STRINGS, WORDS = range(5, 11)


@dataclass(frozen=True)
class Terms:
    """A plan as the machine keeps it: integers that travel to the engine, and numbers."""

    words: list[int]
    temperature: float
    top_p: float
    min_p: float

    @staticmethod
    def pack(plan: Plan) -> Terms:
        """Lay out a plan; one without a seed gets one that nobody knows."""
        drawn = plan.sampling
        seed = secrets.randbits(63) if drawn.seed is None else drawn.seed
        return Terms(_words(plan, seed), drawn.temperature, drawn.top_p, drawn.min_p)


def _words(plan: Plan, seed: int) -> list[int]:
    """Lay out terms and strings: header, end, cut, then (start, length) and words of extends."""
    marks = plan.delimiters
    header = int(Column.WORDS)
    end = header + len(marks.header)
    cut = end + len(marks.end)
    lengths = cut + len(marks.cut)
    strings = lengths + 2 * len(plan.extend_with)
    table: list[int] = []
    words: list[int] = []
    for ids in plan.extend_with:
        table += [strings + len(words), len(ids)]
        words += ids
    terms = [plan.maximum, plan.minimum, plan.extends, seed, plan.sampling.top_k]
    places = [header, end, cut, lengths, len(plan.extend_with)]
    return [*terms, *places, *marks.header, *marks.end, *marks.cut, *table, *words]
