"""A release with its model and report as folders, all made up, and the rules it is judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s1_core import artifacts
from s1_core.parity import Parity
from s1_serve.evaluate.samples import Sample
from s1_serve.release.gates.evidence import Evidence
from s1_serve.release.record import Release
from s1_serve.release.rules import Rules, load
from unit.serve import fake_report

NUM_QUESTIONS, NUM_SAMPLES = 60, 4
QUESTIONS = [f"q{n:02}" for n in range(NUM_QUESTIONS)]
BUDGETS = (8, 16, 32)
DATA, BASE, CHECKPOINT = "d" * 64, "b" * 64, "c" * 64
EVALUATION = {"seed": 0, "temperature": 0.7, "max": 64, "answer_tokens": 16}
PARITY = Parity(num_tokens=21, max_difference=0.0, rounding=0.01, tolerance=1e-4)
RULES = """\
schema_version: 1
confidence: 0.95
num_resamples: 1000
seed: 0
evaluation: {seed: 0, temperature: 0.7, max: 64, answer_tokens: 16}
benchmarks: [{name: bench, num_questions: 60}]
accuracy:
  - {benchmarks: [bench], run: extends 0, num_samples: 1, margin: 10.0, floor: 30.0}
  - {benchmarks: [bench], run: samples, num_samples: 4, margin: 10.0, floor: 30.0}
scaling:
  - {benchmarks: [bench], runs: [budget 8, budget 16, budget 32], margin: 12.0, floor: 0.0}
control: 100.0
parity: 1.0e-4
budgets: {questions: [How many r in raspberry], maxima: [0, 12], extends: [0, 2], answer_tokens: 16}
drain: {num_streams: 2, thinking_tokens: 200, timeout_s: 60, restart_timeout_s: 60, after_s: 1}
"""


def of_model(model: str) -> Release:
    """Make a record that is about nothing but a model."""
    return Release(
        model=model, image="registry.example.com/s1/serve@sha256:" + "a" * 64, code="e" * 40,
        data=None, base=None, checkpoint=None, step=None, report="f" * 64, gates="a" * 64,
    )  # fmt: skip


def rules(**replaced: str) -> Rules:
    """Read the rules; each key stands for a text in them that its value replaces."""
    text = RULES
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return load(text)


def right(num: int) -> fake_report.Answers:
    """Answer the first `num` questions right."""
    return {name: ["1" if n < num else "0"] for n, name in enumerate(QUESTIONS)}


def budgeted(maximum: int, num: int, **fields: Any) -> list[Sample]:
    """Give a run that thinks as long as it may."""
    forced = {"max": maximum, "thinking_tokens": maximum, "end": "budget"} | fields
    return fake_report.samples(f"budget {maximum}", right(num), **forced)


def sampled(num: int, **fields: Any) -> list[Sample]:
    """Give the run of several samples; of each right question one of them is wrong."""
    answers = {
        name: ["1" if n < num and at else "0" for at in range(NUM_SAMPLES)]
        for n, name in enumerate(QUESTIONS)
    }
    return fake_report.samples("samples", answers, **{"method": "majority"} | fields)


def runs(
    greedy: int = 45, by_budget: Sequence[int] = (15, 30, 45), of_samples: int = 45
) -> list[Sample]:
    """Give all runs that the rules ask for, by how many questions each has right."""
    found = fake_report.samples("extends 0", right(greedy), thinking_tokens=20)
    for maximum, num in zip(BUDGETS, by_budget, strict=True):
        found += budgeted(maximum, num)
    return found + sampled(of_samples)


@dataclass
class Maker:
    """Writes the folders of a release below `path`; what is said here may be a lie."""

    path: Path
    samples: list[Sample] = field(default_factory=runs)
    parity: Parity | None = PARITY
    weights: str = "weights"
    parents: Mapping[str, str] = field(
        default_factory=lambda: {"s1k": DATA, "base": BASE, "checkpoint": CHECKPOINT}
    )
    evaluation: Mapping[str, Any] = field(default_factory=lambda: EVALUATION)
    report: Mapping[str, Any] = field(default_factory=dict)
    """keys of report.json"""

    def evidence(self, changed: Callable[[Release], Release] = lambda one: one) -> Evidence:
        """Write model and report, and make the record; `changed` may alter it."""
        model = self._model()
        report = self._report(artifacts.load(model).sha256)
        release = Release(
            model=artifacts.load(model).sha256,
            image="registry.example.com/s1/serve@sha256:" + "a" * 64,
            code="e" * 40,
            data=DATA,
            base=BASE,
            checkpoint=CHECKPOINT,
            step=40,
            report=artifacts.load(report).sha256,
            gates=rules().sha256,
        )
        return Evidence(changed(release), model, report)

    def _model(self) -> Path:
        folder = self.path / "model"
        with artifacts.create(
            folder, kind="model", config={"step": 40}, parents=self.parents
        ) as draft:
            draft.write_text("model.safetensors", self.weights)
            if self.parity is not None:
                draft.write_text("parity.json", self.parity.text)
        return folder

    def _report(self, model: str) -> Path:
        told = {
            "model": {"manifest_sha256": model, "format": "s1"},
            "benchmarks": [
                {"name": "bench", "manifest_sha256": "a" * 64, "num_questions": NUM_QUESTIONS}
            ],
        }
        return fake_report.write(
            self.path / "report", self.samples, votes=[1, 4], config=self.evaluation,
            parents={"gates": rules().sha256}, **told | dict(self.report),
        )  # fmt: skip
