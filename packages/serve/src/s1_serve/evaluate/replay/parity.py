"""Methods at equal tokens as a picture: against the majority vote, and by tokens one after another.

On the left points are differences, paired over questions; on the right accuracies, because there
the majority vote cannot spend what is less than one trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from s1_serve.evaluate.replay.equal import AGAINST, SEQUENTIAL, TOTAL
from s1_serve.evaluate.replay.figure import SIZE
from s1_serve.evaluate.report.figures import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
LOOKS = {
    AGAINST: ("#1c1c1c", "o"),
    "shortest-1": ("#1f5fa8", "v"),
    "shortest-3": ("#5b9bd5", "v"),
    "longest-1": ("#c2571a", "^"),
    "longest-3": ("#e0a070", "^"),
    "weighted": ("#b03060", "P"),
    "likelihood": ("#d98aa5", "X"),
    "adaptive-1": ("#7dbb8f", "s"),
    "adaptive": ("#2d7d46", "s"),
    "auto (low)": ("#7a4fa3", "D"),
    "auto (high)": ("#b79bd0", "D"),
}
SPREAD = {TOTAL: 0.045, SEQUENTIAL: 0.014}
"""doublings between methods of one budget, which stand beside each other"""
LOSING = "longest"
"""the range of the left panel is that of the others; what leaves it at the bottom falls on"""


def draw(rows: Sequence[Row]) -> dict[str, bytes]:
    """Draw a line of two panels for each benchmark, as "svg" and "png"."""
    import matplotlib

    with matplotlib.rc_context(canvas.SETTINGS):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        names = list(dict.fromkeys(row["benchmark"] for row in rows))
        found = {row["method"] for row in rows}
        methods = [method for method in LOOKS if method in found]
        figure = Figure(figsize=(SIZE[0], SIZE[1] * len(names)), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(names), 2, squeeze=False)
        for (left, right), name in zip(grid, names, strict=True):
            own = [row for row in rows if row["benchmark"] == name]
            canvas.start(left, f"{name}: less majority, at equal tokens")
            canvas.start(right, "accuracy at equal tokens one after another; 95 % intervals")
            _differences(left, [row for row in own if row["axis"] == TOTAL], methods)
            _accuracies(right, [row for row in own if row["axis"] == SEQUENTIAL], methods)
        named = [axes.get_legend_handles_labels() for axes in grid.flat]
        handles = {label: one for pair in named for one, label in zip(*pair, strict=True)}
        shown = [handles[method] for method in methods]
        figure.legend(shown, methods, loc="outside upper center", ncols=5, frameon=False)
        return canvas.saved(figure)


def _differences(axes: Axes, rows: Sequence[Row], methods: Sequence[str]) -> None:
    axes.axhline(0, color=LOOKS[AGAINST][0], lw=1.4, label=AGAINST)
    told = [
        dict(row) | {"at": gap["mean"], "ends": (gap["lo"], gap["hi"])}
        for row in rows
        if (gap := row["difference"])
    ]
    _curves(axes, told, methods, TOTAL)
    ends = [end for row in told if not row["method"].startswith(LOSING) for end in row["ends"]]
    low, high = min(ends, default=0), max(ends, default=0)
    pad = 0.06 * max(high - low, canvas.SMALLEST_RANGE)
    axes.set_ylim(min(low, -1.0) - pad, max(high, 1.0) + pad)
    axes.set_ylabel("points")
    _budget_axis(axes, rows, "all tokens, in mean traces (log2)")


def _accuracies(axes: Axes, rows: Sequence[Row], methods: Sequence[str]) -> None:
    told = [dict(row) | {"at": row["accuracy"], "ends": row["interval"]} for row in rows]
    _curves(axes, told, methods, SEQUENTIAL)
    axes.set_ylabel("accuracy (%)")
    _budget_axis(axes, rows, "tokens one after another, in mean traces (log2)")


def _curves(axes: Axes, rows: Sequence[Row], methods: Sequence[str], axis: str) -> None:
    for nth, method in enumerate(methods):
        own = [row for row in rows if row["method"] == method]
        if not own:
            continue
        colour, marker = LOOKS[method]
        shift = 2 ** (SPREAD[axis] * (nth - (len(methods) - 1) / 2))
        places = [row["traces"] * shift for row in own]
        axes.plot(
            places, [row["at"] for row in own], color=colour, marker=marker, ms=4.5, lw=1.2,
            label=method, alpha=0.9,
        )  # fmt: skip
        lows, highs = zip(*(row["ends"] for row in own), strict=True)
        axes.vlines(places, lows, highs, color=colour, lw=1.0, alpha=0.45)


def _budget_axis(axes: Axes, rows: Sequence[Row], label: str) -> None:
    """Give the budgets as ticks."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ticks = sorted({row["traces"] for row in rows})
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_xlabel(label)
