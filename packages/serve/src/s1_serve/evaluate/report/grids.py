"""The tables of a report as titles, heads and cells of text, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from s1_serve.evaluate.config import BUDGET, DIRECT, MAJORITY, STRATEGY
from s1_serve.evaluate.report.comparisons import BETTER, WORSE
from s1_serve.evaluate.report.markup import (
    NOTHING,
    change,
    interval,
    kept,
    number,
    percent,
    scored,
    string,
)
from s1_serve.evaluate.report.runs import takes_all
from s1_serve.evaluate.report.strategies import SLACK

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Grid:
    """A table without its form."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    under: str = ""
    num_names: int = 1
    """the first columns, which are no numbers"""


def grids(report: Report) -> list[Grid]:
    """Give the tables of the page that have rows, in its order."""
    found = [forcing(report), measures(report), ablation(report), _compared(report)]
    names = _benchmarks(report)
    found += [_sources(report), *(_votes(report, name) for name in names)]
    found += [strategies(report, name) for name in names]
    return narrowed(found + [_runs(report, name) for name in names])


def narrowed(found: Sequence[Grid]) -> list[Grid]:
    """Leave out empty tables, and the name of the benchmark where there is only one."""
    full = [grid for grid in found if grid.rows]
    named = {row[0] for grid in full for row in grid.rows if grid.head[0] == "benchmark"}
    return [
        replace(
            grid,
            head=grid.head[1:],
            rows=[row[1:] for row in grid.rows],
            num_names=max(1, grid.num_names - 1),
        )
        if grid.head[0] == "benchmark" and len(named) == 1
        else grid
        for grid in full
    ]


def forcing(report: Report) -> Grid:
    """Give the paper's Table 1."""
    rows = [
        [
            row["benchmark"],
            scored(row["without"]),
            scored(row["best"]),
            row["best"]["run"] if row["best"] else "–",
            change(row["difference"]),
        ]
        for row in report["tables"]["table1"]
        if row["best"] or row["without"]
    ]
    head = ("benchmark", "without forcing", "best forced", "which", "difference")
    under = (
        "Accuracy in %. The best forced run is chosen on these questions, which flatters it: its "
        "difference is no verdict."
    )
    return Grid("With and without forcing (Table 1)", head, rows, under)


def measures(report: Report) -> Grid:
    """Give the paper's Table 3."""
    rows = [
        [
            row["benchmark"],
            row["name"],
            number(row["control"], ".0f"),
            number(row["scaling"], "+.1f"),
            number(row["scaling_per_1000_tokens"], "+.2f"),
            number(row["performance"]),
            str(row["num_runs"]),
        ]
        for row in report["tables"]["table3"]
    ]
    head = ("benchmark", "method", "Control", "Scaling", "per 1,000", "Performance", "runs")
    title = "Control, Scaling, Performance (Table 3)"
    return Grid(title, head, rows, _on_measures(report), num_names=2)


def ablation(report: Report) -> Grid:
    """Give the paper's Table 4."""
    table, names = report["tables"]["table4"], _benchmarks(report)
    rows = [
        [string(row["extend_with"]), *(scored(row["cells"][name]) for name in names)]
        for row in table["rows"]
    ]
    title = f"Extend strings, each {table['extends']} x (Table 4)"
    return Grid(title, ("extend string", *names), rows, "Accuracy in %.")


def strategies(report: Report, name: str) -> Grid:
    """Give what every strategy came to, beside a majority that costs as much."""
    head = (
        "strategy", "accuracy", "at equal tokens", "at equal sequential", "all tokens",
        "sequential", "all, 95 %", "sequential, 95 %", "stopped", "judging", "samples", "degraded",
    )  # fmt: skip
    rows = [
        [
            f"{at}. {row['run']}",
            number(row["accuracy"]),
            _equal(row["equal_total"]),
            _equal(row["equal_sequential"]),
            number(row["mean_total_tokens"], ".0f"),
            number(row["mean_sequential_tokens"], ".0f"),
            interval(row["total_tokens_interval"], ".0f"),
            interval(row["sequential_tokens_interval"], ".0f"),
            number(row["mean_aborted_tokens"], ".0f"),
            number(row["mean_verifier_tokens"], ".0f"),
            number(row["mean_samples"]),
            str(row["degraded"]),
        ]
        for at, row in enumerate(_of(report["strategies"], name), 1)
    ]
    under = (
        "Accuracy in %, tokens a question: of all calls, of the longest chain of calls, of samples "
        "that were stopped early, of what judged. The differences are to a majority vote that "
        "costs as many tokens, all of them or one after another (its longest sample): between two "
        "sizes of vote a coin decides, so that its mean is the strategy's; ties as served, stop "
        "tokens counted. A strategy that costs fewer or more than any vote that was run, by over "
        f"{100 * SLACK:.0f} %, has no verdict. "
        "Degraded: questions where less decided than was asked for."
    )
    return Grid(f"Strategies less a majority: {name}", head, rows, under)


def _equal(row: Mapping[str, Any] | None) -> str:
    """Write a comparison at equal cost, or why there is none."""
    if row is None:
        return NOTHING
    return f"{row['beyond']} than any" if row["beyond"] else gap(row)


def _of(rows: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["benchmark"] == name]


def gap(row: Mapping[str, Any]) -> str:
    """Write a difference, and its verdict where there is one to speak of."""
    verdict = row["verdict"]
    return change(row["difference"]) + (f" {verdict}" if verdict in (BETTER, WORSE) else "")


def run_name(row: Mapping[str, Any]) -> str:
    """Name a run in a few words."""
    return "direct (base)" if row["method"] == DIRECT else str(row["run"])


def accuracy(row: Mapping[str, Any]) -> str:
    """Write the accuracy of a run, or why it has none."""
    unscored = "not enforced" if row["enforced"] is False else "not checked"
    return unscored if row["accuracy"] is None else f"{row['accuracy']:.1f}"


def _runs(report: Report, name: str) -> Grid:
    head = (
        "run", "accuracy", "95 % interval", "thinking tokens", "in limit", "all tokens",
        "no answer", "only in thinking", "answer cut", "natural end / at maximum / neither",
    )  # fmt: skip
    rows = [
        [
            run_name(row),
            accuracy(row),
            interval(row["interval"]),
            number(row["mean_thinking_tokens"]),
            kept(row["control_ok"]),
            number(row["mean_total_tokens"]),
            *(percent(row["extraction"][kind]) for kind in ("none", "thinking_only", "cut")),
            " / ".join(str(count) for count in row["ends"].values()),
        ]
        for row in report["runs"]
        if row["benchmark"] == name
    ]
    under = (
        "Thinking tokens: of all samples of a vote together; none for a strategy, which keeps only "
        "those of the answer it chose."
    )
    is_mixed = any(row["method"] in (MAJORITY, STRATEGY) for row in _of(report["runs"], name))
    return Grid(f"All runs: {name}", head, rows, under if is_mixed else "")


def _votes(report: Report, name: str) -> Grid:
    head = (
        "vote", "accuracy", "coverage", "pass@k", "all tokens", "longest sample",
    )  # fmt: skip
    rows = [
        [
            row["run"],
            f"{accuracy(row)} {interval(row['interval'])}",
            number(row["coverage"]),
            number(row["pass_at_k"]),
            number(row["mean_total_tokens"]),
            number(row["mean_sequential_tokens"]),
        ]
        for row in report["runs"]
        if row["benchmark"] == name and row["method"] == MAJORITY
    ]
    under = (
        f"Accuracy of the vote in %, ties {report['tie']}. Coverage: the share of questions that "
        "one of the first k samples gets right; pass@k: the same for any k of all samples."
    )
    return Grid(f"Votes: {name}", head, rows, under)


def _compared(report: Report) -> Grid:
    head = (
        "benchmark", "extend string", "extends", "accuracy", "change", "verdict",
        "turned right / wrong", "test string less this", "extends used", "thinking tokens",
    )  # fmt: skip
    rows = [
        [
            row["benchmark"],
            string(row["extend_with"]),
            str(row["extends"]),
            number(row["accuracy"]),
            change(row["difference"]),
            row["verdict"],
            f"{row['wrong_to_right']} / {row['right_to_wrong']}",
            change(row["against_test_string"]),
            number(row["mean_used_extends"], ".2f"),
            number(row["mean_thinking_tokens"]),
        ]
        for row in report["extends"]
    ]
    return Grid("Extends against none", head, rows, num_names=2)


def _sources(report: Report) -> Grid:
    """Show where the gain is, and where there is none."""
    head = (
        "benchmark", "source", "questions", "maximum 0", "no forcing", "extended", "change",
        "verdict",
    )  # fmt: skip
    rows = [
        [
            row["benchmark"],
            row["source"],
            str(row["num_questions"]),
            *(number(row[name]) for name in ("at_once", "free", "extended")),
            change(row["difference"]),
            row["verdict"] or "–",
        ]
        for row in report["sources"]
    ]
    fewest = max((row["extends"] for row in report["sources"]), default=0)
    under = f'Extended: {fewest} x "{report["extend_with"]}".' if fewest else ""
    return Grid("By source", head, rows, under, num_names=2)


def _on_measures(report: Report) -> str:
    under = (
        "Control: % of the runs with a limit that keep it. Scaling: points per doubling of mean "
        "thinking tokens, over all pairs of runs whose thinking differs; leaves out runs that did "
        "not think at all, as at maximum 0, which the points per 1,000 tokens take in. "
        "Performance: the best accuracy in %."
    )
    if any(row["method"] == BUDGET for row in report["tables"]["table3"]):
        under += f" Budget forcing: the maxima, and the extends by {string(report['extend_with'])}."
    if not takes_all([row for row in report["runs"] if row["accuracy"] is not None]):
        under += (
            " No Scaling of rejection sampling: answers that it did not take count as wrong, and "
            "they are fewer at a larger maximum."
        )
    return under


def _benchmarks(report: Report) -> list[str]:
    return list(dict.fromkeys(row["benchmark"] for row in report["runs"]))
