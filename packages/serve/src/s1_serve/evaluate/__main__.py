"""`just evaluate`: run every setting, grade, compare, and write report/."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s1_core import artifacts, cli, records
from s1_core.artifacts import Artifact
from s1_core.errors import UserError
from s1_core.records import Question
from s1_serve.evaluate.config import EvaluateConfig

KIND = "report"


def main(config: EvaluateConfig) -> None:
    """Write the report, unless it is there already."""
    inputs = _inputs(config)
    from s1_serve.engine import version

    out = Path(config.out)
    identity: dict[str, Any] = {
        "kind": KIND,
        "config": artifacts.identity(config) | {"engine": version()},
        "parents": {name: artifact.sha256 for name, artifact in inputs.items()},
    }
    if artifacts.is_current(out, **identity):
        cli.say(f"up to date: {out}")
        return
    questions = _questions(inputs["benchmark"], config)
    with artifacts.create(out, **identity) as draft:
        _write(draft, config, inputs, questions)
    cli.console().print(f"report: {out / 'report.html'}", highlight=False, soft_wrap=True)


def _inputs(config: EvaluateConfig) -> dict[str, Artifact]:
    inputs = {
        "model": artifacts.load(config.model, kind="model"),
        "benchmark": artifacts.load(config.benchmark, kind="questions"),
    }
    if config.s1k:
        inputs["s1k"] = artifacts.load(config.s1k, kind="s1k")
    if config.direct_model:
        inputs["direct_model"] = artifacts.load(config.direct_model, kind="model")
    return inputs


def _questions(benchmark: Artifact, config: EvaluateConfig) -> list[Question]:
    questions = benchmark.read("questions", Question)[: config.num_questions]
    if not questions:
        raise UserError(f"{benchmark.path} holds no question: build it again")
    unanswered = [question.id for question in questions if not question.answer]
    if unanswered:
        raise UserError(
            f"{len(unanswered)} questions of {benchmark.path} have no answer to grade by "
            f"({unanswered[0]}): evaluate on a benchmark"
        )
    if len({question.id for question in questions}) < len(questions):
        raise UserError(f"{benchmark.path} holds a question twice: build it again")
    return questions


def _write(
    draft: artifacts.Draft,
    config: EvaluateConfig,
    inputs: dict[str, Artifact],
    questions: Sequence[Question],
) -> None:
    from s1_serve.evaluate import page, sources, summary, table
    from s1_serve.evaluate.samples import Sample

    measured = _measure(config, questions)
    benchmark = str(inputs["benchmark"].config.get("benchmark", inputs["benchmark"].path.name))
    rows = summary.runs(measured, benchmark, config)
    compared = summary.comparisons(measured, config.extend_with, config.seed)
    samples = [sample for one in measured for sample in one.samples]
    draft.write("samples", samples, Sample)
    places = sources.by_source(measured, questions, config.extend_with)
    training = _training_facts(inputs.get("s1k"))
    report = {
        "schema_version": records.SCHEMA_VERSION,
        **_origin(config, inputs, benchmark, len(questions)),
        "runs": rows,
        "extends": compared,
        "metrics": summary.scores(rows, config.extend_with),
        "sources": places,
        "statements": [
            *summary.statements(rows, compared, config.extend_with),
            *sources.statements(places, config.extend_with),
            *summary.training_statements(training),
        ],
        "training": training,
        "samples": {
            "path": "samples.parquet",
            "sha256": hashlib.sha256((draft.path / "samples.parquet").read_bytes()).hexdigest(),
        },
    }
    drawn = _draw(draft, rows, compared, config.extend_with)
    draft.write_text("report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    draft.write_text("report.html", page.page(report, drawn, samples, questions))
    table.show(report, cli.console())


def _draw(
    draft: artifacts.Draft, rows: list[Any], compared: list[Any], wait: str
) -> dict[str, str]:
    """Write the figures as files and give them by title, for the page."""
    from s1_serve.evaluate import figures

    drawn = {
        ("thinking", "Accuracy against thinking"): figures.thinking(rows, wait),
        ("parallel", "Sequential against parallel"): figures.parallel(rows, wait),
    }
    if compared:
        drawn["extends", "What an extend changes"] = figures.extends(compared, rows)
    for (name, _), svg in drawn.items():
        draft.write_text(f"{name}.svg", svg)
    return {title: svg for (_, title), svg in drawn.items()}


def _training_facts(s1k: Artifact | None) -> dict[str, Any]:
    """Read what the training data says of its own traces: `slip_rate` and perhaps a `note`."""
    path = s1k.path / "facts.json" if s1k else None
    stated = json.loads(path.read_text()) if path and path.is_file() else {}
    return {"slip_rate": None, "note": None} | stated


def _measure(config: EvaluateConfig, questions: Sequence[Question]) -> list[Any]:
    from s1_core.cache import Cache
    from s1_serve.engine import LazyEngine
    from s1_serve.evaluate.runner import Runner
    from s1_serve.evaluate.samples import graded
    from s1_serve.evaluate.settings import direct, settings
    from s1_serve.evaluate.summary import Measured

    cache = Cache(Path(config.out))
    runner = Runner(LazyEngine(config.model, config.serve), questions, config, cache)
    jobs = [(runner, setting) for setting in settings(config)]
    if config.direct_model:
        before = Runner(LazyEngine(config.direct_model, config.serve), questions, config, cache)
        jobs.append((before, direct()))
    for one, setting in jobs:
        one.check([setting])
    bar = cli.progress(jobs, "evaluate", total=len(jobs))
    answered = [(setting, one.run(setting)) for one, setting in bar]
    together = [sample for _, samples in answered for sample in samples]
    rows = iter(graded(together, questions, config.workers))
    return [Measured(setting, [next(rows) for _ in samples]) for setting, samples in answered]


def _origin(
    config: EvaluateConfig, inputs: dict[str, Artifact], benchmark: str, num_questions: int
) -> dict[str, Any]:
    from s1_serve.engine import describe
    from s1_serve.model import open_model

    model = inputs["model"]
    before = inputs.get("direct_model")
    return {
        "model": {"manifest_sha256": model.sha256, "format": model.config["format"]},
        "direct_model": {"manifest_sha256": before.sha256} if before else None,
        "benchmark": {
            "name": benchmark,
            "manifest_sha256": inputs["benchmark"].sha256,
            "num_questions": num_questions,
        },
        "engine": describe(open_model(config.model), config.serve),
    }


if __name__ == "__main__":
    cli.run(EvaluateConfig, main, package="serve")
