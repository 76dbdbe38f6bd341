"""The s1k stage: filter the traced questions, then select (assemble.py), into OUT/s1k."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from s1_core import artifacts
from s1_core.artifacts import Artifact, Draft
from s1_core.errors import UserError
from s1_core.records import Attempt, Question, Trace
from s1_data import classes
from s1_data.config import BuildConfig
from s1_data.embedding import vectors
from s1_data.filters import difficulty, grades, quality
from s1_data.funnel import Funnel, Row, Rules
from s1_data.selection import methods
from s1_data.sources import files
from s1_data.stages import assemble
from s1_data.stages.stage import Stage


def ensure(config: BuildConfig, asked: Artifact, traced: Artifact) -> Artifact:
    """Write exactly `selection.num_rows` examples and the card."""
    attempts = load_attempts(config)

    def write(draft: Draft) -> str:
        funnel = Funnel.load(asked)
        rows = _traced(asked, traced, funnel)
        method = methods.METHODS[config.selection.by]
        if method.uses_quality:
            rows = funnel.apply("quality", rows, quality.flaws(rows))
        num_tokens = difficulty.thinking_tokens(rows, config.difficulty.tokenizer)
        if method.uses_difficulty:
            rows = funnel.apply("difficulty", rows, _easy(config, rows, num_tokens, attempts))
        pool = assemble.Pool(rows=rows, num_tokens=num_tokens, asked=asked, funnel=funnel)
        return assemble.write(draft, config, pool)

    return stage(config, asked, traced, attempts).ensure(write)


def stage(
    config: BuildConfig, asked: Artifact, traced: Artifact, attempts: list[Artifact]
) -> Stage:
    """Identify OUT/s1k by its parents and by the options that shape it."""
    parents = {"questions": asked.sha256, "traces": traced.sha256}
    parents |= {f"attempts/{n}": found.sha256 for n, found in enumerate(attempts)}
    rule = dataclasses.replace(config.difficulty, by=config.difficulty_rule)
    tokenizer = difficulty.tokenizer_file(rule.tokenizer)
    if tokenizer is not None:  # known by its hash, wherever it lies
        parents["tokenizer"] = files.sha256(tokenizer)
        rule = dataclasses.replace(rule, tokenizer=tokenizer.name)
    diversity = config.diversity
    if diversity.domains != "kmeans":
        parents["classes"] = files.sha256(classes.file_of(config))
        diversity = dataclasses.replace(diversity, classes=None)
    encoder = vectors.parents(diversity)
    if encoder:  # a folder, known by its hash too
        diversity = dataclasses.replace(diversity, embedder=Path(diversity.embedder).name)
    parents |= encoder
    shape: dict[str, Any] = {
        "seed": config.seed,
        "sources": config.sources.kind,
        "teacher": config.teacher.kind,
        "difficulty": rule,
        "diversity": diversity,
        "selection": config.selection,
    }
    if config.asks_judge:
        shape["judge"] = config.judge
    return Stage(out=Path(config.out) / "s1k", kind="s1k", config=shape, parents=parents)


def load_attempts(config: BuildConfig) -> list[Artifact]:
    """Open the attempts that the difficulty rule reads; none where the rule reads none."""
    if config.difficulty_rule != "attempts":
        return []
    if not config.attempts:
        raise UserError(
            "difficulty.by attempts wants --attempts DIR[,DIR]; make them with `just attempts"
            f" --questions {config.out}/questions --out DIR` or `just traces --task attempts`, or"
            " use --difficulty.by metadata, solution_length or none"
        )
    return [artifacts.load(path, kind="attempts") for path in config.attempts]


def _traced(asked: Artifact, traced: Artifact, funnel: Funnel) -> list[Row]:
    """Join the questions with their traces; a question without one leaves with the reason."""
    from s1_data.endpoint.asking import Failure

    rows = asked.read("questions", Question)
    found = {trace.question_id: trace for trace in traced.read("traces", Trace)}
    reasons = {failure.question_id: failure.reason for failure in traced.read("failures", Failure)}
    rules = [None if row.id in found else reasons.get(row.id, "not in the traces") for row in rows]
    return [(row, found[row.id]) for row in funnel.apply("trace", rows, rules)]


def _easy(
    config: BuildConfig, rows: list[Row], num_tokens: dict[str, int], attempts: list[Artifact]
) -> Rules:
    rule, fraction = config.difficulty_rule, config.difficulty.drop_fraction
    if rule == "attempts":
        made = [attempt for found in attempts for attempt in found.read("attempts", Attempt)]
        return difficulty.solved(
            rows, grades.grade(made, [question for question, _ in rows], config)
        )
    if rule == "solution_length":
        return difficulty.shortest(rows, num_tokens, fraction)
    if rule == "metadata":
        return difficulty.easiest(rows, config.difficulty.field, fraction)
    return [None] * len(rows)
