"""The curves of a replay in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from s1_serve.evaluate.report import terminal
from s1_serve.evaluate.report.grids import Grid
from s1_serve.evaluate.report.markup import interval, number

if TYPE_CHECKING:
    from rich.console import Console


def show(replay: Mapping[str, Any], console: Console) -> None:
    """Print a table for each benchmark."""
    for benchmark in replay["benchmarks"]:
        console.print(terminal.table(_grid(replay, benchmark)))


def _grid(replay: Mapping[str, Any], benchmark: Mapping[str, Any]) -> Grid:
    run = f", {benchmark['run']}" if benchmark["run"] else ""
    title = f"{benchmark['name']}{run}: {benchmark['num_questions']} questions, tie {replay['tie']}"
    rows = [
        [
            row["method"],
            number(row["accuracy"]),
            interval(row["interval"]),
            number(row["mean_total_tokens"], ",.0f"),
            number(row["mean_sequential_tokens"], ",.0f"),
        ]
        for row in replay["rows"]
        if row["benchmark"] == benchmark["name"]
    ]
    return Grid(title, ("method", "accuracy %", "95 % interval", "all tokens", "sequential"), rows)
