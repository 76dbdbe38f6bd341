"""The questions stage: collect every source, drop what is unusable, contaminated or repeated.

What is left is what a teacher and the models under test are asked. Beside the rows stand the
report of the decontamination, and which source each row came from under which licence.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from s1_core import cli
from s1_core.artifacts import Artifact, Draft
from s1_core.records import Question
from s1_data import benchmarks
from s1_data.config import BenchmarkConfig, BuildConfig
from s1_data.filters import decontaminate, quality
from s1_data.funnel import Funnel, Rules
from s1_data.selection.candidates import kind
from s1_data.sources import pool
from s1_data.sources.pool import SourcePart
from s1_data.stages.stage import Stage

ItemT = TypeVar("ItemT")
SOURCES, CONTAMINATION = "sources.json", "decontamination.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """Which source brought a question."""

    question_id: str
    source: str


def stage(config: BuildConfig) -> Stage:
    """Identify OUT/questions without reading a question."""
    parents: dict[str, str] = {}
    for part in pool.parts(config):
        parents |= part.identity
    for name in config.decontamination.benchmarks:
        parents |= benchmarks.parents(_benchmark(config, name))
    shape = {
        "seed": config.seed,
        "max_question_chars": config.max_question_chars,
        "sources": {"kind": config.sources.kind, "skip": list(pool.skipped(config))},
        "decontamination": config.decontamination,
    }
    if config.sources.kind == "bank":
        shape["num_questions"] = config.sources.num_questions
    out = Path(config.out) / "questions"
    return Stage(out=out, kind="questions", config=shape, parents=parents)


def ensure(config: BuildConfig) -> Artifact:
    """Return OUT/questions, collecting the sources if it is not current."""

    def write(draft: Draft) -> str:
        parts, funnel = pool.parts(config), Funnel()
        found = [_Screened(part, config) for part in parts]
        tests = _tests(config)
        screen = decontaminate.Screen(tests, config.decontamination)
        walked = cli.progress(found, "decontaminate", total=len(found))
        report = [line for each in walked for line in each.screen(screen)]
        funnel.apply("collect", _all(s.rows for s in found), _all(s.unusable for s in found))
        funnel.apply("decontaminate", _all(s.usable for s in found), _all(s.shared for s in found))
        funnel.apply("take", _all(s.clean for s in found), _all(s.left for s in found))
        pooled = _all(s.taken for s in found)
        rows = funnel.apply("deduplicate", pooled, quality.repeated(pooled))
        draft.write("questions", rows, Question)
        draft.write("origins", _origins(found, rows), Origin)
        _write_json(draft, SOURCES, _sources(found, config))
        _write_json(draft, CONTAMINATION, _withheld(report, found, tests))
        funnel.write(draft)
        return f"{len(rows)} questions"

    for part in pool.parts(config):
        part.collect()  # a source of the hub is known by its content only once it is here
    for name in config.decontamination.benchmarks:
        benchmarks.collect(_benchmark(config, name))
    return stage(config).ensure(write)


class _Screened:
    """One source on its way: its rows, why some left, and which of the others s1 takes."""

    def __init__(self, part: SourcePart, config: BuildConfig) -> None:
        self.part = part
        self.rows = part.mapped()
        self.unusable = quality.unusable(self.rows, config.max_question_chars)
        self.usable = _kept(self.rows, self.unusable)
        self.shared: Rules = []
        self.clean: Sequence[Question] = []
        self.taken: Sequence[Question] = []

    def screen(self, screen: decontaminate.Screen) -> list[decontaminate.Contamination]:
        """Decontaminate, then order and take, as s1 does; report what was shared."""
        self.shared, report = screen.rules(self.part.name, self.usable)
        self.clean = _kept(self.usable, self.shared)
        arranged = self.part.arrange(self.clean)
        if self._is_reworded(arranged):  # GPQA: choices are written under each question
            self.taken = arranged
            screen.take(self.clean)
        else:  # s1's pick of SciEval takes rows twice, which its last step undoes
            self.taken = _at_most(Counter(row.id for row in self.clean), arranged)
            screen.take(self.taken)
        return report

    @property
    def left(self) -> Rules:
        """Name the clean rows that s1 does not take: of some sources it takes a share."""
        if self._is_reworded(self.taken):
            return [None] * len(self.clean)
        room = Counter(row.id for row in self.taken)
        rules: list[str | None] = []
        for row in self.clean:
            rules.append(None if room[row.id] > 0 else "beyond the share taken")
            room[row.id] -= 1
        return rules

    def _is_reworded(self, arranged: Sequence[Question]) -> bool:
        is_disjoint = {row.id for row in arranged}.isdisjoint(row.id for row in self.clean)
        return bool(arranged) and is_disjoint and len(arranged) == len(self.clean)


def _at_most(room: Counter[str], rows: Sequence[Question]) -> list[Question]:
    kept: list[Question] = []
    for row in rows:
        room[row.id] -= 1
        if room[row.id] >= 0:
            kept.append(row)
    return kept


def _kept(rows: Sequence[Question], rules: Rules) -> list[Question]:
    return [row for row, rule in zip(rows, rules, strict=True) if rule is None]


def _all(parts: Iterable[Iterable[ItemT]]) -> list[ItemT]:
    return list(chain.from_iterable(parts))


def _tests(config: BuildConfig) -> dict[str, list[Question]]:
    return {
        name: [benchmarks.bare(row) for row in benchmarks.questions(_benchmark(config, name))]
        for name in config.decontamination.benchmarks
    }


def _origins(found: Sequence[_Screened], rows: Sequence[Question]) -> list[Origin]:
    source: dict[str, str] = {}
    for each in found:
        for row in each.taken:
            source.setdefault(row.id, each.part.name)
    return [Origin(question_id=row.id, source=source[row.id]) for row in rows]


def _sources(found: Sequence[_Screened], config: BuildConfig) -> dict[str, Any]:
    told = [
        {
            "name": each.part.name,
            "license": each.part.license,
            "is_published": each.part.is_published,
            "collected": len(each.rows),
            "taken": len(each.taken),
        }
        for each in found
    ]
    return {"sources": told, "skipped": list(pool.skipped(config))}


def is_secret(question: Question, source: str, sources: Mapping[str, bool]) -> bool:
    """Say whether a question must not stand in a public card, by its source or by its type.

    `sources` maps a name to whether its text may be published.
    """
    return not sources.get(source, True) or kind(question.source_type) == "GPQA"


def _withheld(
    report: Sequence[decontaminate.Contamination],
    found: Sequence[_Screened],
    tests: Mapping[str, Sequence[Question]],
) -> list[dict[str, Any]]:
    """Give the report as plain values; no words of a text that must not be published."""
    published = {each.part.name: each.part.is_published for each in found}
    secret = {
        row.id
        for each in found
        for row in (*each.rows, *each.taken)
        if is_secret(row, each.part.name, published)
    }
    secret |= {row.id for name in benchmarks.UNPUBLISHED for row in tests.get(name, ())}
    lines = [dataclasses.asdict(line) for line in report]
    for line in lines:
        for pair in line["examples"]:
            if {pair["question_id"], pair["with"]} & secret:
                pair["shingle"] = "(withheld)"
    return lines


def _benchmark(config: BuildConfig, name: str) -> BenchmarkConfig:
    out = str(Path(config.out) / "cache" / "benchmarks" / name)
    return BenchmarkConfig(name=name, path=config.path, seed=config.seed, out=out)  # type: ignore[arg-type]


def _write_json(draft: Draft, name: str, value: Any) -> None:
    draft.write_text(name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
