"""The curves of a replay as a picture: accuracy against all tokens, and against sequential ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from s1_serve.evaluate.report.figures import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#1f5fa8", "#666666", "#c2571a", "#2d7d46", "#7a4fa3", "#9a7b12")
MARKERS = "ovsD^P"
SIZE = (11.5, 4.6)
"""inches of two panels"""
PANELS = (
    ("mean_total_tokens", "tokens of all k traces, mean a question (log2)"),
    ("mean_sequential_tokens", "tokens one after another, mean a question (log2)"),
)
MOST_TICKS = 7
Row = Mapping[str, Any]


def draw(rows: Sequence[Row]) -> dict[str, bytes]:
    """Draw a line of two panels for each benchmark, as "svg" and "png"."""
    import matplotlib

    with matplotlib.rc_context(canvas.SETTINGS):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        names = list(dict.fromkeys(row["benchmark"] for row in rows))
        figure = Figure(figsize=(SIZE[0], SIZE[1] * len(names)), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(names), 2, squeeze=False, sharey="row")
        for line, name in zip(grid, names, strict=True):
            for axes, (x, label) in zip(line, PANELS, strict=True):
                canvas.start(axes, name if axes is line[0] else "")
                _panel(axes, [row for row in rows if row["benchmark"] == name], x, label)
            line[0].set_ylabel("accuracy (%)")
            line[1].set_title("bars: 95 % interval over questions", loc="right", fontsize=9)
        lines, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside upper center", ncols=len(lines), frameon=False)
        return canvas.saved(figure)


def _panel(axes: Axes, rows: Sequence[Row], x: str, label: str) -> None:
    for at, family in enumerate(dict.fromkeys(row["family"] for row in rows)):
        points = sorted((row for row in rows if row["family"] == family), key=lambda row: row["k"])
        _curve(axes, [row for row in points if row[x] > 0], x, at)
    canvas.token_axis(axes, [row[x] for row in rows], label, MOST_TICKS)


def _curve(axes: Axes, points: Sequence[Row], x: str, at: int) -> None:
    """Draw one family with its intervals, and k beside its last point."""
    if not points:
        return
    colour, last = COLOURS[at % len(COLOURS)], points[-1]
    places, heights = [row[x] for row in points], [row["accuracy"] for row in points]
    mark = MARKERS[at % len(MARKERS)]
    axes.plot(places, heights, color=colour, marker=mark, ms=5, lw=1.6, label=last["family"])
    lows, highs = zip(*(row["interval"] for row in points), strict=True)
    axes.vlines(places, lows, highs, color=colour, lw=1.0, alpha=0.35)
    place = (last[x], last["accuracy"])
    side = -1 if last[x] < points[0][x] else 1
    axes.annotate(
        f"k={last['k']}", place, (7 * side, -11 if at % 2 else 5),
        textcoords="offset points", fontsize=8, color=colour, ha="left" if side > 0 else "right",
    )  # fmt: skip
