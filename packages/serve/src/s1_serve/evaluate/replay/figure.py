"""The curves of a replay as a picture: accuracy against all tokens, and against sequential ones."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1f5fa8", "#666666", "#c2571a", "#2d7d46", "#7a4fa3", "#9a7b12")
MARKERS = "ovsD^P"
PANELS = (
    ("mean_total_tokens", "tokens of all k traces, mean a question (log2, K = 1,024)"),
    ("mean_sequential_tokens", "tokens one after another, mean a question (log2, K = 1,024)"),
)
Row = Mapping[str, Any]


def draw(rows: Sequence[Row]) -> dict[str, bytes]:
    """Draw a line of two panels for each benchmark, as "svg" and "png"."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "s1", "font.size": 10, "axes.titlesize": 11})
    from matplotlib import pyplot

    names = list(dict.fromkeys(row["benchmark"] for row in rows))
    size = (11.5, 4.6 * len(names))
    figure, grid = pyplot.subplots(
        len(names), 2, figsize=size, layout="constrained", squeeze=False, sharey="row"
    )
    for line, name in zip(grid, names, strict=True):
        for axes, (x, label) in zip(line, PANELS, strict=True):
            _panel(axes, [row for row in rows if row["benchmark"] == name], x)
            axes.set_xlabel(label)
        line[0].set_ylabel("accuracy (%)")
        line[0].set_title(name, loc="left")
        line[1].set_title("bars: 95 % interval over questions", loc="right", fontsize=9)
    families = len({row["family"] for row in rows})
    lines, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside upper center", ncols=families, edgecolor="none")
    drawn = {form: _saved(figure, form) for form in ("svg", "png")}
    pyplot.close(figure)
    return drawn


def _panel(axes: Axes, rows: Sequence[Row], x: str) -> None:
    families = dict.fromkeys(row["family"] for row in rows)
    for at, family in enumerate(families):
        points = sorted((row for row in rows if row["family"] == family), key=lambda row: row["k"])
        _curve(axes, [row for row in points if row[x] > 0], x, at)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e3e3e3", lw=0.8)
    axes.set_axisbelow(True)
    _log_axis(axes)


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


def _log_axis(axes: Axes) -> None:
    """Scale by doublings; a narrow range has ticks between them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log", base=2)
    axes.margins(x=0.13)
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(base=2, subs=(1.0, 1.5) if high < 16 * low else (1.0,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _short(x)))


def _short(tokens: float) -> str:
    return f"{tokens / 1024:,g}K" if tokens >= 1024 else f"{tokens:g}"


def _saved(figure: Figure, form: str) -> bytes:
    stream = io.BytesIO()
    nameless = dict.fromkeys(("Date", "Creator", "Format", "Type")) if form == "svg" else {}
    figure.savefig(stream, format=form, dpi=150, metadata=nameless)
    return stream.getvalue()
