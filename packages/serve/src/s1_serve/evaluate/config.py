"""What an evaluation measures. Refuses grids that measure nothing or contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from s1_core.errors import UserError
from s1_serve.config import EXTEND_WITH, ServeConfig


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Measure a model on a benchmark over budgets, extends and votes, and write a report."""

    RUN_ONLY: ClassVar[tuple[str, ...]] = ("model", "benchmark", "out", "s1k", "direct_model")

    model: str
    """A model artifact."""
    benchmark: str
    """A questions artifact with answers."""
    out: str
    """Where the report goes; finished settings wait beside it in cache/."""
    s1k: str | None = None
    """The training data, for its rate of planted slips."""
    direct_model: str | None = None
    """The model before fine-tuning; it gives the line of direct answering."""
    budgets: list[int] = field(default_factory=lambda: [0, 8, 16, 32, 64, 128, 256])
    """Maximum thinking tokens, one run each."""
    max: int = -1
    """Maximum of the runs with extends and of the samples; -1 leaves what fits."""
    extends: list[int] = field(default_factory=lambda: [0, 1, 2, 4, 6])
    """Forced extends, one run each; they need 0, to which the others are compared."""
    extend_with: str = EXTEND_WITH
    """The extend string under test."""
    control_arms: list[str] = field(default_factory=lambda: ["", "Hmm"])
    """Other extend strings at the same counts: is it the string or the length?"""
    votes: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    """Sizes of the majority votes, over the first samples; an empty list draws none."""
    temperature: float = 0.7
    """Of the sampled traces; every other run is greedy."""
    answer_tokens: int = 48
    """Most tokens of an answer that was cut into."""
    num_questions: int | None = None
    """Take the first questions of the benchmark only."""
    seed: int = 0
    """Of the samples and of the bootstrap."""
    workers: int = 2
    """Processes that grade answers."""
    serve: ServeConfig = field(default_factory=ServeConfig)

    def __post_init__(self) -> None:
        if not self.budgets or min(self.budgets) < 0:
            raise UserError(f"budgets are {self.budgets}: give counts from 0")
        if 0 not in self.extends or min(self.extends) < 0:
            raise UserError(f"extends are {self.extends}: give counts from 0, 0 among them")
        if self.votes and min(self.votes) < 1:
            raise UserError(f"votes are {self.votes}: give counts from 1")
        if self.votes and self.temperature <= 0:
            raise UserError(f"temperature is {self.temperature}: equal samples cannot vote")
        if self.extend_with in self.control_arms:
            raise UserError(f"{self.extend_with!r} is extend_with and a control arm: keep one")
        for name in ("budgets", "extends", "control_arms", "votes"):
            values = getattr(self, name)
            if len({*values}) < len(values):
                raise UserError(f"{name} are {values}: give every value once")
        if self.answer_tokens < 1 or self.workers < 1:
            raise UserError("answer_tokens and workers must be at least 1")
        if self.num_questions is not None and self.num_questions < 1:
            raise UserError(f"num_questions is {self.num_questions}: give a count from 1")
