"""From graded samples to report.json: runs, paired comparisons, the paper's metrics, plain words.

Pure. Every accuracy is in percent with its 95 % bootstrap interval over questions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from s1_core import metrics
from s1_serve.evaluate.config import EvaluateConfig
from s1_serve.evaluate.samples import Sample, audit
from s1_serve.evaluate.settings import BUDGET, DIRECT, EXTENDS, SAMPLES, Setting

Run = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """A setting and its graded samples, those of one question next to each other."""

    setting: Setting
    samples: Sequence[Sample]

    @property
    def correct(self) -> list[bool]:
        return [sample.is_correct for sample in self.samples]


def runs(measured: Sequence[Measured], benchmark: str, config: EvaluateConfig) -> list[Run]:
    """Give one row for each run; the samples become one row for each size of vote."""
    rows = []
    for one in sorted(measured, key=_place):
        sizes = sorted(config.votes) if one.setting.method == SAMPLES else [1]
        rows += [_run(one, size, benchmark, config.seed) for size in sizes]
    return rows


def comparisons(measured: Sequence[Measured], wait: str, seed: int) -> list[dict[str, Any]]:
    """Compare every run with extends to the one without, question by question.

    Control arms are also compared to the string under test at the same count: is it the string?
    """
    extended = [one for one in measured if one.setting.method == EXTENDS]
    none = next(one for one in extended if not one.setting.extends)
    tested = {one.setting.extends: one for one in extended if one.setting.extend_with == wait}
    rows = []
    for one in extended:
        setting = one.setting
        if setting.extends:
            against = None if setting.extend_with == wait else tested[setting.extends]
            rows.append(_compared(one, none, seed) | {"against_test_string": None})
            if against:
                gap = metrics.paired_bootstrap(against.correct, one.correct, seed=seed)
                rows[-1]["against_test_string"] = asdict(gap)
    return rows


def scores(rows: Sequence[Run], wait: str) -> dict[str, float | None]:
    """Give Control over all runs with a limit, Scaling over the budgets, and Performance.

    Budget forcing is judged by its budgets and the extend string `wait`, not by control arms.

    Runs of equal length say nothing of a slope; the longest budgets of a short thinker are one.
    """
    greedy = [
        row
        for row in rows
        if row["method"] == BUDGET
        or (row["method"] == EXTENDS and row["extend_with"] in (None, wait))
    ]
    limited = [row for row in greedy if row["max"] is not None]
    budgets = [row for row in rows if row["method"] == BUDGET]
    points = sorted({(row["mean_thinking_tokens"], row["accuracy"]) for row in budgets})
    means = [row["mean_thinking_tokens"] for row in limited]
    return {
        "control": metrics.control(means, [row["max"] for row in limited]) if limited else None,
        "scaling": metrics.scaling(points),
        "performance": metrics.performance(
            [(row["mean_thinking_tokens"], row["accuracy"]) for row in greedy]
        ),
    }


def statements(rows: Sequence[Run], compared: Sequence[Mapping[str, Any]], wait: str) -> list[str]:
    """Say in words what the figures show, a fall as a fall."""
    budgets = sorted((row for row in rows if row["method"] == BUDGET), key=lambda row: row["max"])
    lines = [_on_budgets(budgets)] if len(budgets) > 1 else []
    lines += [_on_extend(row) for row in compared if row["extend_with"] == wait]
    lines += _on_controls(compared, wait)
    votes = [row for row in rows if row["method"].startswith("majority@")]
    return lines + ([_on_votes(votes, rows)] if votes else [])


def training_statements(facts: Mapping[str, Any]) -> list[str]:
    """Repeat what the training data says of its traces: planted slips, and its own note."""
    rate = facts["slip_rate"]
    known = "unknown" if rate is None else f"{100 * rate:.1f} %"
    lines = [f"Share of training traces with a planted slip: {known}."]
    return lines + ([facts["note"]] if facts["note"] else [])


def _place(one: Measured) -> tuple[int, int]:
    order = (DIRECT, BUDGET, EXTENDS, SAMPLES)
    setting = one.setting
    return order.index(setting.method), setting.max if setting.method == BUDGET else 0


def _run(one: Measured, votes: int, benchmark: str, seed: int) -> Run:
    setting, per = one.setting, one.setting.num_samples
    grouped = [one.samples[at : at + votes] for at in range(0, len(one.samples), per)]
    taken = [sample for group in grouped for sample in group]
    credits = [_credit(group) for group in grouped]
    lo, hi = metrics.interval(credits, seed=seed)
    thinking = fmean(sum(sample.thinking_tokens for sample in group) for group in grouped)
    maximum = None if setting.max == -1 else setting.max
    is_vote = setting.method == SAMPLES
    return {
        "benchmark": benchmark,
        "method": f"majority@{votes}" if is_vote else setting.method,
        "max": maximum,
        "min": 0,
        "extends": setting.extends,
        "extend_with": setting.extend_with if setting.extends else None,
        "seed": seed if is_vote else None,
        "num_questions": len(grouped),
        "samples_per_question": votes,
        "accuracy": 100.0 * fmean(credits),
        "interval": [lo, hi],
        "mean_thinking_tokens": thinking,
        "control_ok": maximum is None or thinking <= maximum * votes,
        "extraction": audit(taken),
        "mean_total_tokens": fmean(sum(s.output_tokens for s in group) for group in grouped),
        "mean_used_extends": fmean(sample.used_extends for sample in taken),
        "ends": {end: sum(s.end == end for s in taken) for end in ("natural", "budget", "length")},
    }


def _credit(group: Sequence[Sample]) -> float:
    if len(group) == 1:
        return float(group[0].is_correct)
    right = {sample.extracted: sample.is_correct for sample in group}
    return metrics.vote_credit([sample.extracted for sample in group], lambda a: right[a])


def _compared(one: Measured, none: Measured, seed: int) -> dict[str, Any]:
    difference = metrics.paired_bootstrap(one.correct, none.correct, seed=seed)
    to_right, to_wrong = metrics.flips(none.correct, one.correct)
    verdict = "better" if difference.lo > 0 else "worse" if difference.hi < 0 else "unclear"
    return {
        "extend_with": one.setting.extend_with,
        "extends": one.setting.extends,
        "accuracy": 100.0 * fmean(one.correct),
        "difference": asdict(difference),
        "verdict": verdict,
        "wrong_to_right": to_right,
        "right_to_wrong": to_wrong,
        "mean_used_extends": fmean(sample.used_extends for sample in one.samples),
        "mean_thinking_tokens": fmean(sample.thinking_tokens for sample in one.samples),
    }


def _on_budgets(budgets: Sequence[Run]) -> str:
    first, last = budgets[0], max(budgets, key=lambda row: row["accuracy"])
    line = (
        f"Accuracy is {first['accuracy']:.1f} % at a maximum of {first['max']} thinking tokens and "
        f"at most {last['accuracy']:.1f} %, reached at {last['max']}."
    )
    falls = [
        f"{before['max']} to {after['max']} ({after['accuracy'] - before['accuracy']:+.1f} points)"
        for before, after in pairwise(budgets)
        if after["accuracy"] < before["accuracy"] and not math.isclose(*_both(before, after))
    ]
    return line + (f" It falls from {', from '.join(falls)}." if falls else " It never falls.")


def _on_controls(compared: Sequence[Mapping[str, Any]], wait: str) -> list[str]:
    """Say, where the string under test does best, what each control does at the same count."""
    tested = [row for row in compared if row["extend_with"] == wait]
    best = max(tested, key=lambda row: row["accuracy"], default={"extends": None})["extends"]
    return [
        f"{_arm(row['extend_with'])} x {best}: {_gain(row)}. {_arm(wait)} less this: "
        f"{_shown(row['against_test_string'])}."
        for row in compared
        if row["extend_with"] != wait and row["extends"] == best
    ]


def _on_votes(votes: Sequence[Run], rows: Sequence[Run]) -> str:
    vote = votes[-1]
    best = max(
        (row for row in rows if row["method"] in (BUDGET, EXTENDS)),
        key=lambda row: (row["accuracy"], -row["mean_total_tokens"]),
    )
    return (
        f"A majority of {vote['samples_per_question']} samples: {vote['accuracy']:.1f} % for "
        f"{vote['mean_total_tokens']:.0f} tokens a question; the best single trace: "
        f"{best['accuracy']:.1f} % for {best['mean_total_tokens']:.0f}."
    )


def _both(before: Run, after: Run) -> tuple[float, float]:
    return before["accuracy"], after["accuracy"]


def _on_extend(row: Mapping[str, Any]) -> str:
    if not row["mean_used_extends"]:
        return (
            f"{_arm(row['extend_with'])} x {row['extends']} was never used: no answer tried to "
            "end its thinking before the maximum."
        )
    return (
        f"{_arm(row['extend_with'])} x {row['extends']}: {_gain(row)}; "
        f"{row['wrong_to_right']} wrong answers became right, "
        f"{row['right_to_wrong']} right ones wrong."
    )


def _gain(row: Mapping[str, Any]) -> str:
    difference, verdict = row["difference"], row["verdict"]
    words = {
        "better": "a gain",
        "worse": "a loss",
        "unclear": "not distinguishable from no extend",
    }
    return f"{_shown(difference)}, {words[verdict]}"


def _shown(difference: Mapping[str, float]) -> str:
    mean, lo, hi = (difference[name] for name in ("mean", "lo", "hi"))
    return f"{mean:+.1f} points [{lo:+.1f}, {hi:+.1f}]"


def _arm(string: str) -> str:
    return f'"{string}"' if string else "The empty string"


def line_of_direct_answering(rows: Sequence[Run]) -> Run | None:
    """Find the run to draw as a line: the model before training, else thinking cut at once."""
    direct = [row for row in rows if row["method"] == DIRECT]
    cut = [row for row in rows if row["method"] == BUDGET and row["max"] == 0]
    return next(iter(direct + cut), None)
