"""What a reader must know of how a report was measured, before its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s1_serve.evaluate.report.comparisons import LEVEL


def remarks(report: Mapping[str, Any]) -> list[str]:
    """Say what a reader must know of how this was measured: what page and terminal show."""
    lines = [f"Skipped {one['method']}: {one['reason']}" for one in report.get("skipped") or ()]
    if num_answers := report.get("without_room"):
        lines.append(f"Answers without room in the context, counted as wrong: {num_answers}.")
    if shortcuts := report.get("shortcuts"):
        lines.append(_on_shortcuts(shortcuts))
    if judge := report.get("judge"):
        told = ", ".join(f"{name} {value}" for name, value in judge.items())
        lines.append(f"Answers that the rules call wrong were shown to a judge: {told}.")
    return lines + _on_bounds(report) + list(report.get("notes") or ())


def _on_shortcuts(shortcuts: Mapping[str, int]) -> str:
    line = (
        f"{shortcuts['shared']} greedy answers could share work with others; of "
        f"{shortcuts['checked']} made again alone, {shortcuts['differing']} came out different"
    )
    return line + (": the runs they are of were answered alone." if shortcuts["differing"] else ".")


def _on_bounds(report: Mapping[str, Any]) -> list[str]:
    """Say once for each benchmark what an interval of no width hides: resamples of equals agree."""
    names = dict.fromkeys(row["benchmark"] for row in report["runs"])
    lines = []
    for name in names:
        rows = [row for row in report["runs"] if row["benchmark"] == name]
        n = rows[0]["num_questions"]
        bound = 100 * (1 - LEVEL ** (1 / n))
        told = {
            0.0: (f"0 of {n}", f"up to {bound:.1f} %"),
            100.0: (f"{n} of {n}", f"down to {100 - bound:.1f} %"),
        }
        found = [told[end] for end in told if any(row["accuracy"] == end for row in rows)]
        if found:
            drawn, rates = (" or ".join(each) for each in zip(*found, strict=True))
            lines.append(
                f"{f'{name}: ' if len(names) > 1 else ''}{drawn} right: the bootstrap cannot see "
                f"more than was drawn; the true rate may be {rates} (exact 95 % bound)."
            )
    return lines
