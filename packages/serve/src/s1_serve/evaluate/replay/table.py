"""The curves of a replay in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def show(replay: Mapping[str, Any], console: Console) -> None:
    """Print a table for each benchmark."""
    for benchmark in replay["benchmarks"]:
        console.print(_table(replay, benchmark))


def _table(replay: Mapping[str, Any], benchmark: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    run = f", {benchmark['run']}" if benchmark["run"] else ""
    title = f"{benchmark['name']}{run}: {benchmark['num_questions']} questions, tie {replay['tie']}"
    table = Table(title=escape(title), box=box.SIMPLE)
    table.add_column("method", no_wrap=True)
    for head in ("accuracy %", "95 % interval", "all tokens", "sequential"):
        table.add_column(head, justify="right", no_wrap=True)
    family = None
    for row in replay["rows"]:
        if row["benchmark"] != benchmark["name"]:
            continue
        if family not in (None, row["family"]):
            table.add_section()
        family, (lo, hi) = row["family"], row["interval"]
        table.add_row(
            row["method"],
            f"{row['accuracy']:.1f}",
            f"{lo:.1f} to {hi:.1f}",
            f"{row['mean_total_tokens']:,.0f}",
            f"{row['mean_sequential_tokens']:,.0f}",
        )
    return table
