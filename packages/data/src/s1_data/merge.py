"""`just merge`: the shards beside OUT joined to the artifact that one unsharded run would write.

Refuses shards that are not all there, or not of one run.
"""

from __future__ import annotations

import re
from pathlib import Path

from s1_core import artifacts, cli
from s1_core.artifacts import Artifact
from s1_core.errors import UserError
from s1_data.endpoint.asking import Failure
from s1_data.endpoint.config import MergeConfig
from s1_data.endpoint.shard import Shard
from s1_data.teacher import RECORDS, Row, write_rows


def main(config: MergeConfig) -> None:
    """Write the artifact at `out` anew from its shards."""
    out = Path(config.out)
    shards = [artifacts.load(path) for path in _paths(out)]
    config_of_whole = _common(shards, out)
    task = str(config_of_whole["task"])
    rows: list[Row] = []
    failures: list[Failure] = []
    for shard in shards:
        rows += shard.read(task, RECORDS[task])
        failures += shard.read("failures", Failure)
    parents = shards[0].parents
    with artifacts.create(out, kind=task, config=config_of_whole, parents=parents) as draft:
        summary = write_rows(draft, task, rows, failures)
    line = f"{summary}, from {len(shards)} shards: {out}"
    cli.say(line)


def _paths(out: Path) -> list[Path]:
    """Find the folders of all n shards; UserError naming those that are missing."""
    names = re.compile(re.escape(out.name) + r"\.shard-\d+-of-(\d+)")
    siblings = out.parent.iterdir() if out.parent.is_dir() else ()
    counts = {int(found[1]) for path in siblings if (found := names.fullmatch(path.name))}
    if not counts:
        raise UserError(f"no {out}.shard-0-of-n; make the shards with `just traces --shard i/n`")
    if len(counts) > 1:
        raise UserError(
            f"beside {out} lie shards of {' and of '.join(map(str, sorted(counts)))};"
            " remove all but those of one number"
        )
    count = counts.pop()
    paths = [Shard(index, count).path(out) for index in range(count)]
    missing = [f"{index}/{count}" for index, path in enumerate(paths) if not path.is_dir()]
    if missing:
        raise UserError(
            f"shard {', '.join(missing)} of {out} is missing; run `just traces --shard"
            f" {missing[0]}` with the options of the others"
        )
    return paths


def _common(shards: list[Artifact], out: Path) -> dict[str, object]:
    """Give the configuration that all shards share, without the number of the shard."""
    first = shards[0]
    shared = {key: value for key, value in first.config.items() if key != "shard"}
    for index, found in enumerate(shards):
        wanted = shared | {"shard": Shard(index, len(shards)).name}
        if found.config != wanted or not found.kind.endswith("-shard"):
            raise UserError(
                f"{found.path} was made with {found.config}, wanted {wanted}; run it again"
            )
        if found.parents != first.parents:
            raise UserError(
                f"{found.path} and {first.path} were asked different questions; run one again"
            )
    return shared


if __name__ == "__main__":
    cli.run(MergeConfig, main, package="data")
