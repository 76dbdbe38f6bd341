"""The curves of a replay in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from s1_serve.evaluate.replay.equal import SEQUENTIAL, TOTAL
from s1_serve.evaluate.report import terminal
from s1_serve.evaluate.report.comparisons import LEVEL, UNCLEAR
from s1_serve.evaluate.report.grids import Grid, gap
from s1_serve.evaluate.report.markup import interval, number
from s1_serve.evaluate.report.statements import is_same

if TYPE_CHECKING:
    from rich.console import Console

AXES = {TOTAL: "tokens of all traces", SEQUENTIAL: "tokens one after another"}


def show(replay: Mapping[str, Any], console: Console) -> None:
    """Print a table for each benchmark, then its methods at equal tokens."""
    wide = terminal.widened(console)
    for benchmark in replay["benchmarks"]:
        wide.print(terminal.table(_grid(replay, benchmark)))
    for benchmark in replay["benchmarks"]:
        for axis in AXES:
            grid = _equal(replay, benchmark, axis)
            if grid.rows:
                wide.print(terminal.table(grid))
    if replay["equal"]:
        console.print(note(replay["equal"]), highlight=False, markup=False, soft_wrap=True)


def note(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say how the comparison at equal tokens is meant, and what chance alone would show."""
    told = [row for row in rows if row["difference"] and not is_same(row["difference"])]
    found = sum(row["verdict"] != UNCLEAR for row in told)
    return (
        "Between two sizes of a method a coin decides, so that its mean tokens are the budget; a "
        "method that cannot spend a budget has no row there. Ties as served. Without --calibration "
        "auto goes by which of these very answers are right, which flatters it. Better and worse "
        f"are to the majority vote, paired over questions: {found} of {len(told)} comparisons; by "
        f"chance at most {LEVEL * len(told):.1f}."
    )


def _grid(replay: Mapping[str, Any], benchmark: Mapping[str, Any]) -> Grid:
    run = f", {benchmark['run']}" if benchmark["run"] else ""
    ties = f"ties of rules such as maj@k: {replay['tie']}"  # a strategy has a tie of its own
    title = f"{benchmark['name']}{run}: {benchmark['num_questions']} questions; {ties}"
    rows = [
        [
            row["method"],
            number(row["accuracy"]),
            interval(row["interval"]),
            number(row["mean_total_tokens"], ",.0f"),
            number(row["mean_sequential_tokens"], ",.0f"),
            number(row["mean_samples"], ".1f"),
        ]
        for row in replay["rows"]
        if row["benchmark"] == benchmark["name"]
    ]
    head = ("method", "accuracy %", "95 % interval", "all tokens", "sequential", "samples")
    return Grid(title, head, rows)


def _equal(replay: Mapping[str, Any], benchmark: Mapping[str, Any], axis: str) -> Grid:
    """Give the methods at the budgets of one axis."""
    rows = [
        [
            f"{row['traces']:g}",
            row["method"],
            number(row["accuracy"]),
            gap(row),
            number(row["mean_total_tokens"], ",.0f"),
            number(row["mean_sequential_tokens"], ",.0f"),
            number(row["mean_samples"], ".1f"),
        ]
        for row in replay["equal"]
        if (row["benchmark"], row["axis"]) == (benchmark["name"], axis)
    ]
    head = (
        "traces", "method", "accuracy %", "less majority, 95 %", "all tokens", "sequential",
        "samples",
    )  # fmt: skip
    return Grid(f"{benchmark['name']}: at equal {AXES[axis]}", head, rows, num_names=2)
