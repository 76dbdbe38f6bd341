"""From graded samples to the rows of a report: one run, or one size of vote, on one benchmark.

Pure. Accuracies are in percent with their 95 % bootstrap interval over questions. A run that did
not keep its budget, or cannot be checked, has a row without either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from s1_core import metrics
from s1_serve.evaluate.config import EXTENDS, MAJORITY, NONE, REJECTION, EvaluateConfig
from s1_serve.evaluate.samples import Measured, Sample, audit
from s1_serve.evaluate.settings import direct, settings
from s1_serve.evaluate.votes import credit

Run = dict[str, Any]
Groups = list[Sequence[Sample]]
ENDS = ("natural", "budget", "length")


@dataclass(frozen=True)
class Results:
    """All that was measured on one benchmark, in the order of the report."""

    benchmark: str
    measured: Sequence[Measured]
    rows: Sequence[Run]

    @property
    def scored(self) -> list[Measured]:
        """The runs that kept their budget: no other one is compared."""
        return [one for one in self.measured if one.is_enforced]

    def by(self, method: str) -> list[Measured]:
        """List the scored runs of a method."""
        return [one for one in self.scored if one.setting.method == method]

    def extended(self, string: str, extends: int) -> Measured | None:
        """Find a scored run by its extends; without any, every string is the same run."""
        found = (one for one in self.by(EXTENDS) if one.setting.extends == extends)
        return next((m for m in found if not extends or m.setting.extend_with == string), None)

    def unforced(self) -> Measured | None:
        """Find the run to which forcing is compared: `none`, else the one of 0 extends."""
        return next(iter(self.by(NONE)), None) or self.extended("", 0)

    def row(self, one: Measured) -> Run:
        """Give the row of a run that is no vote."""
        return next(row for row in self.rows if row["run"] == one.setting.label)


def results(measured: Sequence[Measured], config: EvaluateConfig) -> list[Results]:
    """Part what was measured by benchmark; each has its runs in the order of the settings."""
    labels = [setting.label for setting in (direct(), *settings(config))]
    names = dict.fromkeys(one.benchmark for one in measured)
    parted = {name: [one for one in measured if one.benchmark == name] for name in names}
    for ones in parted.values():
        ones.sort(key=lambda one: labels.index(one.setting.label))
    return [
        Results(name, ones, [row for one in ones for row in _rows(one, config)])
        for name, ones in parted.items()
    ]


def credits(one: Measured, size: int, tie: str) -> list[float]:
    """Give what each question earns: its answer, or a vote over its first samples."""
    return [credit(group, tie) for group in drawn(one, size)]


def drawn(one: Measured, size: int) -> Groups:
    """Give the first samples of each question."""
    per = one.setting.num_samples
    return [one.samples[at : at + size] for at in range(0, len(one.samples), per)]


def takes_all(rows: Sequence[Run]) -> bool:
    """Say whether no answer of these runs counts as wrong because it was not taken."""
    return all(row["accepted"] in (None, 1.0) for row in rows)


def label(one: Measured, size: int = 1) -> str:
    """Name a row: a run by its setting, a vote by its size."""
    return f"majority@{size}" if one.setting.method == MAJORITY else one.setting.label


def not_enforced(one: Measured) -> str:
    """Say why a run has no score."""
    if one.is_enforced is None:
        reason = "the endpoint does not count thinking tokens, so its budget cannot be checked"
        return f"{one.setting.label}: {reason}: not scored."
    over = [s for s in one.samples if s.max is not None and (s.thinking_tokens or 0) > s.max]
    if not all(sample.is_kept for sample in one.samples):
        found = "the server says that another one was in force"
    elif over:
        worst = max(over, key=lambda s: (s.thinking_tokens or 0) - (s.max or 0))
        found = f"thought up to {worst.thinking_tokens} tokens where {worst.max} were allowed"
    else:
        ended = [sample for sample in one.samples if sample.end != "length"]
        worst = min(ended, key=lambda s: (s.thinking_tokens or 0) - s.min)
        found = f"thought {worst.thinking_tokens} tokens where {worst.min} were the least"
    return f"{one.setting.label}: budget not enforced ({found}): not scored."


def _rows(one: Measured, config: EvaluateConfig) -> list[Run]:
    sizes = sorted(config.votes) if one.setting.method == MAJORITY else [1]
    return [_row(one, size, config) for size in sizes]


def _row(one: Measured, size: int, config: EvaluateConfig) -> Run:
    setting, groups = one.setting, drawn(one, size)
    taken = [sample for group in groups for sample in group]
    return {
        "benchmark": one.benchmark,
        "run": label(one, size),
        "method": setting.method,
        "max": None if setting.max == -1 else setting.max,
        "min": setting.min,
        "extends": setting.extends,
        "extend_with": setting.extend_with if setting.extends else None,
        "control": setting.control or None,
        "limit": setting.limit,
        "seed": config.seed if setting.temperature else None,
        "num_questions": len(groups),
        "samples_per_question": size,
        "strategy": setting.strategy or None,
        **_accuracy(one, size, config),
        "enforced": one.is_enforced,
        **_coverage(one, size),
        "extraction": audit(taken),
        **_costs(groups),
        "mean_used_extends": fmean(sample.used_extends for sample in taken),
        "mean_tries": fmean(sample.tries for sample in taken),
        **_acceptance(one),
        "degraded": sum(sample.is_degraded for sample in taken),
        "ends": {end: sum(sample.end == end for sample in taken) for end in ENDS},
    }


def _accuracy(one: Measured, size: int, config: EvaluateConfig) -> Run:
    if not one.is_enforced:
        return {"accuracy": None, "interval": None}
    earned = credits(one, size, config.tie)
    bounds = metrics.interval(earned, seed=config.seed)
    return {"accuracy": 100.0 * fmean(earned), "interval": list(bounds)}


def _coverage(one: Measured, size: int) -> Run:
    """Give pass@k over all samples, without bias, and whether any of the first k is right."""
    if one.setting.method != MAJORITY or not one.is_enforced:
        return {"pass_at_k": None, "coverage": None}
    num_samples = one.setting.num_samples
    right = [[s.is_correct for s in group] for group in drawn(one, num_samples)]
    passed = [metrics.pass_at_k(num_samples, sum(each), size) for each in right]
    covered = metrics.coverage([each[:size] for each in right])
    return {"pass_at_k": 100.0 * fmean(passed), "coverage": covered}


def _costs(groups: Groups) -> Run:
    """Give mean tokens a question: of all samples together, and of the longest one."""
    thinking = [[_thinking(sample) for sample in group] for group in groups]
    counted = [[n for n in each if n is not None] for each in thinking]
    totals = [[sample.total_tokens for sample in group] for group in groups]
    return {
        "mean_thinking_tokens": fmean(map(sum, counted)) if counted == thinking else None,
        "mean_total_tokens": fmean(map(sum, totals)),
        "mean_sequential_tokens": fmean(max(s.sequential_tokens for s in each) for each in groups),
        "mean_aborted_tokens": fmean(sum(s.aborted_tokens for s in each) for each in groups),
        "mean_verifier_tokens": fmean(sum(s.verifier_tokens for s in each) for each in groups),
        "mean_samples": fmean(sum(s.num_started for s in each) for each in groups),
    }


def _thinking(sample: Sample) -> int | None:
    """Give the thinking of a sample; a strategy keeps only that of the answer it chose."""
    return None if sample.strategy else sample.thinking_tokens


def _acceptance(one: Measured) -> Run:
    """Give the share of answers that rejection sampling took, and their accuracy in percent."""
    if one.setting.method != REJECTION:
        return {"accepted": None, "accuracy_of_taken": None}
    taken = [sample.is_correct for sample in one.samples if sample.end == "natural"]
    accuracy = 100.0 * fmean(taken) if taken and one.is_enforced else None
    return {"accepted": len(taken) / len(one.samples), "accuracy_of_taken": accuracy}
