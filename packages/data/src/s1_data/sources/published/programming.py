"""Programming contests: USACO and LiveCodeBench, neither with a reference solution (spec 1.1).

Their hidden tests stay behind: hundreds of megabytes that no stage here reads.
"""

from __future__ import annotations

from collections.abc import Iterable

from s1_core.records import Question
from s1_data.sources.source import Fields, Part, RawRow, Source, each, question

TESTS = ("input_output", "private_test_cases", "test_cases")
LIVECODEBENCH_ID = "livecodebench/code_generation_lite"


@each
def _usaco(_part: Part, row: Fields) -> Question:
    text = str(row.pop("question") or "").strip()
    return question(
        text, _without_tests(row), cot_type="coding",
        source_type="codegenning/usacobench_formatted",
    )  # fmt: skip


USACO = Source(
    name="usaco",
    hub_id="codegenning/usacobench_formatted",
    parts=(Part(split="test"),),
    columns=("question",),
    convert=_usaco,
)


def release_parts(last: int) -> tuple[Part, ...]:
    """Name what each release up to `last` adds: release n is the files of the parts up to n."""
    return tuple(
        Part(
            config=f"release_v{number}",
            split="test",
            data_files=("test.jsonl" if number == 1 else f"test{number}.jsonl",),
        )
        for number in range(1, last + 1)
    )


def _livecodebench(rows: Iterable[RawRow]) -> list[Question]:
    """Ask the hard problems of each release in turn; a release repeats those before it."""
    hard: dict[str, list[Fields]] = {}
    for part, fields in rows:
        added = hard.setdefault(part.config or "", [])
        if fields["difficulty"] == "hard":
            added.append(_without_tests(fields))
    found: list[Question] = []
    so_far: list[Fields] = []
    for release in sorted(hard):
        so_far += hard[release]
        found += [coding_question(fields, f"LiveCodeBench/{release}") for fields in so_far]
    return found


def coding_question(fields: Fields, source_type: str) -> Question:
    """Map a row of LiveCodeBench to a question without a solution."""
    rest = _without_tests(fields)
    text = str(rest.pop("question_content") or "").strip()
    return question(text, rest, cot_type="coding", source_type=source_type)


def _without_tests(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name not in TESTS}


LIVECODEBENCH = Source(
    name="livecodebench",
    hub_id=LIVECODEBENCH_ID,
    parts=release_parts(3),
    columns=("question_content", "difficulty"),
    convert=_livecodebench,
    license="CC (version not stated)",
    homepage="https://livecodebench.github.io",
)
