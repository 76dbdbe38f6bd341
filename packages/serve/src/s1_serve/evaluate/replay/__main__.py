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
SCHEMA_VERSION = 1


def main(config: ReplayConfig) -> None:
    """Write and show the curves; what is there already is only shown."""
    from s1_serve.evaluate.replay import stored, table

    file, out = stored.source(Path(config.samples)), Path(config.out)
    identity: dict[str, Any] = {
        "kind": KIND,
        "config": artifacts.identity(config) | {"replay_schema_version": SCHEMA_VERSION},
        "parents": {file.name: artifacts.sha256_of(file)},
    }
    if artifacts.is_current(out, **identity):
        cli.say(f"up to date: {out}")
    else:
        with artifacts.create(out, **identity) as draft:
            _write(draft, config, file)
    table.show(json.loads((out / "replay.json").read_text()), cli.console())
    cli.say(f"figure: {out / 'replay.png'}")


def rows(one: Stored, config: ReplayConfig) -> list[dict[str, Any]]:
    """Give a row for each rule on one benchmark, with a bar over its questions."""
    from s1_serve.evaluate.replay import curves

    wanted = curves.rules(config.method, one.num_samples)
    walk = cli.progress(enumerate(one.questions), one.benchmark, total=len(one.questions))
    outcomes = curves.replayed(walk, wanted, config)
    return [
        curves.row(one, rule, found, config.seed)
        for rule, found in zip(wanted, outcomes, strict=True)
    ]


def _write(draft: artifacts.Draft, config: ReplayConfig, file: Path) -> None:
    from s1_serve.evaluate.replay import figure, stored

    with cli.working("reading and grading the samples"):
        benchmarks = stored.read(file, config.run, config.workers)
    found = [row for one in benchmarks for row in rows(one, config)]
    replay = {
        "schema_version": SCHEMA_VERSION,
        "samples": file.name,
        "tie": config.tie,
        "order": config.order,
        "num_subsets": config.num_subsets,
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
    }
    draft.write_text("replay.json", json.dumps(replay, indent=1, ensure_ascii=False) + "\n")
    for form, content in figure.draw(found).items():
        (draft.path / f"replay.{form}").write_bytes(content)


if __name__ == "__main__":
    cli.run(ReplayConfig, main, package="serve")
