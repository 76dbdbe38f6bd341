"""`just replay`: choose among stored samples by other rules, without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1_core import artifacts, cli
from s1_serve.evaluate.replay.config import ReplayConfig

if TYPE_CHECKING:
    from s1_serve.evaluate.replay.stored import Stored

KIND = "replay"
SCHEMA_VERSION = 4
"""2 gave auto a horizon to which traces without an answer counted as wrong; 3 had no lines of what
weighs by likelihood"""


def main(config: ReplayConfig) -> None:
    """Write and show the curves; what is there already is only shown."""
    from s1_serve.evaluate.replay import stored, table

    file, out = stored.source(Path(config.samples)), Path(config.out)
    parents = {file.name: artifacts.sha256_of(file)}
    if config.calibration:
        parents["calibration"] = artifacts.load(config.calibration, kind="calibration").sha256
    identity: dict[str, Any] = {
        "kind": KIND,
        "config": artifacts.identity(config) | {"replay_schema_version": SCHEMA_VERSION},
        "parents": parents,
    }
    if artifacts.is_current(out, **identity):
        cli.say(f"up to date: {out}")
    else:
        with artifacts.create(out, **identity) as draft:
            _write(draft, config, file)
    table.show(json.loads((out / "replay.json").read_text()), cli.console())
    for figure in sorted(out.glob("*.png")):
        cli.say(f"figure: {figure}")


def rows(one: Stored, config: ReplayConfig) -> list[dict[str, Any]]:
    """Give a row for each rule or strategy on one benchmark, with a bar over its questions."""
    from s1_serve.evaluate.replay import curves, lines

    wanted = curves.ways(config.methods, one.num_samples, lines.available(one, config))
    walk = cli.progress(enumerate(one.questions), one.benchmark, total=len(one.questions))
    outcomes = curves.replayed(walk, wanted, config)
    return [
        curves.row(one, way, found, config.seed)
        for way, found in zip(wanted, outcomes, strict=True)
    ]


def matched(one: Stored, config: ReplayConfig) -> list[dict[str, Any]]:
    """Give a row for each method at each budget of total tokens, then of sequential ones.

    None where samples do not say how many tokens they have.
    """
    from s1_serve.evaluate.replay import equal, lines

    found = lines.lines(one, config)
    trace = equal.unit(found)
    if not trace:
        return []
    axes = {equal.TOTAL: config.equal_tokens, equal.SEQUENTIAL: config.equal_sequential}
    return [
        {"benchmark": one.benchmark, "traces": row["budget"] / trace} | row
        for axis, traces in axes.items()
        for row in equal.compared(found, axis, [trace * each for each in traces], config.seed)
    ]


def _write(draft: artifacts.Draft, config: ReplayConfig, file: Path) -> None:
    from s1_serve.evaluate.replay import figure, parity, stored

    with cli.working("reading and grading the samples"):
        benchmarks = stored.read(file, config.run, config.workers)
    found = [row for one in benchmarks for row in rows(one, config)]
    equals = [] if config.method else [row for one in benchmarks for row in matched(one, config)]
    replay = {
        "schema_version": SCHEMA_VERSION,
        "samples": file.name,
        "tie": config.tie,
        "order": config.order,
        "num_subsets": config.num_subsets,
        "num_orders": config.num_orders,
        "seed": config.seed,
        "benchmarks": [
            {
                "name": one.benchmark,
                "run": one.run,
                "num_questions": len(one.questions),
                "num_samples": one.num_samples,
            }
            for one in benchmarks
        ],
        "rows": found,
        "equal": equals,
    }
    draft.write_text("replay.json", json.dumps(replay, indent=1, ensure_ascii=False) + "\n")
    drawn = {"replay": figure.draw(found)} | ({"equal": parity.draw(equals)} if equals else {})
    for name, forms in drawn.items():
        for form, content in forms.items():
            (draft.path / f"{name}.{form}").write_bytes(content)


if __name__ == "__main__":
    cli.run(ReplayConfig, main, package="serve")
