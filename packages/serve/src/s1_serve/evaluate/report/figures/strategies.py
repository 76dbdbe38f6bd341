"""Strategies by what they cost: accuracy against all tokens, and against those one after another.

Every strategy has a number, the one of its row in the table; votes of all sizes pass behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from s1_serve.evaluate import specs
from s1_serve.evaluate.config import MAJORITY
from s1_serve.evaluate.report.figures import canvas
from s1_serve.evaluate.report.figures.canvas import GREY, Look, Panel
from s1_serve.evaluate.report.figures.labels import Names, Point
from s1_serve.evaluate.report.runs import Run
from s1_serve.strategies import catalogue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES = {
    "mean_total_tokens": "all tokens a question (log2)",
    "mean_sequential_tokens": "tokens one after another (log2)",
}
LOOKS = {
    "parallel": ("#1f5fa8", "o"),
    "refine": ("#7a4fa3", "D"),
    "verified": ("#c2571a", "s"),
    "search": ("#2d7d46", "^"),
}
"""by the folder of a strategy: what kind it is"""
MOST_LETTERS = 34


def panels(report: Mapping[str, Any], scored: Sequence[Run], names: Sequence[str]) -> list[Panel]:
    """Give two panels for each benchmark on which strategies were run."""
    found = []
    for name in names:
        rows = [row for row in report["strategies"] if row["benchmark"] == name]
        votes = [r for r in scored if (r["benchmark"], r["method"]) == (name, MAJORITY)]
        if rows:
            found += [Panel(name, partial(_panel, rows, votes, x)) for x in AXES]
    return found


def _panel(rows: Sequence[Run], votes: Sequence[Run], x: str, axes: Axes) -> list[Names]:
    canvas.curve(axes, votes, x, Look("majority of k", "#a5a5a5", "."))
    points: dict[str, list[Point]] = {}
    for number, row in enumerate(rows, 1):
        colour, marker = LOOKS.get(_section(row["run"]), (GREY, "o"))
        canvas.curve(axes, [row], x, Look(_label(number, row["run"]), colour, marker))
        if row[x]:
            point = Point(row[x], row["accuracy"], row["interval"], str(number))
            points.setdefault(colour, []).append(point)
    shown = [row for row in (*rows, *votes) if row[x]]
    canvas.token_axis(axes, [row[x] for row in shown], AXES[x], 6)
    canvas.accuracy_axis(axes, [end for row in shown for end in row["interval"]])
    return [Names(own, colour) for colour, own in points.items()]


def _label(number: int, run: str) -> str:
    """Name a strategy in the legend, which has room for so much; the table has the whole name."""
    return f"{number}. {run if len(run) <= MOST_LETTERS else run[: MOST_LETTERS - 1] + '…'}"


def _section(run: str) -> str:
    policy = catalogue.POLICIES.get(specs.sized(run)[0])
    return policy.__module__.split(".")[2] if policy else ""
