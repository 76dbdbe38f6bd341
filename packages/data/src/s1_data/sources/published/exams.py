"""Examinations: TheoremQA, JEEBench, AGIEval and the s1-prob qualifying exam (spec 1.1)."""

from __future__ import annotations

from s1_core.records import Question
from s1_data.sources.source import Fields, Part, Source, boxed, each, question

PASSAGES = {
    "sat_en": "english", "sat_math": "math", "lsat_ar": "english", "lsat_lr": "english",
    "lsat_rc": "english", "logiqa": "math",
}  # fmt: skip
HARDEST = "5"


@each
def _theoremqa(_part: Part, row: Fields) -> Question | None:
    if row["Picture"] is not None:
        return None
    text, answer = row.pop("Question"), row.pop("Answer")
    return question(
        text, row, solution=answer, answer=answer,
        cot_type="math", source_type=f"TIGER-Lab/TheoremQA/{row['Answer_type']}",
    )  # fmt: skip


THEOREMQA = Source(
    name="theoremqa",
    hub_id="TIGER-Lab/TheoremQA",
    parts=(Part(split="test"),),
    columns=("Question", "Answer", "Answer_type", "Picture"),
    convert=_theoremqa,
    license="MIT",
)


@each
def _jeebench(_part: Part, row: Fields) -> Question:
    text, gold = row.pop("question"), row.pop("gold")
    return question(
        text, row, solution=gold, answer=gold,
        cot_type="science" if row["subject"] == "chem" else "math",
        source_type=f"daman1209arora/jeebench/{row['subject']}",
    )  # fmt: skip


JEEBENCH = Source(
    name="jeebench",
    hub_id="daman1209arora/jeebench",
    parts=(Part(split="test"),),
    columns=("question", "gold", "subject"),
    convert=_jeebench,
    license="MIT",
    homepage="https://github.com/dair-iitd/jeebench",
)


@each
def _agieval(part: Part, row: Fields) -> Question | None:
    name = part.config or ""
    if name == "math_agieval" and str(row["level"]) != HARDEST:
        return None
    text = row.pop("question") or ""
    if name in PASSAGES:
        # No blank line between passage and question: the released questions are glued like this.
        text = (
            (row.pop("passage") or "").strip() + text + "\n" + "\n".join(row.pop("options") or ())
        )
    solution = row.pop("solution")
    return question(
        text, row, solution=solution,
        answer=row.get("label") or row.get("answer") or boxed(solution),
        cot_type=PASSAGES.get(name, "math"), source_type=f"baber/agieval/{name}",
    )  # fmt: skip


def _agieval_parts(config: str, *columns: str) -> tuple[Part, ...]:
    return tuple(
        Part(config=config, split=split, columns=("question", "solution", *columns))
        for split in ("test", "few_shot")
    )


AGIEVAL = Source(
    name="agieval",
    hub_id="baber/agieval",
    parts=(
        *(part for name in PASSAGES for part in _agieval_parts(name, "passage", "options")),
        *_agieval_parts("aqua_rat"),
        *_agieval_parts("math_agieval", "level"),
    ),
    columns=("question", "solution"),
    convert=_agieval,
    license="MIT",
    homepage="https://github.com/ruixiangcui/AGIEval",
    needs_every_part=True,
)


@each
def _s1_prob(_part: Part, row: Fields) -> Question:
    text, solution = row.pop("question"), row.pop("solution")
    return question(
        text, row, solution=solution, answer=row.get("answer") or boxed(solution),
        cot_type="math", source_type="simplescaling/s1-prob",
    )  # fmt: skip


S1_PROB = Source(
    name="s1_prob",
    hub_id="simplescaling/s1-prob",
    parts=(Part(),),
    columns=("question", "solution"),
    convert=_s1_prob,
)
