"""The runs of an evaluation as data: which model, which budget, how sampled."""

from __future__ import annotations

from dataclasses import dataclass

from s1_serve.config import ThinkingBudget
from s1_serve.evaluate.config import EvaluateConfig

DIRECT, BUDGET, EXTENDS, SAMPLES = "direct", "budget", "extends", "samples"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to answer every question of the benchmark."""

    method: str
    max: int
    extends: int = 0
    extend_with: str = ""
    num_samples: int = 1
    temperature: float = 0.0

    @property
    def budget(self) -> ThinkingBudget:
        return ThinkingBudget(max=self.max, extends=self.extends, extend_with=self.extend_with)

    @property
    def label(self) -> str:
        if self.method == BUDGET:
            return f"budget {self.max}"
        if self.method == EXTENDS:
            return f"extends {self.extends} {self.extend_with!r}" if self.extends else "extends 0"
        return f"{self.num_samples} {SAMPLES}" if self.method == SAMPLES else self.method


def settings(config: EvaluateConfig) -> list[Setting]:
    """List the runs of the model under test; the longest greedy thinking first, to be reused."""
    wait = config.extend_with
    none = [Setting(method=EXTENDS, max=config.max, extend_with=wait)]
    budgets = [Setting(method=BUDGET, max=maximum) for maximum in sorted(config.budgets)[::-1]]
    arms = [
        Setting(method=EXTENDS, max=config.max, extends=extends, extend_with=string)
        for string in (wait, *config.control_arms)
        for extends in sorted(config.extends)
        if extends
    ]
    return none + budgets + arms + _sampled(config)


def direct() -> Setting:
    """Answer at once: thinking is cut before its first token."""
    return Setting(method=DIRECT, max=0)


def _sampled(config: EvaluateConfig) -> list[Setting]:
    if not config.votes:
        return []
    count, heat = max(config.votes), config.temperature
    return [Setting(method=SAMPLES, max=config.max, num_samples=count, temperature=heat)]
