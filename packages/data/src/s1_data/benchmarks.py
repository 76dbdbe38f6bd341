"""The questions that models are judged by; the same list keeps them out of training.

`python -m s1_data.benchmarks --name aime24 --out DIR` writes one as a questions artifact. It is
read from a file, from eval/ of the data folder that --path or S1_DATA names, or else from the hub.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from s1_core import cli
from s1_core.artifacts import Artifact, Draft
from s1_core.errors import UserError
from s1_core.records import Question
from s1_data.config import BenchmarkConfig
from s1_data.sources import copies, files, generated
from s1_data.sources.collection import Collection
from s1_data.sources.published import benchmarks as published
from s1_data.sources.source import Source
from s1_data.stages.stage import Stage

HELDOUT = "heldout"
HELDOUT_QUESTIONS = 300
FILE_NAMES = {"gsm8k": "gsm8k_test"}
UNPUBLISHED = frozenset(
    name for name, source in published.sources(0).items() if not source.is_published
)
"""Benchmarks whose text must not stand in a public card."""


def parents(config: BenchmarkConfig) -> dict[str, str]:
    """Identify what the benchmark is made of, reading no question and asking nobody.

    One of the hub has a hash only once it was collected.
    """
    if config.name == HELDOUT:
        return generated.parents()
    path = _file(config)
    if path is not None:
        return {f"eval/{path.name}": files.sha256(path)}
    return {f"benchmarks/{config.name}": _collection(config).identity}


def collect(config: BenchmarkConfig) -> None:
    """Fetch a benchmark of the hub into `out`, unless it is there already."""
    if config.name != HELDOUT and _file(config) is None:
        _collection(config).ensure()


def questions(config: BenchmarkConfig) -> list[Question]:
    """Return the benchmark's questions, the first `num_questions` of them when that is set.

    Those of the hub are kept in `out`, so that the hub is asked once.
    """
    if config.name == HELDOUT:
        from s1_data import bank

        num = config.num_questions or HELDOUT_QUESTIONS
        return list(bank.generate(num, config.seed, "heldout"))
    path = _file(config)
    if path is None:
        return _collection(config).ensure().read("questions", Question)
    return _taken(config, copies.read(_source(config), str(path)), str(path))


def bare(question: Question) -> Question:
    """Return a question without the choices written under it: what decontamination compares."""
    text = json.loads(question.metadata).get("Question")
    return question if text is None else dataclasses.replace(question, question=text)


def ensure(config: BenchmarkConfig) -> Artifact:
    """Return the benchmark as an artifact in `out`, writing it unless it is there already."""
    if config.name != HELDOUT and _file(config) is None:
        collection = _collection(config)
        return collection.stage.ensure(collection.write)

    def write(draft: Draft) -> str:
        rows = questions(config)
        draft.write("questions", rows, Question)
        return f"{len(rows)} questions of {config.name}"

    shape = {"benchmark": config.name, "num_questions": config.num_questions, "seed": config.seed}
    stage = Stage(out=Path(config.out), kind="questions", config=shape, parents=parents(config))
    return stage.ensure(write)


def main(config: BenchmarkConfig) -> None:
    """Write the questions artifact, unless it is there already."""
    ensure(config)


def _source(config: BenchmarkConfig) -> Source:
    return published.sources(config.seed)[config.name]


def _collection(config: BenchmarkConfig) -> Collection:
    source = _source(config)
    remedy = (
        f"put eval/{_stem(config)}.jsonl or .parquet into the folder that --path or"
        f" {files.ENVIRONMENT} names, or leave {config.name} out of --decontamination.benchmarks"
    )
    return Collection(
        source=source,
        revision=config.revision or source.revision,
        folder=Path(config.out),
        remedy=remedy,
        take=lambda rows: source.arrange(rows)[: config.num_questions],
        options={"num_questions": config.num_questions},
    )


def _taken(config: BenchmarkConfig, rows: Sequence[Question], path: str) -> list[Question]:
    arranged = list(rows) if copies.holds_records(path) else _source(config).arrange(rows)
    return arranged[: config.num_questions]


def _file(config: BenchmarkConfig) -> Path | None:
    """Find the benchmark's file; None sends to the hub, as a revision does."""
    named = config.path or os.environ.get(files.ENVIRONMENT)
    if config.revision is not None or not named:
        return None
    root = Path(named)
    if root.is_file():
        return root
    if not root.is_dir():
        raise UserError(f"{root} does not exist; --path or {files.ENVIRONMENT} names the data")
    wanted = (root / "eval" / f"{_stem(config)}{suffix}" for suffix in files.SUFFIXES)
    return next((path for path in wanted if path.is_file()), None)


def _stem(config: BenchmarkConfig) -> str:
    return FILE_NAMES.get(config.name, config.name)


if __name__ == "__main__":
    cli.run(BenchmarkConfig, main, package="data")
