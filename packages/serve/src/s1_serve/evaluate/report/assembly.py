"""report.json from graded samples: runs, comparisons, metrics, the paper's tables, statements.

Pure. Owns the schema of report.json, all but its key `samples`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from s1_core.records import Question
from s1_serve.evaluate.config import BUDGET, EXTENDS, EvaluateConfig
from s1_serve.evaluate.report import comparisons, statements
from s1_serve.evaluate.report.runs import Results, results
from s1_serve.evaluate.report.scores import FAMILIES, scores, with_control
from s1_serve.evaluate.report.strategies import strategies
from s1_serve.evaluate.samples import Measured

REPORT_VERSION = 4
ABLATED_EXTENDS = 2
"""the count at which the paper's Table 4 compares the extend strings"""


def assemble(
    measured: Sequence[Measured],
    questions: Mapping[str, Sequence[Question]],
    config: EvaluateConfig,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Give the content of report.json; `questions` are those of each benchmark, as asked.

    `facts` say what was measured by what (model, engine, benchmarks, seeds) and what a reader must
    know (skipped, shortcuts, judge, training, notes); they are kept as they are.
    """
    wait, seed = config.extend_with, config.seed
    found = [replace(one, rows=with_control(one.rows)) for one in results(measured, config)]
    scored = [row for one in found for row in scores(one.rows, wait)]
    compared = [comparisons.extends(one, wait, seed) for one in found]
    held = [strategies(one, config) for one in found]
    sources = [comparisons.sources(one, questions[one.benchmark], wait, seed) for one in found]
    said = [
        f"{one.benchmark}: {line}" if len(found) > 1 else line
        for one, rows, own, places in zip(found, compared, held, sources, strict=True)
        for line in statements.statements(one, rows, own, places, config)
    ]
    return {
        "schema_version": REPORT_VERSION,
        **facts,
        "extend_with": wait,
        "tie": config.tie,
        "runs": [row for one in found for row in one.rows],
        "extends": [row for rows in compared for row in rows],
        "strategies": [row for rows in held for row in rows],
        "metrics": scored,
        "sources": [row for rows in sources for row in rows],
        "tables": _tables(found, scored, config),
        "statements": said + statements.on_training(facts.get("training")),
    }


def _tables(
    found: Sequence[Results], scored: Sequence[Mapping[str, Any]], config: EvaluateConfig
) -> dict[str, Any]:
    """Give the three tables; one without a run for it has no rows."""
    return {
        "table1": [_forcing(one, config) for one in found],
        "table3": [{**row, "name": FAMILIES[row["method"]]} for row in scored],
        "table4": _strings(found, config),
    }


def _forcing(found: Results, config: EvaluateConfig) -> dict[str, Any]:
    """Set the run without forcing beside the best forced one, the cheaper of equals.

    The best is chosen on the questions that it is measured on, so its lead is flattered: it has a
    paired difference, but no verdict.
    """
    without = found.unforced()
    forced = found.by(BUDGET) + [
        one
        for one in found.by(EXTENDS)
        if one.setting.extends and one.setting.extend_with == config.extend_with
    ]
    best = max(
        forced,
        key=lambda one: (found.row(one)["accuracy"], -found.row(one)["mean_total_tokens"]),
        default=None,
    )
    gap = (
        comparisons.compare(best.correct, without.correct, config.seed)
        if best and without
        else None
    )
    return {
        "benchmark": found.benchmark,
        "without": _cell(found, without),
        "best": _cell(found, best),
        "num_forced": len(forced),
        "difference": gap["difference"] if gap else None,
    }


def _strings(found: Sequence[Results], config: EvaluateConfig) -> dict[str, Any]:
    """Give a row for no extend and for each string at one count, a cell for each benchmark.

    The count is 2 where it was run, as in the paper, else the smallest that was.
    """
    runs = [one for results in found for one in results.measured if one.setting.method == EXTENDS]
    counts = {one.setting.extends for one in runs} - {0}
    if not counts:
        return {"extends": None, "rows": []}
    extends = ABLATED_EXTENDS if ABLATED_EXTENDS in counts else min(counts)
    arms = [(None, 0), *((s, extends) for s in (*config.control_arms, config.extend_with))]
    rows = [
        {
            "extend_with": string,
            "cells": {
                results.benchmark: _cell(results, results.extended(string or "", count))
                for results in found
            },
        }
        for string, count in arms
    ]
    return {"extends": extends, "rows": rows}


def _cell(found: Results, one: Measured | None) -> dict[str, Any] | None:
    if one is None:
        return None
    row = found.row(one)
    return {name: row[name] for name in ("run", "accuracy", "interval")}
