"""The report in the terminal: runs, what extends change, and the same plain words as the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from s1_serve.evaluate.page import run_name

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print `report` to `console`."""
    console.print(_runs(report))
    for line in report["statements"]:
        console.print(f"- {line}", highlight=False, markup=False, soft_wrap=True)
    found = report["metrics"]
    named = ((name, found[name]) for name in ("control", "scaling", "performance"))
    text = ", ".join(f"{name} {'-' if v is None else f'{v:.1f}'}" for name, v in named)
    console.print(text, highlight=False, markup=False)


def _runs(report: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    name = report["benchmark"]["name"]
    table = Table(title=f"{name}: accuracy in %, tokens a question", box=box.SIMPLE)
    table.add_column("run", no_wrap=True)
    for head in ("accuracy", "95 % interval", "thinking", "all", "no answer"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in report["runs"]:
        lo, hi = row["interval"]
        table.add_row(
            run_name(row).replace("[", r"\["),
            f"{row['accuracy']:.1f}",
            f"{lo:.1f} to {hi:.1f}",
            f"{row['mean_thinking_tokens']:.1f}",
            f"{row['mean_total_tokens']:.1f}",
            f"{100 * row['extraction']['none']:.1f} %",
        )
    return table
