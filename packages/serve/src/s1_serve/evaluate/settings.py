"""The runs of an evaluation as data: by which method, within which budget, how sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from s1_core import chat
from s1_serve.config import ThinkingBudget
from s1_serve.evaluate.config import (
    BUDGET,
    CLASSES,
    DIRECT,
    EXTENDS,
    FORCED,
    MAJORITY,
    NONE,
    REJECTION,
    STEPS,
    STRATEGY,
    TOKENS,
    EvaluateConfig,
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to answer every question of a benchmark."""

    method: str
    """One of config.METHODS, or DIRECT."""
    max: int | None = -1
    """Maximum thinking tokens; -1 leaves what fits, None forces nothing at all."""
    min: int = 0
    extends: int = 0
    extend_with: str = ""
    control: str = ""
    """What the prompt asks for: tokens, steps, long, short (chat.control_suffix), or nothing."""
    limit: int | None = None
    """The number in that prompt."""
    tries: int = 1
    num_samples: int = 1
    temperature: float = 0.0
    strategy: str = ""
    """of method strategy: as specs.sized reads it"""

    @property
    def budget(self) -> ThinkingBudget | None:
        """What is forced; None where nothing is."""
        if self.max is None:
            return None
        return ThinkingBudget(
            max=self.max, min=self.min, extends=self.extends, extend_with=self.extend_with
        )

    @property
    def counts_steps(self) -> bool:
        """Forced by steps, not by tokens."""
        return self.method == STEPS + FORCED

    @property
    def label(self) -> str:
        """Name the run; no two runs of an evaluation have the same."""
        if self.method == BUDGET:
            return f"budget {self.max}"
        if self.method == EXTENDS:
            return f"extends {self.extends} {self.extend_with!r}" if self.extends else "extends 0"
        if self.control:
            return f"{self.method} {self.limit if self.control in _NUMBERED else self.control}"
        if self.method == REJECTION:
            return f"rejection {self.max}"
        if self.strategy:
            return self.strategy
        return SAMPLES if self.method == MAJORITY else self.method

    def prompted(self, question: str) -> str:
        """Write what this method asks under a question."""
        return chat.controlled(question, self.control, self.limit) if self.control else question


_NUMBERED = ("tokens", "steps")
SAMPLES = "samples"
"""the run whose samples vote"""


def settings(config: EvaluateConfig) -> list[Setting]:
    """List the runs of the model under test, in the order of the report."""
    runs = _runs(config)
    return [setting for method in (*config.methods, STRATEGY) for setting in runs[method]]


def direct() -> Setting:
    """Answer at once: thinking is cut before its first token."""
    return Setting(method=DIRECT, max=0)


def _runs(config: EvaluateConfig) -> dict[str, list[Setting]]:
    return {
        NONE: [Setting(method=NONE, max=None)],
        BUDGET: [Setting(method=BUDGET, max=maximum) for maximum in sorted(config.budgets)],
        EXTENDS: _extended(config),
        **_prompted(TOKENS, [_told("tokens", k, max=k) for k in sorted(config.token_limits)]),
        **_prompted(STEPS, [_told("steps", k) for k in sorted(config.step_limits)]),
        **_prompted(
            CLASSES,
            [
                _told("short", max=config.class_limit),
                _told("long", min=config.class_limit or 0),
            ],
        ),
        REJECTION: [
            Setting(
                method=REJECTION, max=maximum, tries=config.tries, temperature=config.temperature
            )
            for maximum in sorted(config.rejection_budgets)
        ],
        MAJORITY: [
            Setting(
                method=MAJORITY,
                max=config.max,
                num_samples=max(config.votes),
                temperature=config.temperature,
            )
        ],
        STRATEGY: [
            Setting(method=STRATEGY, max=config.max, temperature=config.temperature, strategy=spec)
            for spec in config.specs
        ],
    }


def _extended(config: EvaluateConfig) -> list[Setting]:
    none = Setting(method=EXTENDS, max=config.max, extend_with=config.extend_with)
    return [none] + [
        Setting(method=EXTENDS, max=config.max, extends=extends, extend_with=string)
        for string in (config.extend_with, *config.control_arms)
        for extends in sorted(config.extends)
        if extends
    ]


def _told(control: str, limit: int | None = None, **forced: Any) -> Setting:
    """Give a run that the prompt controls, and what is forced where it is forced too."""
    return Setting(method="", control=control, limit=limit, **forced)


def _prompted(method: str, runs: Sequence[Setting]) -> dict[str, list[Setting]]:
    """Give the runs of a control by prompt, left alone and forced."""
    return {
        method: [replace(run, method=method, max=-1, min=0) for run in runs],
        method + FORCED: [replace(run, method=method + FORCED) for run in runs],
    }
