"""From a one-sided bound to a verdict: shown, shown not to be, or neither."""

from __future__ import annotations

from s1_core.metrics import Bounds
from s1_serve.release.gates.evidence import Judgement
from s1_serve.release.verdicts import FAIL, INCONCLUSIVE, PASS


def above(found: Bounds, threshold: float, *, is_signed: bool) -> Judgement:
    """Pass where even the lower bound is above, fail where even the upper one is below."""
    form = "{:+.2f}" if is_signed else "{:.2f}"
    mean, lo, hi = (form.format(value) for value in (found.mean, found.lo, found.hi))
    said = f"{mean} (bounds {lo}, {hi})"
    if found.lo > threshold:
        return PASS, said
    return (FAIL if found.hi < threshold else INCONCLUSIVE), said
