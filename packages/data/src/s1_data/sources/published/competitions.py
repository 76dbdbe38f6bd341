"""Competition mathematics: MATH, NuminaMATH, Omni-MATH and AIME (spec 1.1)."""

from __future__ import annotations

from collections.abc import Iterable

from s1_core.errors import UserError
from s1_core.records import Question, question_id
from s1_data.sources.published.kept import KEPT
from s1_data.sources.source import Fields, Part, RawRow, Source, boxed, each, question

FORUM = "aops_forum"
CHOSEN = Part(hub_id="simplescaling/numinamath_500", columns=("problem",))


@each
def _math(_part: Part, row: Fields) -> Question:
    text, solution = row.pop("problem"), row.pop("solution")
    return question(
        text, row, solution=solution, answer=row.get("answer") or boxed(solution),
        cot_type="math", source_type=f"simplescaling/openaimath/{row['subject']}",
    )  # fmt: skip


MATH = Source(
    name="math",
    hub_id="simplescaling/openaimath",
    parts=(Part(),),
    columns=("problem", "solution", "subject"),
    convert=_math,
    homepage="https://github.com/openai/prm800k",
)


def _numinamath(rows: Iterable[RawRow]) -> list[Question]:
    """Keep the forum's problems and the chosen ones of the rest; the rest goes first."""
    chosen, forum, others = set(KEPT), list[Question](), list[Question]()
    for part, fields in rows:
        if part == CHOSEN:
            chosen.add(question_id(fields["problem"] or ""))
        elif fields["source"] == FORUM:
            forum.append(_numina(dict(fields)))
        elif question_id(fields["problem"] or "") in chosen:
            others.append(_numina(dict(fields)))
    return others + forum


def _numina(row: Fields) -> Question:
    text, solution = row.pop("problem"), row.pop("solution")
    row.pop("messages", None)  # problem and solution once more
    return question(
        text, row, solution=solution, answer=boxed(solution),
        cot_type="math", source_type=f"AI-MO/NuminaMath-CoT/{row['source']}",
    )  # fmt: skip


NUMINAMATH = Source(
    name="numinamath",
    hub_id="AI-MO/NuminaMath-CoT",
    parts=(CHOSEN, Part()),  # what is chosen must be known before the first of 860,000 rows
    columns=("problem", "solution", "source"),
    convert=_numinamath,
    license="Apache-2.0",
    needs_every_part=True,
)


@each
def _omni_math(_part: Part, row: Fields) -> Question:
    text, solution = row.pop("problem"), row.pop("solution")
    return question(
        text, row, solution=solution, answer=row.get("answer") or boxed(solution),
        cot_type="math", source_type="KbsdJames/Omni-MATH",
    )  # fmt: skip


OMNI_MATH = Source(
    name="omni_math",
    hub_id="KbsdJames/Omni-MATH",
    parts=(Part(split="test"),),
    columns=("problem", "solution"),
    convert=_omni_math,
    license="Apache-2.0",
)


def _year(name: object) -> int:
    year = str(name).partition("-")[0]
    if not (year.isdecimal() and len(year) == 4):
        raise UserError(f"aime: found ID {name!r}, wanted one like 2021-I-3, the year first")
    return int(year)


def aime(until: int) -> Source:
    """Describe AIME up to and including a year: 2021 in the paper, 2022 in its code."""

    @each
    def convert(_part: Part, row: Fields) -> Question | None:
        if _year(row["ID"]) > until:
            return None
        text, answer = str(row.pop("Question") or "").strip(), row.pop("Answer")
        return question(
            text, row, solution=answer, answer=answer,
            cot_type="math", source_type="qq8933/AIME_1983_2024",
        )  # fmt: skip

    return Source(
        name="aime",
        hub_id="qq8933/AIME_1983_2024",
        parts=(Part(),),
        columns=("ID", "Question", "Answer"),
        convert=convert,
        license="MIT",
        variant=f"until {until}",
    )
