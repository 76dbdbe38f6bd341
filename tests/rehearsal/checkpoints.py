"""The checkpoints of the rehearsal: trained, exported and evaluated by the project's own verbs.

Everything is an artifact that says "up to date" when it is, so a second rehearsal starts at once.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from s1_core import artifacts
from s1_core.errors import S1Error
from s1_core.processes import die_with_parent

GATES = Path(__file__).with_name("gates.yaml")


@dataclass(frozen=True)
class Checkpoint:
    """A training run of the rehearsal: how long, at which rate."""

    name: str
    max_steps: int
    lr: str
    about: str


FIRST = Checkpoint("first", 30, "5.0e-4", "30 steps")
GOOD = Checkpoint("good", 120, "5.0e-4", "120 steps")
WORSE = Checkpoint("worse", 20, "1.0e-2", "20 steps at a rate 20 times too high")


@dataclass(frozen=True)
class Folders:
    """Where the artifacts of the rehearsal lie."""

    root: Path

    def model(self, checkpoint: Checkpoint) -> Path:
        return self.root / checkpoint.name / "model"

    def report(self, checkpoint: Checkpoint) -> Path:
        return self.root / checkpoint.name / "report"

    def run(self, checkpoint: Checkpoint) -> Path:
        return self.root / checkpoint.name / "run"


def prepare(folders: Folders) -> str:
    """Write the data that all checkpoints share; say how much it is."""
    verb("s1_data.build", "--config", "bank", "--out", folders.root / "data")
    verb("s1_data.benchmarks", "--name", "heldout", "--out", folders.root / "heldout")
    examples = artifacts.load(folders.root / "data" / "s1k").num_rows("examples")
    questions = artifacts.load(folders.root / "heldout").num_rows("questions")
    return f"{examples:,} examples, {questions} held-out questions"


def make(folders: Folders, checkpoint: Checkpoint) -> None:
    """Train, export and evaluate one checkpoint."""
    run, model = folders.run(checkpoint), folders.model(checkpoint)
    verb(
        *("s1_train.fit", "--config", "tiny", "--base", "embedded"),
        *("--data", folders.root / "data" / "s1k", "--out", run),
        *("--max_steps", checkpoint.max_steps, "--optimiser.lr", checkpoint.lr),
    )
    verb("s1_train.export", "--run", run, "--out", model)
    verb(
        *("s1_serve.evaluate", "--model", model, "--benchmark", folders.root / "heldout"),
        *("--methods", "budget,extends", "--budgets", "16,32,48,64", "--extends", "0,1"),
        *("--control_arms", "[]", "--answer_tokens", 24, "--gates", GATES),
        *("--out", folders.report(checkpoint)),
    )


def verb(*words: object) -> str:
    """Run a verb as it is typed; give its stdout. One that fails ends the rehearsal."""
    command = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=die_with_parent)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise S1Error(f"`{' '.join(command[2:])}` ended with {done.returncode}, as it says above")
    return done.stdout
