"""Raw questions to s1K. The stages in order: the page to read first.

    collect > trace > decontaminate                           -> OUT/questions
            > quality > difficulty > near-duplicates > select -> OUT/s1k, with its card

A filter names a rule for each row it sends away; the funnel applies the rules and counts them.
Everything is a function of the source, the options and the seed, so a killed run is run again.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from s1_core import artifacts, cli
from s1_core.artifacts import Artifact, Draft
from s1_core.errors import UserError
from s1_core.records import Attempt, Example, Question
from s1_data import (
    assemble,
    benchmarks,
    card,
    decontaminate,
    difficulty,
    documents,
    quality,
    reference,
)
from s1_data.config import BenchmarkConfig, BuildConfig
from s1_data.funnel import Funnel, Rejection, Row, Rules
from s1_data.sources import local, pool
from s1_data.stage import Stage

FUNNEL, FACTS = "funnel.json", "facts.json"
_NOTE = (
    "The bank's teacher answers {} after a mere look, nearly always rightly, and works the rest "
    "out. A student that copies the look without the skill underthinks there; what an extend "
    "gains on these families is underthinking cured, by construction of the traces."
)


def main(config: BuildConfig) -> None:
    """Write the artifacts up to `until`, leaving alone what is current."""
    if config.documents:
        documents.build(config)
        return
    questions = build_questions(config)
    if config.until == "s1k":
        build_s1k(config, questions)


def build_questions(config: BuildConfig) -> Artifact:
    """Write the questions that a teacher and a model under test are asked."""
    tests = [_benchmark(config, name) for name in config.decontamination.benchmarks]

    def write(draft: Draft) -> str:
        funnel, rows = Funnel(), pool.read(config)
        rows = funnel.apply("collect", rows, quality.unusable(rows))
        if config.source.teacher == "reference":
            rows = funnel.apply("trace", rows, reference.missing(rows))
        rows = funnel.apply("decontaminate", rows, _contaminated(config, rows, tests))
        draft.write("questions", rows, Question)
        _write_funnel(draft, funnel)
        return f"{len(rows)} questions"

    parents = pool.parents(config)
    for test in tests:
        parents |= benchmarks.parents(test)
    shape = {
        "seed": config.seed,
        "source": config.source,
        "decontamination": config.decontamination,
    }
    out = Path(config.out) / "questions"
    return Stage(out=out, kind="questions", config=shape, parents=parents).ensure(write)


def build_s1k(config: BuildConfig, questions: Artifact) -> Artifact:
    """Write exactly `selection.num_rows` examples and the card."""
    attempts = _attempts(config)

    def write(draft: Draft) -> str:
        funnel = Funnel(
            json.loads((questions.path / FUNNEL).read_text()),
            questions.read("rejections", Rejection),
        )
        rows = _traced(config, questions.read("questions", Question))
        rows = funnel.apply("quality", rows, quality.flaws(rows))
        num_tokens = difficulty.thinking_tokens(rows, config.difficulty.tokenizer)
        rows = funnel.apply("difficulty", rows, _easy(config, rows, num_tokens, attempts))
        examples = assemble.examples(config, rows, num_tokens, funnel)
        draft.write("examples", examples, Example)
        draft.write_text(FACTS, json.dumps(_facts(config, rows, examples), indent=1) + "\n")
        _write_funnel(draft, funnel)
        card.write(draft, config, funnel, examples)
        return f"{len(examples)} examples"

    return _s1k_stage(config, questions, attempts).ensure(write)


def _s1k_stage(config: BuildConfig, questions: Artifact, attempts: Artifact | None) -> Stage:
    parents = {"questions": questions.sha256}
    if attempts is not None:
        parents["attempts"] = attempts.sha256
    rule = config.difficulty
    tokenizer = difficulty.tokenizer_file(rule.tokenizer)
    if tokenizer is not None:  # known by its hash, wherever it lies
        parents["tokenizer"] = local.sha256(tokenizer)
        rule = dataclasses.replace(rule, tokenizer=tokenizer.name)
    shape = {
        "seed": config.seed,
        "teacher": config.source.teacher,
        "difficulty": rule,
        "diversity": config.diversity,
        "selection": config.selection,
    }
    return Stage(out=Path(config.out) / "s1k", kind="s1k", config=shape, parents=parents)


def _benchmark(config: BuildConfig, name: str) -> BenchmarkConfig:
    return BenchmarkConfig(name=name, path=config.path, seed=config.seed)  # type: ignore[arg-type]


def _contaminated(config: BuildConfig, rows: list[Question], tests: list[BenchmarkConfig]) -> Rules:
    against: dict[str, list[Question]] = {test.name: benchmarks.questions(test) for test in tests}
    if config.decontamination.rule == "exact":
        return decontaminate.sharing_text(rows, against)
    return decontaminate.sharing_shingles(rows, against, config.decontamination.shingle_words)


def _attempts(config: BuildConfig) -> Artifact | None:
    if config.difficulty.by != "attempts":
        return None
    if config.attempts is None:
        raise UserError(
            "difficulty.by attempts wants --attempts DIR; make it with `python -m s1_serve.attempts"
            f" --questions {config.out}/questions --out {config.out}/attempts`, or use"
            " --difficulty.by none"
        )
    return artifacts.load(config.attempts, kind="attempts")


def _traced(config: BuildConfig, questions: list[Question]) -> list[Row]:
    if config.source.teacher == "reference":
        return [(question, reference.trace(question)) for question in questions]
    from s1_data import bank

    walked = cli.progress(questions, "traces", total=len(questions))
    return [(question, bank.trace(question, config.seed)) for question in walked]


def _facts(config: BuildConfig, rows: list[Row], examples: list[Example]) -> dict[str, Any]:
    """State what a report on a model trained here must repeat: planted slips and short traces."""
    if config.source.teacher != "bank":
        return {}
    from s1_data import bank

    chosen = {example.question_id for example in examples}
    questions = [question for question, _ in rows if question.id in chosen]
    short = ", ".join(f.name for f in bank.families() if f.needs_only_a_look)
    return {"slip_rate": bank.slip_rate(questions, config.seed), "note": _NOTE.format(short)}


def _easy(
    config: BuildConfig, rows: list[Row], num_tokens: dict[str, int], attempts: Artifact | None
) -> Rules:
    if attempts is not None:
        return difficulty.solved(rows, attempts.read("attempts", Attempt), config.workers)
    if config.difficulty.by == "solution_length":
        return difficulty.shortest(rows, num_tokens, config.difficulty.drop_fraction)
    return [None] * len(rows)


def _write_funnel(draft: Draft, funnel: Funnel) -> None:
    draft.write("rejections", funnel.rejections, Rejection)
    draft.write_text(FUNNEL, json.dumps(funnel.to_json(), indent=1) + "\n")


if __name__ == "__main__":
    cli.run(BuildConfig, main, package="data")
