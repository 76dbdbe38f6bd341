"""The figure of the card: funnel, thinking lengths, sources and domains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from s1_data.card.facts import Facts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, BAR, GONE = "#222222", "#3b6fb6", "#d9dee6"
NUM_BARS = 18
NAME_CHARS = 34


def draw(path: Path, facts: Facts) -> None:
    """Draw the figure into a PNG whose bytes depend on the facts alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    _draw_funnel(axes[0][0], facts)
    _draw_lengths(axes[0][1], facts)
    _draw_tally(axes[1][0], facts.tally(facts.origins()), "source")
    _draw_tally(axes[1][1], facts.tally(facts.domains()), "domain")
    figure.savefig(path, metadata={"Software": None})


def _draw_funnel(axes: Axes, facts: Facts) -> None:
    steps = facts.funnel.steps
    stages = [step.stage for step in steps]
    axes.barh(stages, [step.before for step in steps], color=GONE)
    bars = axes.barh(stages, [step.after for step in steps], color=BAR)
    axes.bar_label(bars, labels=[f"{step.after:,}" for step in steps], padding=3, color=INK)
    axes.invert_yaxis()
    axes.set(title="Funnel: came (grey), stayed (blue)", xlabel="questions")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _plain(axes)


def _draw_lengths(axes: Axes, facts: Facts) -> None:
    lengths = facts.lengths
    axes.hist(lengths, bins=40, color=BAR)
    axes.axvline(median(lengths), color=INK, linestyle="--", linewidth=1)
    axes.set(
        title=f"Thinking length of the selection (dashed: median {median(lengths):,.0f})",
        xlabel=f"{facts.unit} of thinking",
        ylabel="questions",
    )
    _plain(axes)


def _draw_tally(axes: Axes, counts: Sequence[tuple[str, int, int]], what: str) -> None:
    shown = counts[:NUM_BARS]
    names = [
        name if len(name) <= NAME_CHARS else name[: NAME_CHARS - 1] + "…" for name, *_ in shown
    ]
    bars = axes.barh(range(len(shown)), [rows for _, rows, _ in shown], color=BAR)
    axes.set_yticks(range(len(shown)), names, parse_math=False)
    axes.bar_label(bars, padding=3, color=INK)
    axes.invert_yaxis()
    scope = f"the largest {NUM_BARS} of {len(counts)}" if len(counts) > NUM_BARS else "all"
    axes.set(title=f"Selection by {what} ({scope})", xlabel="questions")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    axes.locator_params(axis="x", nbins=6)
