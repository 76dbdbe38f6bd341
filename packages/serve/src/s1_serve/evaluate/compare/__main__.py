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
    from s1_serve.evaluate.report.grids import Grid


def main(config: CompareConfig) -> None:
    """Show the rows and what to beware of."""
    from s1_serve.evaluate.compare import paired
    from s1_serve.evaluate.report import terminal

    a, b = paired.read(Path(config.report_a)), paired.read(Path(config.report_b))
    rows = paired.compared(a, b, config.seed)
    if config.json:
        sys.stdout.write(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    else:
        console = terminal.widened(cli.console())
        for benchmark in dict.fromkeys(row["benchmark"] for row in rows):
            console.print(terminal.table(_grid(benchmark, rows)))
    for line in paired.remarks(a, b, rows):
        cli.say(line)


def _grid(benchmark: str, rows: Sequence[Mapping[str, Any]]) -> Grid:
    from s1_serve.evaluate.report.grids import Grid
    from s1_serve.evaluate.report.markup import change, number

    head = ("run", "a %", "b %", "points, 95 % interval", "flips", "verdict")
    cells = [
        [
            row["run"],
            number(row["accuracy_a"]),
            number(row["accuracy_b"]),
            change(row["difference"]),
            f"+{row['gained']} -{row['lost']}",
            row["verdict"],
        ]
        for row in rows
        if row["benchmark"] == benchmark
    ]
    return Grid(f"{benchmark}: b less a", head, cells)


if __name__ == "__main__":
    cli.run(CompareConfig, main, package="serve")
