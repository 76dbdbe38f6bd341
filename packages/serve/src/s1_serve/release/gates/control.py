"""Was every budget kept? Each sample's, and the paper's Control of the runs (equation 1)."""

from __future__ import annotations

from statistics import fmean

from s1_core import metrics
from s1_serve.evaluate.config import BUDGET
from s1_serve.evaluate.samples import Sample, is_enforced
from s1_serve.release.gates.evidence import Evidence, Judgement, Lacking, Measured, flat, judged
from s1_serve.release.rules import Rules
from s1_serve.release.verdicts import FAIL, PASS, Row


def row(rules: Rules, benchmark: str, candidate: Evidence) -> Row:
    """Look at every run of a benchmark; one whose tokens nobody counted leaves it open."""
    wanted = f"every budget kept, Control {rules.control:g} %"
    return judged(
        f"control: {benchmark}", wanted, lambda: _judge(rules, benchmark, candidate.measured)
    )


def _judge(rules: Rules, benchmark: str, measured: Measured) -> Judgement:
    runs = {run: flat(groups) for (name, run), groups in measured.runs.items() if name == benchmark}
    kept = {run: is_enforced(samples) for run, samples in runs.items()}
    if broken := [run for run, is_kept in kept.items() if is_kept is False]:
        return FAIL, f"not kept: {', '.join(broken)}"
    if open_ := [run for run, is_kept in kept.items() if is_kept is None]:
        raise Lacking(f"not checked: {', '.join(open_)}: the endpoint does not count thinking")
    forced = [samples for samples in runs.values() if samples[0].method == BUDGET]
    if not forced:
        raise Lacking(f"not checked: no run of {benchmark} has a budget")
    found = _control(forced)
    said = f"{len(runs)} runs kept theirs, Control {found:g} % of {len(forced)}"
    return (PASS if found >= rules.control else FAIL), said


def _control(runs: list[list[Sample]]) -> float:
    """Give the percentage of runs whose mean thinking is within their maximum."""
    means = [fmean(sample.thinking_tokens or 0 for sample in run) for run in runs]
    return metrics.control(means, [float(run[0].max or 0) for run in runs])
