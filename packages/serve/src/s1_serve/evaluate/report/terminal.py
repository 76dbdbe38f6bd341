"""The report in the terminal: runs, the paper's tables, and the plain words of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from s1_serve.evaluate.report import grids
from s1_serve.evaluate.report.markup import interval, kept, number, percent
from s1_serve.evaluate.report.statements import remarks

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print `report` to `console`."""
    names = dict.fromkeys(row["benchmark"] for row in report["runs"])
    tables = [_runs(report, name) for name in names]
    tables += [grids.forcing(report), grids.measures(report), grids.ablation(report)]
    for grid in grids.narrowed(tables):
        console.print(_table(grid))
    for line in (*remarks(report), *report["statements"]):
        console.print(f"- {line}", highlight=False, markup=False, soft_wrap=True)


def _runs(report: Mapping[str, Any], name: str) -> grids.Grid:
    head = ("run", "accuracy", "95 % interval", "thinking", "all", "in limit", "no answer")
    rows = [
        [
            grids.run_name(row),
            grids.accuracy(row),
            interval(row["interval"]),
            number(row["mean_thinking_tokens"]),
            number(row["mean_total_tokens"]),
            kept(row["control_ok"]),
            percent(row["extraction"]["none"]),
        ]
        for row in report["runs"]
        if row["benchmark"] == name
    ]
    return grids.Grid(f"{name}: accuracy in %, tokens a question", head, rows)


def _table(grid: grids.Grid) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(grid.title), title_justify="left", box=box.SIMPLE, padding=(0, 1))
    for at, name in enumerate(grid.head):
        table.add_column(
            Text(name), justify="right" if at >= grid.num_names else "left", overflow="fold"
        )
    for row in grid.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
