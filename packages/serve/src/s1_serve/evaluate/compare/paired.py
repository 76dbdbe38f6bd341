"""What changed between two reports, question by question, and what chance would show anyway.

Refuses reports of another schema, and those that share no run or asked other questions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from s1_core import artifacts, metrics
from s1_core.errors import UserError
from s1_serve.evaluate.config import MAJORITY
from s1_serve.evaluate.report.assembly import REPORT_VERSION
from s1_serve.evaluate.report.comparisons import LEVEL, UNCLEAR, compare
from s1_serve.evaluate.samples import Sample
from s1_serve.evaluate.votes import credit

Key = tuple[str, str]
Credits = dict[str, float]
SETTINGS = ("seed", "temperature", "max", "answer_tokens", "tie", "too_long")
"""of the configuration: what shapes a run and is not in its name"""


@dataclass(frozen=True)
class Report:
    """What each question of each run earned, and what that was measured with."""

    path: Path
    credits: Mapping[Key, Credits]
    origin: Mapping[str, Any]


def read(path: Path) -> Report:
    """Open a report; what is none, or one of another schema, is a UserError."""
    folder = artifacts.load(path, kind="report")
    file = path / "report.json"
    report = json.loads(file.read_text()) if file.is_file() else {}
    version = report.get("schema_version")
    if version != REPORT_VERSION:
        raise UserError(
            f"{path} holds a report of schema {version}, this version compares {REPORT_VERSION}: "
            "evaluate again"
        )
    credits = _credits(report, folder.read("samples", Sample))
    return Report(path, credits, origin(report, folder.config))


def origin(report: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a report was measured with, as far as its runs' names do not."""
    settings = {name: config.get(name) for name in SETTINGS}
    settings["context"] = (config.get("serve") or {}).get("context")
    settings["judge"] = (report.get("judge") or {}).get("model")
    return {
        "engine": report.get("engine"),
        "benchmark": _manifests(report),
        **{name: value for name, value in settings.items() if value is not None},
    }


def compared(a: Report, b: Report, seed: int) -> list[dict[str, Any]]:
    """Give a row for each run of both; no such run, or other questions, is a UserError."""
    rows = []
    for key in [key for key in a.credits if key in b.credits]:
        one, other = a.credits[key], b.credits[key]
        _check_questions(key[0], one, other)
        before, after = list(one.values()), [other[name] for name in one]
        gained, lost = metrics.flips(before, after)
        rows.append(
            {"benchmark": key[0], "run": key[1], "num_questions": len(one)}
            | {"accuracy_a": 100.0 * fmean(before), "accuracy_b": 100.0 * fmean(after)}
            | compare(after, before, seed)
            | {"gained": gained, "lost": lost}
        )
    if not rows:
        raise UserError(f"no run in common: {'; '.join(_alone(a, b)) or 'neither has a score'}")
    return rows


def remarks(a: Report, b: Report, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what only one report has, what else differs, and what chance alone would show."""
    lines = _alone(a, b) + [
        f"warning: {name} differs: {before} in a, {after} in b"
        for name, before, after in differing(a.origin, b.origin)
    ]
    found = sum(row["verdict"] != UNCLEAR for row in rows)
    return [
        *lines,
        f"{len(rows)} comparison{'s'[: len(rows) > 1]}, {found} distinguishable; if nothing "
        f"differed, at most {LEVEL * len(rows):.1f} would still be, by chance "
        f"({100 * LEVEL:.0f} % each)",
    ]


def _alone(a: Report, b: Report) -> list[str]:
    """Name the benchmarks of one report only, then the runs of one only on those of both."""
    asked = [dict.fromkeys(benchmark for benchmark, _ in one.credits) for one in (a, b)]
    sides = list(zip("ab", (a, b), (b, a), asked, asked[::-1], strict=True))
    benchmarks = {side: [n for n in own if n not in other] for side, _, _, own, other in sides}
    runs = {
        side: [": ".join(k) for k in one.credits if k[0] in those and k not in other.credits]
        for side, one, other, _, those in sides
    }
    return [
        "; ".join(f"only in {side}: {', '.join(names)}" for side, names in found.items() if names)
        for found in (benchmarks, runs)
        if any(found.values())
    ]


def _credits(report: Mapping[str, Any], samples: Sequence[Sample]) -> dict[Key, Credits]:
    """Give what every scored run earned; samples by their mean, then by each size of vote."""
    groups = grouped(samples)
    labels = {(s.benchmark, s.method if s.method == MAJORITY else s.run): s.run for s in samples}
    found: dict[Key, Credits] = {}
    for row in report["runs"]:
        is_vote, benchmark = row["method"] == MAJORITY, row["benchmark"]
        run = labels.get((benchmark, MAJORITY if is_vote else row["run"]))
        if row["accuracy"] is None or run is None:
            continue
        found[benchmark, run] = _each(groups[benchmark, run], _mean)
        if is_vote:
            found[benchmark, row["run"]] = _each(
                groups[benchmark, run], _voted(row["samples_per_question"], report["tie"])
            )
    return found


def grouped(samples: Sequence[Sample]) -> dict[Key, dict[str, list[Sample]]]:
    """Part the samples by benchmark and run, then by question, in the order they were drawn."""
    groups: dict[Key, dict[str, list[Sample]]] = {}
    for sample in sorted(samples, key=lambda sample: sample.sample):
        run = groups.setdefault((sample.benchmark, sample.run), {})
        run.setdefault(sample.question_id, []).append(sample)
    return groups


def _each(
    groups: Mapping[str, Sequence[Sample]], earned: Callable[[Sequence[Sample]], float]
) -> Credits:
    return {name: earned(groups[name]) for name in sorted(groups)}


def _mean(group: Sequence[Sample]) -> float:
    return fmean(sample.is_correct for sample in group)


def _voted(size: int, tie: str) -> Callable[[Sequence[Sample]], float]:
    return lambda group: credit(group[:size], tie)


def _check_questions(benchmark: str, a: Credits, b: Credits) -> None:
    if a.keys() != b.keys():
        raise UserError(
            f"{benchmark} asks other questions: {len(a.keys() - b.keys())} only in a, "
            f"{len(b.keys() - a.keys())} only in b; evaluate both on the same ones"
        )


def _manifests(report: Mapping[str, Any]) -> dict[str, str]:
    return {one["name"]: one["manifest_sha256"][:12] for one in report.get("benchmarks") or ()}


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """List what was measured with other means; a benchmark of one report only is no such thing."""
    before, after = _flat(a), _flat(b)
    names = dict.fromkeys([*before, *after])
    pairs = [(name, before.get(name), after.get(name)) for name in names]
    return [
        (name, one, other)
        for name, one, other in pairs
        if one != other and not (name.startswith("benchmark ") and None in (one, other))
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, Mapping)
        found |= _flat(value, f"{prefix}{name} ") if nested else {f"{prefix}{name}": value}
    return found
