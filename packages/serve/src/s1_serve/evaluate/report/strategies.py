"""Strategies held against a majority of the same cost: of all tokens, and of sequential ones.

Pure. What a strategy was told to draw says little of what it costs: its judges, rounds and drafts
are tokens too. The majority is mixed of two neighbouring votes so that its mean cost is the
strategy's; far beyond the smallest and the largest vote there is none, and no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from s1_core import metrics
from s1_serve.evaluate import specs, votes
from s1_serve.evaluate.config import MAJORITY, STRATEGY, EvaluateConfig
from s1_serve.evaluate.replay.equal import SEQUENTIAL, TOTAL, Point, mixed
from s1_serve.evaluate.report.comparisons import compare
from s1_serve.evaluate.report.runs import Results, Run, drawn, label
from s1_serve.evaluate.samples import Measured

AXES = {"equal_total": TOTAL, "equal_sequential": SEQUENTIAL}
"""the comparisons of a row, by the tokens of which both spend as many"""
FEWER, MORE = "fewer", "more"
"""than any majority: why there is no verdict"""
SLACK = 0.05
"""of a strategy's cost, by which it may miss the smallest or the largest vote: as many samples,
drawn anew, come out a little longer or shorter"""
_SHOWN = (
    "accuracy", "interval", "mean_total_tokens", "mean_sequential_tokens", "mean_aborted_tokens",
    "mean_verifier_tokens", "mean_samples", "degraded",
)  # fmt: skip
_COMPARED = ("between", "share", "mean_tokens", "accuracy", "difference", "verdict")


def strategies(found: Results, config: EvaluateConfig) -> list[Run]:
    """Compare every strategy to a majority that costs as much, question by question.

    A row has a comparison for each of `AXES`: `between` which votes, the second one for a `share`
    of the questions, what that vote costs (`mean_tokens`) and gets right (`accuracy`), the paired
    `difference` and its `verdict`; where no majority costs as much only `beyond`, FEWER or MORE.
    None for a majority itself, and where none was run.
    """
    line = _line(found, config)
    return [
        _row(found, one, [] if is_majority(one.setting.strategy) else line, config)
        for one in found.by(STRATEGY)
    ]


def is_majority(spec: str) -> bool:
    """Say whether a strategy is the plain vote, and not some variant of it."""
    name, told = specs.sized(spec)
    return name == MAJORITY and {*told} <= {"n"}


def _line(found: Results, config: EvaluateConfig) -> list[Point]:
    """Give the majority from its smallest size to its largest.

    The votes of the report; where none were run, the strategy majority at the sizes that were.
    """
    sampled = [(one, size) for one in found.by(MAJORITY) for size in sorted(config.votes)]
    served = [(one, 1) for one in found.by(STRATEGY) if is_majority(one.setting.strategy)]
    served.sort(key=lambda pair: specs.size(pair[0].setting.strategy))
    return [_point(one, size, config.tie) for one, size in sampled or served]


def _point(one: Measured, size: int, tie: str) -> Point:
    # Ties as served: shared credit would be a handicap that no strategy has.
    rule = votes.as_served(tie)
    return Point(label(one, size), [votes.outcome(group, rule) for group in drawn(one, size)])


def _row(found: Results, one: Measured, line: Sequence[Point], config: EvaluateConfig) -> Run:
    own, row = _point(one, 1, config.tie), found.row(one)
    return {
        "benchmark": found.benchmark,
        "run": one.setting.label,
        **{name: row[name] for name in _SHOWN},
        **{f"{axis}_interval": _spread(own.column(axis), config.seed) for axis in AXES.values()},
        **{name: _held(own, line, axis, config.seed) for name, axis in AXES.items()},
    }


def _held(own: Point, line: Sequence[Point], axis: str, seed: int) -> dict[str, Any] | None:
    if not line:
        return None
    cost, costs = own.mean(axis), [point.mean(axis) for point in line]
    nearest = min(max(cost, min(costs)), max(costs))
    if abs(cost - nearest) > SLACK * cost:
        return dict.fromkeys(_COMPARED) | {"beyond": FEWER if cost < nearest else MORE}
    vote = mixed(line, axis, nearest)
    assert vote is not None, "a cost between the ends is between two neighbours"
    credits = vote.column("credit")
    return {
        "between": vote.names,
        "share": vote.share,
        "mean_tokens": fmean(vote.column(axis)),
        "accuracy": 100.0 * fmean(credits),
        **compare(own.column("credit"), credits, seed),
        "beyond": None,
    }


def _spread(tokens: Sequence[float], seed: int) -> list[float]:
    """Give the interval of a mean of tokens; the bootstrap speaks in percent."""
    return [end / 100.0 for end in metrics.interval(tokens, seed=seed)]
