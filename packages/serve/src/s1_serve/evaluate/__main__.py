"""`just evaluate`: run every method, grade, compare, and write report/."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1_core import artifacts, cache, cli, records
from s1_core.artifacts import Artifact, Draft
from s1_core.errors import UserError
from s1_core.records import Question
from s1_serve.evaluate.config import EvaluateConfig

if TYPE_CHECKING:
    from s1_serve.evaluate.run.sources import Opened

KIND = "report"


def main(config: EvaluateConfig) -> None:
    """Write the report, unless it is there already."""
    asked = benchmarks(config)
    from s1_serve.evaluate.report import terminal
    from s1_serve.evaluate.run.sources import opened

    source = opened(config)
    others = _others(config)
    out = Path(config.out)
    parents = {name: one.sha256 for name, one in {**asked, **others}.items()} | _gates(config)
    identity: dict[str, Any] = {
        "kind": KIND,
        "config": artifacts.identity(config) | {"source": source.identity},
        "parents": parents,
    }
    if artifacts.is_current(out, **identity):
        cli.say(f"up to date: {out}")
        return
    questions = {name: questions_of(one, config) for name, one in asked.items()}
    with artifacts.create(out, **identity) as draft:
        report, seconds = _write(draft, config, source, questions, asked | others)
    terminal.show(report, cli.console(), seconds)
    cli.say(f"report: {out / 'report.html'}")


def benchmarks(config: EvaluateConfig) -> dict[str, Artifact]:
    """Open the benchmarks by their names; the folder's name where an artifact says none."""
    found: dict[str, Artifact] = {}
    for path in config.benchmark:
        if not Path(path).exists():
            raise UserError(
                f"no benchmark at {path}: `just benchmark --name NAME --out {path}` writes one;"
                f" names are {', '.join(records.BENCHMARKS)}"
            )
        artifact = artifacts.load(path, kind="questions")
        name = str(artifact.config.get("benchmark", artifact.path.name))
        if name in found:
            raise UserError(f"{path} and {found[name].path} are both {name}: leave one out")
        found[name] = artifact
    return found


def _others(config: EvaluateConfig) -> dict[str, Artifact]:
    """Open what a report may also tell of."""
    named = {
        "s1k": (config.s1k, "s1k"),
        "direct_model": (config.direct_model, "model"),
        "other_model": (config.other_model, "model"),
        "reward": (config.reward, "reward"),
        "calibration": (config.calibration, "calibration"),
    }
    return {n: artifacts.load(path, kind=kind) for n, (path, kind) in named.items() if path}


def _gates(config: EvaluateConfig) -> dict[str, str]:
    """Hash what a release will have to show, so that it cannot be changed to fit the report."""
    if config.gates is None:
        return {}
    if not (file := Path(config.gates)).is_file():
        raise UserError(f"no gate config at {file}: run from the repository's root, or name yours")
    return {"gates": artifacts.sha256_of(file)}


def questions_of(benchmark: Artifact, config: EvaluateConfig) -> list[Question]:
    """Read the questions of a benchmark that are asked, each of them with an answer."""
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
    draft: Draft,
    config: EvaluateConfig,
    source: Opened,
    questions: Mapping[str, Sequence[Question]],
    inputs: Mapping[str, Artifact],
) -> tuple[dict[str, Any], dict[str, float]]:
    """Write the report's files; give its content, and the seconds of an answer by run."""
    from s1_serve.evaluate.report import assembly, page
    from s1_serve.evaluate.report.figures import panels
    from s1_serve.evaluate.run.sweep import Sweep
    from s1_serve.evaluate.samples import Sample

    sweep = Sweep(config, source, questions, cache.folder(Path(config.out)))
    measured, told = sweep.measure()
    facts = source.facts() | told | _facts(config, questions, inputs)
    report = assembly.assemble(measured, questions, config, facts)
    draft.write("samples", [sample for one in measured for sample in one.samples], Sample)
    sha256 = artifacts.sha256_of(draft.path / "samples.parquet")
    report["samples"] = {"path": "samples.parquet", "sha256": sha256}
    draft.notes["seconds_per_answer"] = sweep.seconds
    figures = panels.draw(report)
    for name, content in figures.items():
        (draft.path / name).write_bytes(content)
    draft.write_text("report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    draft.write_text("report.html", page.page(report, figures, measured, questions))
    return report, sweep.seconds


def _facts(
    config: EvaluateConfig,
    questions: Mapping[str, Sequence[Question]],
    inputs: Mapping[str, Artifact],
) -> dict[str, Any]:
    before = inputs.get("direct_model")
    return {
        "direct_model": {"manifest_sha256": before.sha256} if before else None,
        "benchmarks": [
            {
                "name": name,
                "manifest_sha256": inputs[name].sha256,
                "num_questions": len(rows),
                "is_published": name not in records.UNPUBLISHED,
            }
            for name, rows in questions.items()
        ],
        "training": _training(inputs.get("s1k")),
        "seeds": {"samples": config.seed, "bootstrap": config.seed},
    }


def _training(s1k: Artifact | None) -> dict[str, Any]:
    """Read what the training data says of its own traces: `slip_rate` and perhaps a `note`."""
    path = s1k.path / "facts.json" if s1k else None
    stated = json.loads(path.read_text()) if path and path.is_file() else {}
    return {"slip_rate": None, "note": None} | stated


if __name__ == "__main__":
    cli.run(EvaluateConfig, main, package="serve")
