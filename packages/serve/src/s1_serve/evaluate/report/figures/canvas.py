"""How every figure of a report looks: panels, curves with intervals, axes, one legend.

Drawn without a display and the same each time. Owns matplotlib; nothing else here loads it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s1_serve.evaluate.report.figures.labels import MARKER_SIZE, Names, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#666666"
WIDTH, LEGEND_ROW_HEIGHT = 6.2, 0.22
PANEL_HEIGHTS = {1: 3.1, 2: 2.4}
"""inches, by panels in a row; narrow, so that the page can shrink a figure to a phone's width"""
SMALLEST_RANGE = 5.0
"""percent; all-zero accuracies would be drawn on an axis that suggests hundredths"""
SETTINGS: dict[Any, Any] = {"svg.hashsalt": "s1", "font.family": "DejaVu Sans", "font.size": 10}


@dataclass(frozen=True)
class Look:
    """How one method is drawn; hollow and dashed is its forced variant."""

    label: str
    colour: str
    marker: str
    is_forced: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes: what is written over it, and what draws in it and names points."""

    title: str
    draw: Callable[[Axes], Sequence[Names] | None]


def drawn(panels: Sequence[Panel], *, columns: int = 1) -> dict[str, bytes]:
    """Draw panels in rows under one legend; give the figure as `svg` and as `png`."""
    import matplotlib

    with matplotlib.rc_context(SETTINGS):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        num_rows = math.ceil(len(panels) / columns)
        height = PANEL_HEIGHTS[columns] * num_rows
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        every = list(figure.subplots(num_rows, columns, squeeze=False).flat)
        for axes in every[len(panels) :]:
            axes.remove()
        named = []
        for axes, panel in zip(every, panels, strict=False):
            start(axes, panel.title)
            named.append((axes, panel.draw(axes)))
        _legend(figure, every[: len(panels)])
        figure.draw_without_rendering()
        for axes, names in named:
            place(axes, names or ())
        return saved(figure)


def saved(figure: Figure) -> dict[str, bytes]:
    """Give a figure as `svg` and as `png`, the same bytes each time."""
    return {"svg": _svg(figure), "png": _png(figure)}


def plain(text: str) -> str:
    """Keep matplotlib from reading dollars as mathematics."""
    return text.replace("$", r"\$")


def curve(axes: Axes, rows: Sequence[Mapping[str, Any]], x: str, look: Look) -> None:
    """Draw one line with intervals; a logarithmic axis has no place for no tokens at all."""
    rows = sorted((row for row in rows if row[x]), key=lambda row: row[x])
    if not rows:
        return
    axes.errorbar(
        [row[x] for row in rows],
        [row["accuracy"] for row in rows],
        yerr=_bars([(row["accuracy"], *row["interval"]) for row in rows]),
        color=look.colour,
        ls="--" if look.is_forced else "-",
        marker=look.marker,
        mfc="white" if look.is_forced else look.colour,
        ms=9 if look.marker == "*" else MARKER_SIZE,
        lw=1.5,
        capsize=2.5,
        elinewidth=0.9,
        label=plain(look.label),
    )


def changes(axes: Axes, places: Sequence[float], gaps: Sequence[Any], look: Look) -> None:
    """Draw differences with their intervals."""
    bars = _bars([(gap["mean"], gap["lo"], gap["hi"]) for gap in gaps])
    style: dict[str, Any] = {
        "marker": look.marker,
        "ms": MARKER_SIZE,
        "lw": 0,
        "capsize": 3,
        "elinewidth": 1.4,
    }
    means = [gap["mean"] for gap in gaps]
    axes.errorbar(places, means, yerr=bars, color=look.colour, label=plain(look.label), **style)


def token_axis(axes: Axes, tokens: Sequence[float], label: str, most_ticks: int = 9) -> None:
    """Span `tokens`, at least one doubling of them, with ticks at powers of two."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    logs = [math.log2(count) for count in tokens if count > 0] or [0.0, 1.0]
    pad = 0.1 * (max(logs) - min(logs)) + 0.1
    low, high = min(logs) - pad, max(logs) + pad
    if math.floor(high) - math.ceil(low) < 1:
        low, high = float(math.floor(low)), float(math.ceil(high))
    ticks = range(math.ceil(low), math.floor(high) + 1)
    step = math.ceil(len(ticks) / most_ticks)
    axes.set_xscale("log", base=2)
    axes.set_xlim(2.0**low, 2.0**high)
    axes.xaxis.set_major_locator(FixedLocator([2.0**at for at in ticks[::step]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    axes.set_xlabel(label)


def accuracy_axis(axes: Axes, bounds: Sequence[float]) -> None:
    """Span `bounds` in percent, from 0 unless all lie far above, with room for names."""
    low, high = min(bounds, default=0.0), max(bounds, default=0.0)
    floor = 0.0 if low < high / 2 or high < SMALLEST_RANGE else low
    span = max(high - floor, SMALLEST_RANGE)
    axes.set_ylim(floor - 0.13 * span, floor + 1.13 * span)
    bottom, top = axes.get_ylim()
    axes.set_yticks([tick for tick in axes.get_yticks() if max(bottom, 0) <= tick <= min(top, 100)])
    axes.set_ylabel("accuracy (%)")


def say_nothing(axes: Axes) -> None:
    """Write where there is nothing to draw."""
    axes.text(0.5, 0.5, "no scored run", transform=axes.transAxes, ha="center", color=GREY)


def start(axes: Axes, title: str) -> None:
    """Give axes the look of all of them."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e3e3e3", lw=0.8)
    axes.set_axisbelow(True)
    axes.set_title(plain(title), loc="left", fontsize=10, fontweight="bold")


def _bars(triples: Sequence[tuple[float, float, float]]) -> list[list[float]]:
    return [
        [max(0.0, middle - lo) for middle, lo, _ in triples],
        [max(0.0, hi - middle) for middle, _, hi in triples],
    ]


def _legend(figure: Figure, every: Sequence[Axes]) -> None:
    """Put one legend above all panels, where it covers nothing, and make room for it."""
    entries: dict[str, Any] = {}
    for axes in every:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    num_rows = math.ceil(len(entries) / 2)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + LEGEND_ROW_HEIGHT * num_rows)
    figure.legend(
        [*entries.values()],
        [*entries],
        loc="outside upper left",
        ncols=2,
        frameon=False,
        fontsize=9,
    )


def _svg(figure: Figure) -> bytes:
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", metadata=nothing)
    return text.getvalue()[text.getvalue().index("<svg") :].encode()


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150, metadata={"Software": None})
    return picture.getvalue()
