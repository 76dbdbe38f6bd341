"""The s1k stage: filter the traced questions, then select (assemble.py), into OUT/s1k."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from s1_core import artifacts
from s1_core.artifacts import Artifact, Draft
from s1_core.errors import UserError, require
from s1_core.records import Attempt, Question, Trace
from s1_data import classes
from s1_data.config import BuildConfig
from s1_data.embedding import vectors
from s1_data.filters import difficulty, grades, quality
from s1_data.funnel import Funnel, Row, Rules
from s1_data.sources import files
from s1_data.stages import assemble
from s1_data.stages.stage import Stage


def ensure(config: BuildConfig, asked: Artifact, traced: Artifact) -> Artifact:
    """Write exactly `selection.num_rows` examples and the card."""
    attempts = load_attempts(config)

    def write(draft: Draft) -> str:
        funnel, needs = Funnel.load(asked), config.selection.needs
        rows = _traced(asked, traced, funnel)
        if needs.quality:
            rows = funnel.apply("quality", rows, quality.flaws(rows))
        num_tokens = difficulty.thinking_tokens(rows, config.difficulty.tokenizer)
        if needs.difficulty:
            rows = funnel.apply("difficulty", rows, _easy(config, rows, num_tokens, attempts))
        pool = assemble.Pool(
            rows=rows, num_tokens=num_tokens, asked=asked, funnel=funnel, models=_models(attempts)
        )
        return assemble.write(draft, config, pool)

    return stage(config, asked, traced, attempts).ensure(write)


def check(config: BuildConfig) -> None:
    """Refuse what the stage will need and not find, before anything is paid for."""
    load_attempts(config)
    difficulty.tokenizer_file(config.difficulty.tokenizer)
    if config.domains_rule != "kmeans":
        found = classes.read(classes.file_of(config))
        if config.domains_rule == "llm":
            classes.check_codes(found)


def stage(
    config: BuildConfig, asked: Artifact, traced: Artifact, attempts: list[Artifact]
) -> Stage:
    """Identify OUT/s1k by its parents and by the options that shape it."""
    parents = {"questions": asked.sha256, "traces": traced.sha256}
    hashes = sorted(found.sha256 for found in attempts)
    parents |= {f"attempts/{n}": sha256 for n, sha256 in enumerate(hashes)}
    rule = dataclasses.replace(config.difficulty, by=config.difficulty_rule)
    tokenizer = difficulty.tokenizer_file(rule.tokenizer)
    if tokenizer is not None:  # known by its hash, wherever it lies
        parents["tokenizer"] = files.sha256(tokenizer)
        rule = dataclasses.replace(rule, tokenizer=tokenizer.name)
    if config.domains_rule != "kmeans":
        parents["classes"] = files.sha256(classes.file_of(config))
    parents |= vectors.parents(config.diversity)
    shape: dict[str, Any] = {
        "seed": config.seed,
        "sources": config.sources.kind,
        "teacher": config.teacher.kind,
        "difficulty": rule,
        "diversity": _diversity(config),
        "selection": config.selection,
    }
    if config.judges_answers or config.domains_rule == "llm":
        shape["judge"] = config.judge
        shape["judge_tries"] = config.judge.max_retries  # too few leave rows without a verdict
    return Stage(out=Path(config.out) / "s1k", kind="s1k", config=shape, parents=parents)


def _diversity(config: BuildConfig) -> dict[str, Any]:
    """Keep the options that are read: those of another embedder change nothing."""
    options = config.diversity
    shape: dict[str, Any] = {**vectors.shape(options), "domains": config.domains_rule}
    if config.domains_rule == "kmeans":
        shape["num_domains"] = options.num_domains
    if config.selection.by == "embedding":
        shape["near_duplicate"] = options.near_duplicate
    return shape


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
    found = [artifacts.load(path, kind="attempts") for path in config.attempts]
    twice = len({artifact.sha256 for artifact in found}) < len(found)
    require(not twice, f"--attempts {','.join(config.attempts)} names one artifact twice")
    return found


def _models(attempts: list[Artifact]) -> list[str]:
    return sorted({row.model for found in attempts for row in found.read("attempts", Attempt)})


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
        questions = [question for question, _ in rows]
        made = _made(attempts, {question.id for question in questions})
        graded = grades.grade(made, questions, config)
        return difficulty.solved(rows, graded, {attempt.model for attempt in made})
    if rule == "solution_length":
        return difficulty.shortest(rows, num_tokens, fraction)
    if rule == "metadata":
        return difficulty.easiest(rows, config.difficulty.field, fraction)
    return [None] * len(rows)


def _made(attempts: list[Artifact], asked: set[str]) -> list[Attempt]:
    """Read the attempts; an artifact that has none at the questions here was made for others."""
    made: list[Attempt] = []
    for found in attempts:
        rows = found.read("attempts", Attempt)
        if not any(row.question_id in asked for row in rows):
            raise UserError(
                f"{found.path} holds {len(rows)} attempts, none at a question of this build; make"
                " them from its questions/"
            )
        made += rows
    return made
