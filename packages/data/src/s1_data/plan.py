"""`--dry-run`: what a build would still do, and how many calls at what cost. Asks nobody.

Counts are exact where the stage before is written; where it is not, the plan says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from s1_core import artifacts, cli
from s1_core.artifacts import Artifact
from s1_core.errors import UserError
from s1_core.records import Attempt, Question
from s1_data import classes
from s1_data.config import BuildConfig
from s1_data.filters import grades
from s1_data.stages import questions, s1k, traces


def show(config: BuildConfig) -> None:
    """Print the plan, a line a stage."""
    for line in lines(config):
        cli.say(line)


def lines(config: BuildConfig) -> Iterator[str]:
    """Yield a line a stage: its folder, whether it is current, and the calls it wants."""
    if config.documents:
        yield f"documents: {config.documents:,} to be written: {Path(config.out) / 's1k'}"
        return
    stage = questions.stage(config)
    asked = artifacts.load(stage.out) if stage.is_current() else None
    yield f"questions: {_state(asked)}: {stage.out}"
    if config.until == "questions":
        return
    traced, line = _traces(config, asked)
    yield line
    if config.until == "s1k":
        yield from _s1k(config, asked, traced)


def _s1k(config: BuildConfig, asked: Artifact | None, traced: Artifact | None) -> Iterator[str]:
    out = Path(config.out) / "s1k"
    try:
        s1k.check(config)
    except UserError as error:
        yield f"s1k: cannot be written yet, {error}"
        return
    yield from _judge(config, asked)
    is_current = False
    if asked is not None and traced is not None:
        stage = s1k.stage(config, asked, traced, s1k.load_attempts(config))
        is_current = stage.is_current()
    yield f"s1k: {'up to date' if is_current else 'to be written'}: {out}"
    if config.push is not None:
        yield f"push: to {config.push}"


def _state(found: Artifact | None) -> str:
    if found is None:
        return "to be written"
    return f"up to date, {found.num_rows('questions'):,} rows"


def _traces(config: BuildConfig, asked: Artifact | None) -> tuple[Artifact | None, str]:
    if config.traces is not None:
        found = artifacts.load(config.traces, kind="traces")
        return found, f"traces: given, {found.num_rows('traces'):,} rows: {config.traces}"
    out = Path(config.out) / "traces"
    if asked is None:
        calls = ": a call a question, counted once the questions are written (--until questions)"
        return None, f"traces: to be written{calls if _is_asked(config) else ''}: {out}"
    current = traces.current(config, asked)
    if current is not None:
        return current, f"traces: up to date, {current.num_rows('traces'):,} rows: {out}"
    if not _is_asked(config):
        return None, f"traces: to be written by the teacher {config.teacher.kind}: {out}"
    from s1_data import teacher

    left = teacher.plan_traces(asked, config.teacher, out)
    return None, f"traces: to be written by {config.teacher.model or 'a model'}, {left}: {out}"


def _is_asked(config: BuildConfig) -> bool:
    return config.teacher.kind == "endpoint"


def _judge(config: BuildConfig, asked: Artifact | None) -> Iterator[str]:
    """Give the most calls that a judge may get: the filters before it are not run for a plan."""
    if not (config.judges_answers or config.domains_rule == "llm"):
        return
    if asked is None:
        yield "judge: calls are counted once the questions are written (--until questions)"
        return
    from s1_data.endpoint import judge

    rows, folder = asked.read("questions", Question), judge.calls(config.out)
    if config.judges_answers:
        known = {question.id for question in rows}
        made = [a for found in s1k.load_attempts(config) for a in found.read("attempts", Attempt)]
        cases = grades.cases([a for a in made if a.question_id in known], rows)
        yield f"judge: at most {judge.plan_grades(cases, config.judge, folder)} (verdicts)"
    if config.domains_rule == "llm":
        given = classes.read(classes.file_of(config))
        yield f"judge: at most {judge.plan_classes(rows, given, config.judge, folder)} (domains)"
