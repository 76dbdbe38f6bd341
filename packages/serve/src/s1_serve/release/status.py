"""`just release status`: which release is where, since when, and what its gates said."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace

from s1_core import cli
from s1_serve.release import pins, standing, verdicts
from s1_serve.release.config import StatusConfig
from s1_serve.release.record import short
from s1_serve.release.repository import Repository
from s1_serve.release.standing import Standing

_HEAD = ("release", "state", "since (UTC)", "by commit", "model", "step", "offline", "staging")


def main(config: StatusConfig) -> None:
    """Print the table; nothing is changed."""
    here = Repository.here()
    repository = replace(here, at=here.head())
    found = standing.standings(repository)
    if config.json:
        rows = [
            {
                "release": one.release.id,
                "state": one.state,
                "since": one.since.time.isoformat(),
                "commit": one.since.commit,
                "model": one.release.model,
                "image": one.release.image,
                "verdicts": dict(one.verdicts),
            }
            for one in found
        ]
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    _show(found)
    for stage in reversed(pins.STAGES):
        cli.say(f"{stage} is pinned to {short(standing.serving(repository, stage))}")


def _show(found: Sequence[Standing]) -> None:
    from s1_serve.evaluate.report import terminal
    from s1_serve.evaluate.report.grids import Grid

    rows = [
        [
            short(one.release.id),
            one.state,
            f"{one.since.time:%Y-%m-%d %H:%M}",
            one.since.commit[:10],
            short(one.release.model),
            str(one.release.step or ""),
            one.verdicts.get(verdicts.OFFLINE, "-"),
            one.verdicts.get(verdicts.STAGING, "-"),
        ]
        for one in found
    ]
    title = f"{len(rows)} release{'s'[: len(rows) != 1]}"
    terminal.widened(cli.console()).print(terminal.table(Grid(title, _HEAD, rows)))
