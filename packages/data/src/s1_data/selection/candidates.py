"""What the selection knows of a row, and the rows it takes before any draw (spec 1.5, 1.6).

Owns which source types count as AIME, GPQA and MATH. Refuses to take more than was asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from s1_core.errors import UserError

KINDS = {
    "AIME": re.compile("AIME"),  # as spelt: NuminaMATH's amc_aime is none (spec 1.5)
    "GPQA": re.compile(r"(?<![a-z])gpqa(?![a-z])", re.IGNORECASE),
    "MATH": re.compile(r"(^|/)(openaimath|hendrycks_math)(/|$)|^math(/|$)", re.IGNORECASE),
}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One row of the pool; `is_correct` tells whether its trace is right, None: nobody knows."""

    question_id: str
    domain: int
    thinking_tokens: int
    source_type: str = ""
    is_correct: bool | None = None


def kind(source_type: str) -> str | None:
    """Name the benchmark family a source belongs to: AIME, GPQA, MATH or None."""
    return next((name for name, form in KINDS.items() if form.search(source_type)), None)


def preselected(
    pool: Sequence[Candidate], long_math_tokens: int, num_rows: int
) -> tuple[list[int], str]:
    """Return the right AIME and GPQA rows and the right MATH rows that think for long.

    In the order of their ids, and with a sentence for the card. Raises UserError when there are
    more than `num_rows` of them.
    """
    kinds = [kind(candidate.source_type) for candidate in pool]
    taken = [
        index
        for index, candidate in enumerate(pool)
        if candidate.is_correct
        and kinds[index] is not None
        and (kinds[index] != "MATH" or candidate.thinking_tokens > long_math_tokens)
    ]
    counts = Counter(kinds[index] for index in taken)
    found = ", ".join(f"{counts[name]} {name}" for name in KINDS)
    if len(taken) > num_rows:
        raise UserError(
            f"{len(taken)} rows ({found}) are taken before any draw, selection.num_rows wants"
            f" {num_rows}; raise --selection.num_rows or --selection.long_math_tokens"
        )
    note = (
        f"{len(taken)} rows ({found}) were taken before any draw: their traces are right, and those"
        f" of MATH are longer than {long_math_tokens}."
    )
    if all(row.is_correct is None for row, name in zip(pool, kinds, strict=True) if name):
        note = "No row was taken before the draw: no trace of AIME, GPQA or MATH has a verdict."
    return sorted(taken, key=lambda index: pool[index].question_id), note
