"""The traces stage: whoever the teacher is, one `traces/` artifact comes out.

Owns the two teachers that need no endpoint: the generated bank and the human solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from s1_core import artifacts, cli
from s1_core.artifacts import Artifact, Draft
from s1_core.records import Question, Trace
from s1_data.config import BuildConfig
from s1_data.sources import generated
from s1_data.stages.stage import Stage

if TYPE_CHECKING:
    from s1_data.endpoint.asking import Failure

HUMAN = "human"
NO_SOLUTION = "no solution"


def ensure(config: BuildConfig, questions: Artifact) -> Artifact:
    """Return the traces for `questions`: those named by --traces, else what the teacher writes."""
    if config.traces is not None:
        return artifacts.load(config.traces, kind="traces")
    out = Path(config.out) / "traces"
    if config.teacher.kind == "endpoint":
        from s1_data import teacher

        return teacher.ensure_traces(questions, config.teacher, out)

    def write(draft: Draft) -> str:
        from s1_data.endpoint.asking import Failure

        rows = questions.read("questions", Question)
        found = _written(config, rows)
        draft.write("traces", found, Trace)
        failures = _unwritten(rows, found)
        draft.write("failures", failures, Failure)
        return f"{len(found)} traces" + (f", {len(failures)} failed" if failures else "")

    return _stage(config, questions, out).ensure(write)


def current(config: BuildConfig, questions: Artifact) -> Artifact | None:
    """Return the traces that `ensure` would return without writing any."""
    out = Path(config.out) / "traces"
    if config.teacher.kind == "endpoint":
        from s1_data import teacher

        return teacher.current_traces(questions, config.teacher, out)
    stage = _stage(config, questions, out)
    return artifacts.load(out) if stage.is_current() else None


def human(question: Question) -> Trace:
    """Return the human solution as the thinking and the reference answer as the attempt."""
    return Trace(
        question_id=question.id,
        thinking=(question.solution or "").strip(),
        attempt=(question.answer or "").strip(),
        model=HUMAN,
    )


def _stage(config: BuildConfig, questions: Artifact, out: Path) -> Stage:
    shape: dict[str, object] = {"teacher": config.teacher.kind}
    parents = {"questions": questions.sha256}
    if config.teacher.kind == "bank":
        shape["seed"] = config.seed
        parents |= generated.parents()
    return Stage(out=out, kind="traces", config=shape, parents=parents)


def _written(config: BuildConfig, rows: Sequence[Question]) -> list[Trace]:
    if config.teacher.kind == "reference":
        return [human(question) for question in rows if question.solution]
    from s1_data import bank

    walked = cli.progress(rows, "traces", total=len(rows))
    return [bank.trace(question, config.seed) for question in walked]


def _unwritten(rows: Sequence[Question], found: Sequence[Trace]) -> list[Failure]:
    from s1_data.endpoint.asking import Failure

    written = {trace.question_id for trace in found}
    return [Failure(row.id, NO_SOLUTION) for row in rows if row.id not in written]
