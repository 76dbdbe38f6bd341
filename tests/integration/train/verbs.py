"""The verbs of s1_train as a user starts them, a toy recipe, and what a run leaves to compare."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import factories
from s1_core.records import Example

SCRATCH = (
    "--base=none", "--strategy=ddp", "--tokenizer.train=true", "--tokenizer.vocab_size=400",
    "--model.hidden_size=64", "--model.num_layers=2", "--model.intermediate_size=128",
    "--model.num_heads=2", "--model.num_kv_heads=1", "--optimiser.lr=3e-3",
    "--batch_size=8", "--epochs=3", "--log_every=10", "--checkpoints.every_steps=10",
    "--micro_tokens=300",
)  # fmt: skip
"""3 epochs of 100 samples in batches of 8: 39 steps of several passes, an epoch's last one short"""
NUM_STEPS = 39


def examples(count: int) -> Iterator[Example]:
    """Additions with a short trace."""
    rng = random.Random(7)
    for _ in range(count):
        a, b = rng.randint(0, 9999), rng.randint(0, 9999)
        thinking = f"Add {a} and {b}: {a} + {b} = {a + b}. " * rng.randint(1, 6)
        yield factories.example(
            f"What is {a} plus {b}?",
            thinking_trajectories=(thinking + "Wait, check. It holds.",),
            attempt=str(a + b),
        )


def command(*arguments: object, module: str = "fit") -> list[str]:
    """Write the command line of a verb."""
    return [sys.executable, "-m", f"s1_train.{module}", *map(str, arguments)]


def run(*arguments: object, module: str = "fit") -> subprocess.CompletedProcess[str]:
    """Run a verb to its end."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(*arguments, module=module), capture_output=True, text=True, env=environment
    )


def done(*arguments: object, module: str = "fit") -> subprocess.CompletedProcess[str]:
    """Run a verb that has to succeed."""
    result = run(*arguments, module=module)
    assert result.returncode == 0, result.stderr
    return result


def metrics(folder: Path) -> list[tuple[str, ...]]:
    """Read what must not depend on the weather: step, loss, gradient norm, tokens."""
    with (folder / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return [(row["step"], row["loss"], row["lr"], row["grad_norm"], row["tokens"]) for row in rows]


def samples(folder: Path) -> list[str]:
    """Read which samples each process saw in each step."""
    return [path.read_text() for path in sorted((folder / "samples").glob("rank-*.csv"))]
