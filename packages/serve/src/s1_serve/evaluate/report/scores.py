"""The paper's Control, Scaling and Performance, for each method on each benchmark (Table 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from s1_core import metrics
from s1_core.metrics import Limit
from s1_serve.evaluate.config import (
    BUDGET,
    CLASSES,
    EXTENDS,
    FORCED,
    MAJORITY,
    NONE,
    REJECTION,
    STEPS,
    TOKENS,
)
from s1_serve.evaluate.report.runs import Run, takes_all

FAMILIES = {
    BUDGET: "budget forcing",
    TOKENS: "token-conditional",
    TOKENS + FORCED: "token-conditional + forcing",
    STEPS: "step-conditional",
    STEPS + FORCED: "step-conditional + forcing",
    CLASSES: "class-conditional",
    CLASSES + FORCED: "class-conditional + forcing",
    REJECTION: "rejection sampling",
}
STEP_TOKENS = 100
"""what the paper grants a step where it asks whether a run kept its limit"""


def with_control(rows: Sequence[Run]) -> list[Run]:
    """Say of each run of one benchmark whether its mean thinking kept its limit.

    None where there is no limit, or no count of tokens.
    """
    default = default_thinking(rows)
    return [row | {"control_ok": _is_kept(row, default)} for row in rows]


def scores(rows: Sequence[Run], wait: str) -> list[dict[str, Any]]:
    """Give each family of methods on one benchmark its row of Table 3.

    Budget forcing is its budgets together with the extends by the string `wait`, not by control
    arms; as in the paper, whose best point is an extend. Runs of equal thinking and accuracy are
    as many points. Runs without a score count nowhere; what no run defines is None, and so is a
    Scaling where answers were not taken: those count as wrong, and a larger limit has fewer.
    """
    default = default_thinking(rows)
    found = {name: [row for row in rows if _family(row, wait) == name] for name in FAMILIES}
    return [
        {"benchmark": rows[0]["benchmark"], "method": name, **_score(members, default)}
        for name, members in found.items()
        if members
    ]


def default_thinking(rows: Sequence[Run]) -> float | None:
    """Give the mean thinking where nothing is asked for: of `none`, else of 0 extends."""
    defaults = [row for row in rows if row["method"] == NONE] + [
        row for row in rows if row["method"] == EXTENDS and not row["extends"]
    ]
    scored = [row["mean_thinking_tokens"] for row in defaults if row["accuracy"] is not None]
    return next((mean for mean in scored if mean is not None), None)


def _score(members: Sequence[Run], default: float | None) -> dict[str, Any]:
    scored = [row for row in members if row["accuracy"] is not None]
    counted = [row for row in scored if row["mean_thinking_tokens"] is not None]
    sloped = counted if takes_all(scored) else []
    points = [(row["mean_thinking_tokens"], row["accuracy"]) for row in sloped]
    return {
        "control": _control(counted, default),
        "scaling": metrics.scaling(points),
        "scaling_per_1000_tokens": metrics.scaling_per_1000(points),
        "performance": max((row["accuracy"] for row in scored), default=None),
        "num_runs": len(scored),
    }


def _control(rows: Sequence[Run], default: float | None) -> float | None:
    pairs = [(row["mean_thinking_tokens"], _limit(row, default)) for row in rows]
    limited = [(mean, limit) for mean, limit in pairs if limit is not None]
    if not limited:
        return None
    return metrics.control([mean for mean, _ in limited], [limit for _, limit in limited])


def _is_kept(row: Run, default: float | None) -> bool | None:
    limit, mean = _limit(row, default), row["mean_thinking_tokens"]
    return None if limit is None or mean is None else metrics.control([mean], [limit]) == 100.0


def _limit(row: Run, default: float | None) -> Limit | None:
    """Give what the paper holds a run's mean thinking against (spec 5)."""
    method = row["method"].removesuffix(FORCED)
    if method == TOKENS:
        return float(row["limit"])
    if method == STEPS:
        return float(STEP_TOKENS * row["limit"])
    if method == CLASSES:
        return _class_limit(row["control"], default)
    return None if method == MAJORITY or row["max"] is None else float(row["max"])


def _class_limit(control: str, default: float | None) -> Limit | None:
    """Ask the short class for less than the default and the long one for more: never as much."""
    if default is None:
        return None
    if control == "short":
        return None, math.nextafter(default, -math.inf)
    return math.nextafter(default, math.inf), None


def _family(row: Run, wait: str) -> str | None:
    if row["method"] == EXTENDS:
        return BUDGET if row["extend_with"] in (None, wait) else None
    return row["method"] if row["method"] in FAMILIES else None
