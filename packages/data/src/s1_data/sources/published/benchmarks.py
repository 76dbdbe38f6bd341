"""The benchmarks that models are judged by, in the hub's columns (spec 1.1, 6).

Rows keep the order of the dataset: question n here is question n there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from s1_core.records import Question
from s1_data.sources.published import gpqa
from s1_data.sources.published.programming import LIVECODEBENCH_ID, coding_question, release_parts
from s1_data.sources.source import (
    NOT_STATED,
    Convert,
    Fields,
    Part,
    RawRow,
    Source,
    boxed,
    each,
    question,
)


def _as_they_are(rows: Sequence[Question]) -> list[Question]:
    return list(rows)


def _mathematics(name: str) -> Convert:
    @each
    def convert(_part: Part, row: Fields) -> Question:
        text = row.pop("problem") if "problem" in row else row.pop("question")
        solution, answer = row.pop("solution", None), row.pop("answer", None)
        return question(
            text, row, solution=solution, answer=boxed(solution) if answer is None else answer,
            cot_type="math", source_type=name,
        )  # fmt: skip

    return convert


def _mathematics_source(name: str, hub_id: str, split: str, license: str = NOT_STATED) -> Source:
    return Source(
        name=name,
        hub_id=hub_id,
        parts=(Part(split=split),),
        columns=("problem|question", "answer"),
        convert=_mathematics(name),
        arrange=_as_they_are,
        license=license,
    )


@each
def _gsm8k(_part: Part, row: Fields) -> Question:
    """Split the answer off behind its mark; a row without the mark holds the answer alone."""
    text, given = row.pop("question"), str(row.pop("answer"))
    worked, _, answer = given.rpartition("####")
    solution = given if worked else row.pop("solution", None)
    return question(
        text, row, solution=solution, answer=answer.strip(), cot_type="math", source_type="gsm8k"
    )


GSM8K = Source(
    name="gsm8k",
    hub_id="openai/gsm8k",
    parts=(Part(config="main", split="test"),),
    columns=("question", "answer"),
    convert=_gsm8k,
    arrange=_as_they_are,
    license="MIT",
)


@each
def _livecodebench(_part: Part, row: Fields) -> Question:
    return coding_question(row, "livecodebench_v4")


LIVECODEBENCH_V4 = Source(
    name="livecodebench_v4",
    hub_id=LIVECODEBENCH_ID,
    parts=release_parts(4),
    columns=("question_content",),
    convert=_livecodebench,
    arrange=_as_they_are,
    license="CC (version not stated)",
)


def _diamond(rows: Iterable[RawRow]) -> list[Question]:
    return [gpqa.as_question(fields) for _, fields in rows]


def _gpqa_diamond(seed: int) -> Source:
    return Source(
        name="gpqa_diamond",
        hub_id=gpqa.HUB_ID,
        parts=(Part(config="gpqa_diamond"),),
        columns=gpqa.COLUMNS,
        convert=_diamond,
        arrange=functools.partial(gpqa.asked, seed=seed),
        license=gpqa.GPQA.license,
        variant=f"choices seeded {seed}",
        is_published=False,
        is_gated=True,
    )


def sources(seed: int) -> dict[str, Source]:
    """Return the benchmarks of the hub by name; `seed` orders the choices of GPQA."""
    found = (
        _mathematics_source("aime24", "simplescaling/aime24_nofigures", "train"),
        _mathematics_source("aime25", "TIGER-Lab/AIME25", "train"),
        _mathematics_source("math500", "simplescaling/openaimath", "test"),
        _gpqa_diamond(seed),
        GSM8K,
        _mathematics_source("aimo_validation", "AI-MO/aimo-validation-aime", "train", "Apache-2.0"),
        LIVECODEBENCH_V4,
    )
    return {source.name: source for source in found}
