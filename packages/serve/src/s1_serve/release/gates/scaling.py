"""Does more thinking still help as much? The paper's Scaling (equation 2), one-sided.

Questions are drawn anew with all their runs, so accuracies and lengths move together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from s1_core import metrics
from s1_serve.evaluate.samples import Sample
from s1_serve.release.gates import bounds
from s1_serve.release.gates.accuracy import check_questions
from s1_serve.release.gates.evidence import Evidence, Groups, Judgement, Lacking, judged
from s1_serve.release.rules import Rules, Scaling
from s1_serve.release.verdicts import Row

Table = NDArray[np.float64]
"""a row a question: what each run earned, in percent, then how long each thought, in tokens"""


def floor(rules: Rules, rule: Scaling, candidate: Evidence) -> Row:
    """Hold the slope against what every release has to be above."""

    def judge() -> Judgement:
        table = _table(_runs(rules, rule, candidate))
        worst, best = (_imagined(table, sign) for sign in (-1, 1))
        found = metrics.one_sided(table, worst, best, _slopes, rules.resampling)
        return bounds.above(found, rule.floor, is_signed=True)

    return judged(f"scaling floor: {_name(rule)}", f"above {rule.floor:+g} a doubling", judge)


def against(rules: Rules, rule: Scaling, candidate: Evidence, production: Evidence) -> Row:
    """Hold the slope of the candidate less that of production against the margin."""

    def judge() -> Judgement:
        after, before = (_runs(rules, rule, each) for each in (candidate, production))
        check_questions(after[0], before[0])
        one, other = _table(after), _table(before)
        width = one.shape[1]
        worst = np.concatenate([_imagined(one, -1), _imagined(other, 1)])
        best = np.concatenate([_imagined(one, 1), _imagined(other, -1)])
        found = metrics.one_sided(
            np.hstack([one, other]),
            worst,
            best,
            lambda means: _slopes(means[:, :width]) - _slopes(means[:, width:]),
            rules.resampling,
        )
        return bounds.above(found, -rule.margin, is_signed=True)

    return judged(f"scaling: {_name(rule)}", f"above {-rule.margin:+g} a doubling", judge)


def _name(rule: Scaling) -> str:
    return f"{'+'.join(rule.benchmarks)}, {len(rule.runs)} runs"


def _runs(rules: Rules, rule: Scaling, one: Evidence) -> list[Groups]:
    return [one.measured.asked(rules, rule.benchmarks, run, 1) for run in rule.runs]


def _table(runs: Sequence[Groups]) -> Table:
    """Lay the runs side by side; a run that does not count its thinking has no place in a slope."""
    questions = sorted(runs[0])
    rows = [
        [100.0 * fmean(s.is_correct for s in run[q]) for run in runs]
        + [_thinking(run[q]) for run in runs]
        for q in questions
    ]
    table = np.asarray(rows, dtype=np.float64)
    if math.isnan(_slopes(table.mean(0)[None])[0]):
        raise Lacking("no two of these runs think for different lengths: there is no slope")
    return table


def _thinking(samples: Sequence[Sample]) -> float:
    counts = [sample.thinking_tokens for sample in samples]
    if None in counts:
        raise Lacking("thinking was not counted")
    return fmean(count for count in counts if count is not None)


def _slopes(means: Table) -> NDArray[np.float64]:
    """Give the slope of each row of means, nan where it has none."""
    num = means.shape[1] // 2
    found = [
        metrics.scaling(list(zip(row[num:], row[:num], strict=True))) for row in means.tolist()
    ]
    return np.asarray([math.nan if one is None else one for one in found])


def _imagined(table: Table, sign: int) -> NDArray[np.float64]:
    """Give the question that would lower, or raise, the slope most: right only where that does.

    A slope is linear in the accuracies; its lengths are the means, which it does not move.
    """
    num = table.shape[1] // 2
    lengths = table.mean(0)[num:]
    pull = [_slopes(np.concatenate([unit, lengths])[None])[0] for unit in np.eye(num)]
    return np.concatenate([np.where(sign * np.asarray(pull) > 0, 100.0, 0.0), lengths])
