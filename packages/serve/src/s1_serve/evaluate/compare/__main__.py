"""`just compare`: two reports, run by run, as a table or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1_core import cli
from s1_serve.evaluate.compare.config import CompareConfig

if TYPE_CHECKING:
    from rich.table import Table


def main(config: CompareConfig) -> None:
    """Show the rows and what to beware of."""
    from s1_serve.evaluate.compare import paired
    from s1_serve.evaluate.report.terminal import widened

    a, b = paired.read(Path(config.report_a)), paired.read(Path(config.report_b))
    rows = paired.compared(a, b, config.seed)
    if config.json:
        sys.stdout.write(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    else:
        console = widened(cli.console())
        for benchmark in dict.fromkeys(row["benchmark"] for row in rows):
            console.print(_table(benchmark, rows))
    for line in paired.remarks(a, b, rows):
        cli.say(line)


def _table(benchmark: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(f"{benchmark}: b less a"), box=box.SIMPLE)
    table.add_column("run")
    for head in ("a %", "b %", "points, 95 % interval", "flips"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        if row["benchmark"] == benchmark:
            gap = row["difference"]
            table.add_row(
                escape(row["run"]),
                f"{row['accuracy_a']:.1f}",
                f"{row['accuracy_b']:.1f}",
                escape(f"{gap['mean']:+.1f} [{gap['lo']:+.1f}, {gap['hi']:+.1f}]"),
                f"+{row['gained']} -{row['lost']}",
                row["verdict"],
            )
    return table


if __name__ == "__main__":
    cli.run(CompareConfig, main, package="serve")
