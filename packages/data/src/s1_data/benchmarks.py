"""The questions that models are judged by; the same list keeps them out of training.

`python -m s1_data.benchmarks --name aime24 --out DIR` writes one as a questions artifact.
"""

from __future__ import annotations

from pathlib import Path

from s1_core import cli
from s1_core.artifacts import Draft
from s1_core.records import Question
from s1_data.config import BenchmarkConfig
from s1_data.sources import generated, local
from s1_data.stage import Stage

FILES = {"aime24": "aime24.jsonl", "math500": "math500.jsonl", "gsm8k": "gsm8k_test.jsonl"}
HELDOUT_QUESTIONS = 300


def parents(config: BenchmarkConfig) -> dict[str, str]:
    """Identify what the benchmark is made of."""
    if config.name == "heldout":
        return generated.parents()
    return {f"eval/{FILES[config.name]}": local.sha256(_file(config))}


def questions(config: BenchmarkConfig) -> list[Question]:
    """Return the benchmark's questions, the first `num_questions` of them when that is set."""
    if config.name == "heldout":
        from s1_data import bank

        num = config.num_questions or HELDOUT_QUESTIONS
        return list(bank.generate(num, config.seed, "heldout"))
    return local.read_benchmark(_file(config), config.name)[: config.num_questions]


def _file(config: BenchmarkConfig) -> Path:
    return local.folder(config.path) / "eval" / FILES[config.name]


def main(config: BenchmarkConfig) -> None:
    """Write the questions artifact, unless it is there already."""

    def write(draft: Draft) -> str:
        rows = questions(config)
        draft.write("questions", rows, Question)
        return f"{len(rows)} questions of {config.name}"

    shape = {"benchmark": config.name, "num_questions": config.num_questions, "seed": config.seed}
    stage = Stage(out=Path(config.out), kind="questions", config=shape, parents=parents(config))
    stage.ensure(write)


if __name__ == "__main__":
    cli.run(BenchmarkConfig, main, package="data")
