"""The figures of a report as SVG text: accuracy against thinking, extends, sequential/parallel.

Every point carries its 95 % interval; a horizontal line is direct answering.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from s1_serve.evaluate.settings import BUDGET, EXTENDS
from s1_serve.evaluate.summary import Run, line_of_direct_answering

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#1f5fa8", "#c2571a", "#2d7d46", "#666666"
ARM_COLOURS = (ORANGE, GREEN, "#7a4fa3", "#9a7b12")
SIZE = (7.2, 4.4)
SMALLEST_RANGE = 5.0
"""percent; all-zero accuracies would be drawn on an axis that suggests hundredths"""


def thinking(rows: Sequence[Run], wait: str) -> str:
    """Draw accuracy against mean thinking tokens: budgets, then extends beyond the natural end."""
    figure, axes = _new()
    budgets = _sorted(row for row in rows if row["method"] == BUDGET)
    _curve(axes, budgets, "mean_thinking_tokens", BLUE, "maximum (budget)", "o")
    extends = _sorted(row for row in rows if _is_arm(row, wait))
    _curve(axes, extends, "mean_thinking_tokens", ORANGE, f'forced extends ("{wait}")', "s")
    _name_points(axes, budgets, "mean_thinking_tokens", "max", BLUE)
    _name_points(axes, extends, "mean_thinking_tokens", "extends", ORANGE)
    _direct_line(axes, rows)
    _log_axis(axes, "mean thinking tokens per question (log2)")
    return _svg(figure)


def extends(compared: Sequence[Mapping[str, Any]], rows: Sequence[Run]) -> str:
    """Draw what each forced extend changes against none, for the string under test and controls."""
    figure, axes = _new()
    strings = list(dict.fromkeys(row["extend_with"] for row in compared))
    for at, string in enumerate(strings):
        arm = [row for row in compared if row["extend_with"] == string]
        shift = (at - (len(strings) - 1) / 2) * 0.12
        middle = [row["difference"]["mean"] for row in arm]
        lows = [m - row["difference"]["lo"] for m, row in zip(middle, arm, strict=True)]
        highs = [row["difference"]["hi"] - m for m, row in zip(middle, arm, strict=True)]
        axes.errorbar(
            [row["extends"] + shift for row in arm],
            middle,
            yerr=[lows, highs],
            color=ARM_COLOURS[at % len(ARM_COLOURS)],
            marker="osD^"[at % 4],
            capsize=3,
            lw=1.4,
            ms=5,
            label=f'"{string}"' if string else "no text (empty string)",
        )
    axes.axhline(0, color=GREY, lw=1)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -SMALLEST_RANGE / 2), max(high, SMALLEST_RANGE / 2))
    axes.set_xticks(sorted({row["extends"] for row in compared}))
    axes.set_xlabel("forced extends")
    none = next(row for row in rows if row["method"] == EXTENDS and not row["extends"])
    axes.set_ylabel(f"change of accuracy (points; {none['accuracy']:.1f} % without)")
    axes.legend(edgecolor="none", framealpha=0.9)
    return _svg(figure)


def parallel(rows: Sequence[Run], wait: str) -> str:
    """Draw sequential against parallel thinking by all tokens that one answer costs."""
    figure, axes = _new()
    budgets = _sorted(row for row in rows if row["method"] == BUDGET)
    extended = _sorted(row for row in rows if _is_arm(row, wait))
    votes = _sorted(row for row in rows if row["method"].startswith("majority@"))
    _curve(axes, budgets, "mean_total_tokens", BLUE, "sequential: maximum", "o")
    _curve(axes, extended, "mean_total_tokens", ORANGE, f'sequential: "{wait}"', "s")
    _curve(axes, votes, "mean_total_tokens", GREEN, "parallel: majority of k samples", "D")
    _name_points(axes, votes, "mean_total_tokens", "samples_per_question", GREEN)
    _direct_line(axes, rows)
    _log_axis(axes, "mean output tokens per question, all samples (log2)")
    return _svg(figure)


def _new() -> tuple[Figure, Axes]:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "s1", "font.size": 10, "axes.titlesize": 11})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e3e3e3", lw=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure) -> str:
    from matplotlib import pyplot

    text = io.StringIO()
    figure.savefig(
        text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    pyplot.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]


def _sorted(rows: Any) -> list[Run]:
    return sorted(rows, key=lambda row: (row["mean_total_tokens"], row["extends"]))


def _is_arm(row: Run, wait: str) -> bool:
    return row["method"] == EXTENDS and row["extend_with"] in (None, wait)


def _curve(axes: Axes, rows: Sequence[Run], x: str, colour: str, label: str, marker: str) -> None:
    """Draw one line with intervals; a logarithmic axis has no place for no thinking at all."""
    rows = [row for row in rows if row[x] > 0]
    if not rows:
        return
    heights = [row["accuracy"] for row in rows]
    below = [max(0.0, row["accuracy"] - row["interval"][0]) for row in rows]
    above = [max(0.0, row["interval"][1] - row["accuracy"]) for row in rows]
    axes.errorbar(
        [row[x] for row in rows],
        heights,
        yerr=[below, above],
        color=colour,
        marker=marker,
        ms=5,
        lw=1.6,
        capsize=2.5,
        elinewidth=0.9,
        label=label,
    )


def _name_points(axes: Axes, rows: Sequence[Run], x: str, name: str, colour: str) -> None:
    """Write the setting beside its point; settings that share a point share a range."""
    prefix, below = {
        "max": ("", True), "extends": ("×", False), "samples_per_question": ("k=", True),
    }[name]  # fmt: skip
    groups: list[list[Run]] = []
    for row in rows:
        if row[x] <= 0:
            continue
        if groups and row[x] < 1.04 * groups[-1][0][x]:
            groups[-1].append(row)
        else:
            groups.append([row])
    for group in groups:
        names = sorted({row[name] for row in group})
        text = f"{prefix}{names[0]}" + (f"–{names[-1]}" if len(names) > 1 else "")
        lo, hi = group[-1]["interval"]
        place, offset = (group[-1][x], lo if below else hi), (2, -11) if below else (-4, 4)
        axes.annotate(text, place, offset, textcoords="offset points", fontsize=8, color=colour)


def _direct_line(axes: Axes, rows: Sequence[Run]) -> None:
    row = line_of_direct_answering(rows)
    if row is None:
        return
    whose = "before fine-tuning" if row["method"] == "direct" else "budget 0"
    label = f"direct answering, {whose} ({row['accuracy']:.1f} %)"
    axes.axhline(row["accuracy"], color=GREY, ls="--", lw=1.2, label=label)


def _log_axis(axes: Axes, label: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(LogLocator(base=2))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_xlabel(label)
    axes.set_ylabel("accuracy (%)")
    axes.set_ylim(0, max(axes.get_ylim()[1], SMALLEST_RANGE))
    axes.legend(loc="best", edgecolor="none", framealpha=0.9)
