"""Report folders as `just evaluate` writes them, with made-up answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from s1_core import artifacts
from s1_serve.evaluate.report.assembly import REPORT_VERSION
from s1_serve.evaluate.samples import Sample

Answers = Mapping[str, Sequence[str | None]]
"""of each question, one a sample; "1" is right"""
CONFIG = {"seed": 0, "temperature": 0.7}


def samples(run: str, answers: Answers, benchmark: str = "bench", **fields: Any) -> list[Sample]:
    """Give the rows of a run; sample number n is 10 + n tokens long, unless `fields` say else."""
    return [
        sample_of(run, benchmark, question, number, answer, fields)
        for question, given in answers.items()
        for number, answer in enumerate(given)
    ]


def sample_of(
    run: str,
    benchmark: str,
    question: str,
    number: int,
    answer: str | None,
    fields: Mapping[str, Any],
) -> Sample:
    """Give one row."""
    plain = Sample(
        benchmark=benchmark,
        run=run,
        method="majority" if run.endswith("samples") else run.partition(" ")[0],
        question_id=question,
        sample=number,
        seed=number,
        max=None,
        min=0,
        extends=0,
        extend_with="",
        control="",
        limit=None,
        used_extends=0,
        tries=1,
        end="natural",
        finish_reason="stop",
        thinking_tokens=number,
        output_tokens=10 + number,
        total_tokens=10 + number,
        sequential_tokens=10 + number,
        thinking="",
        answer=answer or "",
        extracted=answer,
        is_correct=answer == "1",
        graded_by="rules",
    )
    return replace(plain, **fields)


def write(
    path: Path,
    rows: Sequence[Sample],
    votes: Sequence[int] = (),
    config: Mapping[str, Any] = CONFIG,
    parents: Mapping[str, str] | None = None,
    **changes: Any,
) -> Path:
    """Write a report of these samples; `changes` replace keys of report.json."""
    named = {(row.benchmark, row.method, row.run): row for row in rows}
    runs = [
        {
            "benchmark": row.benchmark,
            "method": row.method,
            "run": f"majority@{size}" if row.method == "majority" else row.run,
            "samples_per_question": size,
            "accuracy": 50.0,
        }
        for row in named.values()
        for size in (votes if row.method == "majority" else [1])
    ]
    report = {
        "schema_version": REPORT_VERSION,
        "runs": runs,
        "tie": "fractional",
        "engine": {"name": "vllm", "version": "1", "dtype": "float32", "device": "cpu"},
        "benchmarks": [
            {"name": name, "manifest_sha256": "a" * 64}
            for name in dict.fromkeys(row.benchmark for row in rows)
        ],
        **changes,
    }
    with artifacts.create(path, kind="report", config=config, parents=parents) as draft:
        draft.write("samples", rows, Sample)
        sha256 = artifacts.sha256_of(draft.path / "samples.parquet")
        report = {"samples": {"path": "samples.parquet", "sha256": sha256}} | report
        draft.write_text("report.json", json.dumps(report))
    return path
