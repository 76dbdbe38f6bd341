"""Science and mathematics olympiads: OlympicArena and OlympiadBench (spec 1.1)."""

from __future__ import annotations

from s1_core.records import Question
from s1_data.sources.source import Fields, Part, Source, boxed, each, first, question

SUBJECTS = ("Math", "Physics", "Chemistry", "Biology", "Geography", "Astronomy", "CS")
KINDS = {"Math": "math", "CS": "coding"}
CONFIGS = tuple(
    f"{kind}_TO_{subject}_en_COMP" for kind in ("OE", "TP") for subject in ("maths", "physics")
)


@each
def _olympic_arena(_part: Part, row: Fields) -> Question | None:
    if row["language"] != "EN" or row["modality"] != "text-only":
        return None
    text, solution, subject = row.pop("problem"), row.pop("solution"), row["subject"]
    return question(
        text, row, solution=solution, answer=_joined(row.get("answer")) or boxed(solution),
        cot_type=KINDS.get(subject, "science"), source_type=f"GAIR/OlympicArena/{subject}",
    )  # fmt: skip


OLYMPIC_ARENA = Source(
    name="olympic_arena",
    hub_id="GAIR/OlympicArena",
    parts=tuple(Part(config=name, split=split) for split in ("test", "val") for name in SUBJECTS),
    columns=("problem", "solution", "language", "modality", "subject"),
    convert=_olympic_arena,
    homepage="https://gair-nlp.github.io/OlympicArena/",
)


@each
def _olympiadbench(_part: Part, row: Fields) -> Question:
    """Leave `context` where it is, among the metadata: the released questions lack it too."""
    text, solution = row.pop("question"), first(row.pop("solution"))
    return question(
        text, row, solution=solution, answer=_joined(row.get("final_answer")) or boxed(solution),
        cot_type="math",
        source_type=f"Hothan/OlympiadBench/{row['question_type']}/{row['subject']}",
    )  # fmt: skip


OLYMPIADBENCH = Source(
    name="olympiadbench",
    hub_id="Hothan/OlympiadBench",
    parts=tuple(Part(config=name) for name in CONFIGS),
    columns=("question", "solution", "question_type", "subject"),
    convert=_olympiadbench,
    license="Apache-2.0",
)


def _joined(answer: object) -> str | None:
    """Write several final answers as one list, in their order."""
    if isinstance(answer, list | tuple):
        return ", ".join(str(part) for part in answer if part is not None) or None
    return None if answer is None else str(answer)
