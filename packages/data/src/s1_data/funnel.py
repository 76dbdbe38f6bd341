"""What left the pool, where and why: filters name a rule per row, the funnel applies and counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from s1_core.artifacts import Artifact, Draft
from s1_core.records import Question, Trace

Row = tuple[Question, Trace]
RowT = TypeVar("RowT", Question, Row)
Rules = Sequence[str | None]  # one entry a row: the rule that sends it away, None to keep it

FILE = "funnel.json"
# The flags to turn when a stage leaves too few rows.
KNOBS = {
    "collect": "--sources.num_questions, --sources.skip or --path",
    "decontaminate": "--decontamination.benchmarks or --decontamination.across_sources",
    "take": "--sources.skip, or more sources (some are taken in part)",
    "deduplicate": "--sources.num_questions, --sources.skip or --path",
    "trace": "--teacher.kind or --traces (rows that have a trace)",
    "quality": "--sources.num_questions, --sources.skip or --path",
    "difficulty": "--difficulty.by or --difficulty.drop_fraction",
    "domains": "--judge.model (questions that it gives no class)",
    "near-duplicates": "--diversity.near_duplicate",
    "select": "--selection.num_rows",
}


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One row that left, and the rule that sent it away."""

    question_id: str
    source_type: str
    stage: str
    rule: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One stage: how many rows came, how many stayed, and how many each rule sent away."""

    stage: str
    before: int
    after: int
    rules: dict[str, int]


class Funnel:
    """The steps so far, in order, and every rejection with its rule."""

    def __init__(
        self, steps: Iterable[Mapping[str, Any]] = (), rejections: Iterable[Rejection] = ()
    ) -> None:
        self.steps = [Step(**step) for step in steps]
        self.rejections = list(rejections)

    def apply(self, stage: str, rows: Sequence[RowT], rules: Rules) -> list[RowT]:
        """Return the rows that no rule sends away; count and remember the others."""
        pairs = list(zip(rows, rules, strict=True))
        left = [_rejection(row, stage, rule) for row, rule in pairs if rule is not None]
        kept = [row for row, rule in pairs if rule is None]
        counts = dict(sorted(Counter(rejection.rule for rejection in left).items()))
        self.steps.append(Step(stage=stage, before=len(rows), after=len(kept), rules=counts))
        self.rejections += left
        return kept

    @classmethod
    def load(cls, artifact: Artifact) -> Funnel:
        """Read what `write` wrote."""
        steps = json.loads((artifact.path / FILE).read_text())
        return cls(steps, artifact.read("rejections", Rejection))

    def write(self, draft: Draft) -> None:
        """Write the steps as JSON and every row that left as Parquet."""
        draft.write("rejections", self.rejections, Rejection)
        steps = [asdict(step) for step in self.steps]
        draft.write_text(FILE, json.dumps(steps, indent=1, ensure_ascii=False) + "\n")

    def __str__(self) -> str:
        parts = [f"{step.stage} {step.after}" for step in self.steps]
        return f"{self.steps[0].before} collected > " + " > ".join(parts)

    def knob(self) -> str:
        """Name the flags behind the stage that cost most rows."""
        worst = max(self.steps, key=lambda step: step.before - step.after)
        return KNOBS[worst.stage if worst.after < worst.before else "collect"]


def _rejection(row: Question | Row, stage: str, rule: str) -> Rejection:
    question = row if isinstance(row, Question) else row[0]
    return Rejection(
        question_id=question.id, source_type=question.source_type, stage=stage, rule=rule
    )
