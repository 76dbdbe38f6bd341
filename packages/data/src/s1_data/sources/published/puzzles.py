"""Puzzles: crossword clues and quantitative teasers (spec 1.1)."""

from __future__ import annotations

from collections.abc import Sequence

from s1_core.records import Question
from s1_data.sources.source import Fields, Part, Source, each, question, shuffled

PROMPT = (
    "Solve the crossword puzzle. You are presented with a clue as input and the number of letters"
    " in brackets."
)
CLUE = "### Clue: "
NUM_CLUES = 1000


@each
def _xword(_part: Part, row: Fields) -> Question:
    """Ask for the clue behind its marker; a row without the marker is a clue as a whole."""
    given, answer = str(row.pop("input") or ""), row.pop("output")
    clue = given.split(CLUE)[1] if CLUE in given else given
    return question(
        f"{PROMPT}\n\n{clue}" if clue.strip() else "", row, solution=answer, answer=answer,
        cot_type="crossword", source_type="0xharib/xword1",
    )  # fmt: skip


def first_clues(rows: Sequence[Question]) -> list[Question]:
    """Take the first 1000 in shuffled order."""
    return shuffled(rows)[:NUM_CLUES]


XWORD = Source(
    name="xword",
    hub_id="0xharib/xword1",
    parts=(Part(),),
    columns=("input", "output"),
    convert=_xword,
    arrange=first_clues,
)


@each
def _teasers(_part: Part, row: Fields) -> Question:
    text, answer = str(row.pop("Question") or "").strip(), row.pop("Answer")
    return question(
        text, row, solution=answer, answer=answer,
        cot_type="math", source_type="simplescaling/s1-teasers",
    )  # fmt: skip


S1_TEASERS = Source(
    name="s1_teasers",
    hub_id="simplescaling/s1-teasers",
    parts=(Part(),),
    columns=("Question", "Answer"),
    convert=_teasers,
)
