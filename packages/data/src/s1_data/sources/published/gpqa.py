"""GPQA without its diamond questions, choices in a seeded order (spec 1.1, fix_gpqa).

Its authors ask that no question be published as plain text: `is_published` is False.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterable, Iterator, Sequence

from s1_core.records import Question, question_id
from s1_data.sources.source import SEED, Fields, Part, RawRow, Source, question, shuffled

HUB_ID = "Idavidrein/gpqa"
CHOICES = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3", "Correct Answer")
COLUMNS = ("Question", "Explanation", *CHOICES)
LETTERS = "ABCD"
DIAMOND = Part(config="gpqa_diamond", columns=("Question",))


def _extended(rows: Iterable[RawRow]) -> list[Question]:
    """Leave out what the diamond part holds, wherever in the rows that part comes."""
    diamond: set[str] = set()
    others: list[Fields] = []
    for part, fields in rows:
        if part == DIAMOND:
            diamond.add(fields["Question"])
        else:
            others.append(fields)
    return [as_question(fields) for fields in others if fields["Question"] not in diamond]


def as_question(fields: Fields) -> Question:
    """Map a row to its bare question; the choices stay in the metadata."""
    rest = dict(fields)
    text, explanation = rest.pop("Question"), rest.pop("Explanation")
    return question(text, rest, solution=explanation, cot_type="science", source_type=HUB_ID)


def with_choices(rows: Sequence[Question]) -> list[Question]:
    """Shuffle the rows, then write four lettered choices under each, and its letter as answer."""
    found = []
    for row, (choices, letter) in _drawn(shuffled(rows), SEED):
        lines = "".join(f"\n({name}) {text}" for name, text in zip(LETTERS, choices, strict=True))
        text = f"{row.question}\nAnswer Choices:{lines}"
        solution = "\n\n".join(part for part in (row.solution, f"Answer: {letter}") if part)
        found.append(
            dataclasses.replace(
                row, id=question_id(text), question=text, solution=solution, answer=letter
            )
        )
    return found


def _drawn(rows: Sequence[Question], seed: int) -> Iterator[tuple[Question, tuple[list[str], str]]]:
    """Pair each row with its choices in a seeded order and the letter of the right one."""
    generator = random.Random(seed)
    for row in rows:
        fields = json.loads(row.metadata)
        choices = [str(fields[name] or "").strip("\n") for name in CHOICES]
        right = choices[-1]
        generator.shuffle(choices)
        yield row, (choices, LETTERS[choices.index(right)])


def asked(rows: Sequence[Question], seed: int) -> list[Question]:
    """Write the choices as evaluation asks them (spec 6): a blank line, then `A) ...`.

    The bare question stays in the metadata, under its column's name.
    """
    found = []
    for row, (choices, letter) in _drawn(rows, seed):
        lines = [f"{name}) {text}" for name, text in zip(LETTERS, choices, strict=True)]
        text = f"{row.question}\n\n" + "\n".join(lines)
        rest = json.loads(row.metadata) | {"Question": row.question}
        kinds = {"cot_type": row.cot_type, "source_type": row.source_type}
        found.append(question(text, rest, solution=row.solution, answer=letter, **kinds))
    return found


GPQA = Source(
    name="gpqa",
    hub_id=HUB_ID,
    parts=(DIAMOND, Part(config="gpqa_extended")),
    columns=COLUMNS,
    convert=_extended,
    arrange=with_choices,
    license="CC-BY-4.0",
    is_published=False,
    is_gated=True,
    needs_every_part=True,
)
