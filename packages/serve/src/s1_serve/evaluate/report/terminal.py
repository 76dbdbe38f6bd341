"""The report in the terminal: runs, the paper's tables, and the plain words of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from s1_serve.evaluate.report import grids
from s1_serve.evaluate.report.markup import interval, kept, number, percent
from s1_serve.evaluate.report.remarks import remarks

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDTH = 120
"""columns that keep the names of runs whole, in a narrow terminal and in a log too"""

_MOST = 6


def show(
    report: Mapping[str, Any], console: Console, seconds: Mapping[str, float] | None = None
) -> None:
    """Print `report` to `console`; `seconds` of an answer, by benchmark and run, where measured."""
    wide = widened(console)
    names = dict.fromkeys(row["benchmark"] for row in report["runs"])
    tables = [_runs(report, name, seconds or {}) for name in names]
    tables += [grids.forcing(report), grids.measures(report), grids.ablation(report)]
    tables += [_narrow(grids.strategies(report, name)) for name in names]
    for grid in grids.narrowed(tables):
        wide.print(table(grid))
    for line in (*remarks(report), *report["statements"]):
        console.print(f"- {line}", highlight=False, markup=False, soft_wrap=True)


def widened(console: Console) -> Console:
    """Give a console of the same file in which a table of runs keeps its lines whole."""
    from rich.console import Console

    return Console(file=console.file, width=max(console.width, _WIDTH))


def _runs(report: Mapping[str, Any], name: str, seconds: Mapping[str, float]) -> grids.Grid:
    head = ("run", "accuracy", "thinking", "all", "in limit", "no answer", "seconds")
    rows = [
        [
            grids.run_name(row),
            f"{grids.accuracy(row)} {interval(row['interval'])}",
            number(row["mean_thinking_tokens"]),
            number(row["mean_total_tokens"]),
            kept(row["control_ok"]),
            percent(row["extraction"]["none"]),
            number(seconds.get(f"{name}: {row['run']}"), ".2f"),
        ]
        for row in report["runs"]
        if row["benchmark"] == name
    ]
    return grids.Grid(f"{name}: accuracy in %, tokens and seconds an answer", head, rows)


def _narrow(grid: grids.Grid) -> grids.Grid:
    """Leave out the accuracy, which stands with all runs, and the last columns."""
    rows = [[*row[:1], *row[2:_MOST]] for row in grid.rows]
    return replace(grid, head=(*grid.head[:1], *grid.head[2:_MOST]), rows=rows)


def table(grid: grids.Grid) -> Table:
    """Lay a grid out for a console."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    laid = Table(title=Text(grid.title), title_justify="left", box=box.SIMPLE, padding=(0, 1))
    for at, name in enumerate(grid.head):
        is_name = at < grid.num_names
        justify: Literal["left", "right"] = "left" if is_name else "right"
        laid.add_column(Text(name), justify=justify, overflow="fold", no_wrap=not is_name)
    for row in grid.rows:
        laid.add_row(*(Text(cell) for cell in row))
    return laid
