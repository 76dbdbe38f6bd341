"""Where a gain comes from: the runs that matter, source by source."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from s1_core.records import Question
from s1_serve.evaluate.settings import BUDGET, EXTENDS
from s1_serve.evaluate.summary import Measured


def by_source(
    measured: Sequence[Measured], questions: Sequence[Question], wait: str
) -> list[dict[str, Any]]:
    """Give, for each source of questions, the accuracy in percent at once, freely and extended.

    `at_once` is a maximum of 0 (None where it was not run), `extended` the fewest extends by
    `wait`. Largest gain first.
    """
    sources = [question.source_type for question in questions]
    runs = {"at_once": _cut(measured), "free": _extended(measured, wait, 0)}
    counts = [one.setting.extends for one in measured if one.setting.extend_with == wait]
    fewest = min((count for count in counts if count), default=0)
    runs["extended"] = _extended(measured, wait, fewest)
    rows = [
        {"source": source, "num_questions": sources.count(source), "extends": fewest}
        | {name: _accuracy(one, sources, source) for name, one in runs.items()}
        for source in sorted(set(sources))
    ]
    return sorted(rows, key=lambda row: row["free"] - row["extended"])


def statements(rows: Sequence[dict[str, Any]], wait: str) -> list[str]:
    """Say which sources the extends gain on, where any were run."""
    if not rows[0]["extends"]:
        return []
    gains = [row for row in rows if row["extended"] > row["free"]]
    named = ", ".join(
        f"{row['source']} ({row['free']:.0f} to {row['extended']:.0f} %)" for row in gains
    )
    return [
        f'"{wait}" x {rows[0]["extends"]} gains in {len(gains)} of {len(rows)} sources'
        f"{f': {named}' if named else ''}."
    ]


def _cut(measured: Sequence[Measured]) -> Measured | None:
    cut = [m for m in measured if m.setting.method == BUDGET and m.setting.max == 0]
    return next(iter(cut), None)


def _extended(measured: Sequence[Measured], wait: str, extends: int) -> Measured:
    return next(
        one
        for one in measured
        if one.setting.method == EXTENDS
        and one.setting.extends == extends
        and one.setting.extend_with == wait
    )


def _accuracy(one: Measured | None, sources: Sequence[str], source: str) -> float | None:
    if one is None:
        return None
    pairs = zip(one.correct, sources, strict=True)
    return 100.0 * fmean(correct for correct, name in pairs if name == source)
