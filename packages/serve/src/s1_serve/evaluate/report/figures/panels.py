"""The figures of a report: accuracy against thinking, controls, sequential/parallel, extends.

Every point carries its 95 % interval; a horizontal line is direct answering.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

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
    TOKENS,
)
from s1_serve.evaluate.report.figures import canvas, strategies
from s1_serve.evaluate.report.figures.canvas import GREY, Look, Panel
from s1_serve.evaluate.report.figures.labels import Names, Point
from s1_serve.evaluate.report.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PURPLE = "#1f5fa8", "#c2571a", "#2d7d46", "#7a4fa3"
ARM_LOOKS = ((ORANGE, "s"), (GREEN, "o"), (PURPLE, "D"), ("#9a7b12", "^"), (BLUE, "v"))
ASKED = Look("in the prompt", GREEN, "^")
ASKED_AND_FORCED = Look("in the prompt, and forced", PURPLE, "D", is_forced=True)
CONTROLS = {
    "tokens": {TOKENS: ASKED, TOKENS + FORCED: ASKED_AND_FORCED},
    "steps": {STEPS: ASKED, STEPS + FORCED: ASKED_AND_FORCED},
    "short or long": {CLASSES: ASKED, CLASSES + FORCED: ASKED_AND_FORCED},
    "rejection": {REJECTION: Look("rejection (not taken: wrong)", "#b3261e", "s")},
}
THINKING, TOTAL = "mean_thinking_tokens", "mean_total_tokens"
AXES = {
    THINKING: "mean thinking tokens per question (log2)",
    TOTAL: "mean output tokens per question, all samples (log2)",
}
TITLES = {
    "thinking": "Accuracy against thinking",
    "controls": "Other ways to control thinking",
    "parallel": "Sequential against parallel",
    "strategies": "What strategies cost",
    "extends": "What an extend changes",
}
"""of the figures, by the name of their files"""


def draw(report: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw every figure that the runs allow, each as NAME.svg and NAME.png."""
    scored = [row for row in report["runs"] if row["accuracy"] is not None]
    names = list(dict.fromkeys(row["benchmark"] for row in report["runs"]))
    by_name = {name: [row for row in scored if row["benchmark"] == name] for name in names}
    wait = report["extend_with"]
    found = {
        "thinking": canvas.drawn([Panel(n, partial(_thinking, by_name[n], wait)) for n in names])
    }
    controls = [panel for name in names for panel in _controls(name, by_name[name], wait)]
    if controls:
        found["controls"] = canvas.drawn(controls, columns=min(2, len(controls)))
    if any(row["method"] == MAJORITY for row in scored):
        panels = [Panel(name, partial(_parallel, by_name[name], wait)) for name in names]
        found["parallel"] = canvas.drawn(panels)
    costs = strategies.panels(report, scored, names)
    if costs:
        found["strategies"] = canvas.drawn(costs)
    if report["extends"]:
        found["extends"] = canvas.drawn(_extends(report["extends"]))
    return {f"{name}.{form}": data for name, forms in found.items() for form, data in forms.items()}


def line_of_direct_answering(rows: Sequence[Run]) -> Run | None:
    """Find the run to draw as a line: the model before training, else thinking cut at once."""
    direct = [row for row in rows if row["method"] == DIRECT]
    cut = [row for row in rows if row["method"] == BUDGET and row["max"] == 0]
    return next(iter(direct + cut), None)


def _thinking(rows: Sequence[Run], wait: str, axes: Axes) -> list[Names]:
    """Draw budgets, extends beyond the natural end, and thinking left alone."""
    budgets, extends = _forced(rows, wait)
    alone = [row for row in rows if row["method"] == NONE]
    canvas.curve(axes, budgets, THINKING, Look("maximum (budget)", BLUE, "o"))
    canvas.curve(axes, extends, THINKING, Look(f'extends by "{wait}"', ORANGE, "s"))
    canvas.curve(axes, alone, THINKING, Look("no forcing", "#1c1c1c", "*"))
    drawn = [*budgets, *extends, *alone]
    _finish(axes, drawn, rows, THINKING)
    return [
        Names(_points(budgets, THINKING, "max"), BLUE),
        Names(_points(extends, THINKING, "extends"), ORANGE, is_below=False, prefix="×"),
    ]


def _controls(name: str, rows: Sequence[Run], wait: str) -> list[Panel]:
    """Give each other way to control thinking a panel."""
    methods = {row["method"] for row in rows}
    return [
        Panel(f"{name}: {kind}", partial(_controlled, rows, wait, looks))
        for kind, looks in CONTROLS.items()
        if methods & {*looks}
    ]


def _controlled(
    rows: Sequence[Run], wait: str, looks: Mapping[str, Look], axes: Axes
) -> list[Names]:
    """Draw one way to control thinking; budget forcing passes behind it in grey."""
    budgets, extends = _forced(rows, wait)
    behind = budgets or extends
    name = "maximum (budget)" if budgets else f'extends by "{wait}"'
    canvas.curve(axes, behind, THINKING, Look(name, "#a5a5a5", "."))
    own = [row for row in rows if row["method"] in looks]
    names = []
    for method, look in looks.items():
        members = [row for row in own if row["method"] == method]
        canvas.curve(axes, members, THINKING, look)
        names.append(Names(_points(members, THINKING, _asked(method)), look.colour))
    canvas.token_axis(axes, _positions(own, THINKING), "mean thinking tokens (log2)", 6)
    low, high = axes.get_xlim()
    shown = own + [row for row in behind if low <= (row[THINKING] or 0) <= high]
    canvas.accuracy_axis(axes, _bounds(shown, THINKING))
    grey = _points(behind, THINKING, "max" if budgets else "extends")
    return [*names, Names(grey, GREY, is_below=False, prefix="" if budgets else "×")]


def _parallel(rows: Sequence[Run], wait: str, axes: Axes) -> list[Names]:
    """Draw sequential against parallel thinking by all tokens that one answer costs."""
    budgets, extends = _forced(rows, wait)
    votes = [row for row in rows if row["method"] == MAJORITY]
    canvas.curve(axes, budgets, TOTAL, Look("sequential: maximum", BLUE, "o"))
    canvas.curve(axes, extends, TOTAL, Look(f'sequential: "{wait}"', ORANGE, "s"))
    canvas.curve(axes, votes, TOTAL, Look("parallel: majority of k", GREEN, "D"))
    drawn = [*budgets, *extends, *votes]
    _finish(axes, drawn, rows, TOTAL)
    return [Names(_points(votes, TOTAL, "samples_per_question"), GREEN, prefix="k=")]


def _extends(compared: Sequence[Run]) -> list[Panel]:
    """Draw what each extend changes against none, for the string under test and the others."""
    strings = list(dict.fromkeys(row["extend_with"] for row in compared))
    counts = sorted({row["extends"] for row in compared})

    def panel(name: str, axes: Axes) -> None:
        for at, string in enumerate(strings):
            arm = [r for r in compared if (r["benchmark"], r["extend_with"]) == (name, string)]
            shift = (at - (len(strings) - 1) / 2) * 0.8 / max(len(strings), 3)
            places = [counts.index(row["extends"]) + shift for row in arm]
            label = f'"{string}"' if string else "no text (empty string)"
            look = Look(label, *ARM_LOOKS[at % len(ARM_LOOKS)])
            canvas.changes(axes, places, [row["difference"] for row in arm], look)
        axes.axhline(0, color=GREY, lw=1)
        _change_axes(axes, counts)

    names = dict.fromkeys(row["benchmark"] for row in compared)
    return [Panel(name, partial(panel, name)) for name in names]


def _change_axes(axes: Axes, counts: Sequence[int]) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -canvas.SMALLEST_RANGE / 2), max(high, canvas.SMALLEST_RANGE / 2))
    axes.set_xlim(-0.6, len(counts) - 0.4)
    axes.set_xticks(range(len(counts)), [str(count) for count in counts])
    axes.set_xlabel("forced extends")
    axes.set_ylabel("change against none (points)")


def _forced(rows: Sequence[Run], wait: str) -> tuple[list[Run], list[Run]]:
    """Give the budgets, and the extends by the string under test."""
    extends = [r for r in rows if r["method"] == EXTENDS and r["extend_with"] in (None, wait)]
    return [row for row in rows if row["method"] == BUDGET], extends


def _finish(axes: Axes, drawn: Sequence[Run], rows: Sequence[Run], x: str) -> None:
    """Draw the line of direct answering and both axes."""
    direct = line_of_direct_answering(rows)
    bounds = _bounds(drawn, x)
    if direct:
        whose = "before fine-tuning" if direct["method"] == DIRECT else "maximum 0"
        axes.axhline(direct["accuracy"], color=GREY, ls=":", lw=1.4, label=f"direct ({whose})")
        bounds.append(direct["accuracy"])
    canvas.token_axis(axes, _positions(drawn, x), AXES[x])
    canvas.accuracy_axis(axes, bounds)
    if not bounds:
        canvas.say_nothing(axes)


def _positions(rows: Sequence[Run], x: str) -> list[float]:
    return [row[x] for row in rows if row[x]]


def _bounds(rows: Sequence[Run], x: str) -> list[float]:
    return [end for row in rows if row[x] for end in row["interval"]]


def _points(rows: Sequence[Run], x: str, setting: str) -> list[Point]:
    """Give the points that have a place, named by one of their settings."""
    return [
        Point(row[x], row["accuracy"], row["interval"], str(row[setting])) for row in rows if row[x]
    ]


def _asked(method: str) -> str:
    """Say which setting tells the runs of another way to control thinking apart."""
    if method == REJECTION:
        return "max"
    return "control" if method.removesuffix(FORCED) == CLASSES else "limit"
