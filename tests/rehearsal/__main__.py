"""`just rehearse`: a checkpoint's way through staging to production, and back, on this machine.

Everything is real but the cluster: trainings, exports, evaluations, the Bento, its servers, gates,
commits in a clone of this repository, and streams that nobody may lose. See stage.py for what
stands in for Kubernetes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from rehearsal import checkpoints, ground
from rehearsal.checkpoints import FIRST, GOOD, WORSE, Checkpoint, Folders, verb
from rehearsal.control import restarting
from rehearsal.ground import git
from rehearsal.load import Load
from rehearsal.stage import Stage
from s1_core import cli
from s1_serve.release import pins, record, verdicts
from s1_serve.release.record import Release, short
from s1_serve.release.repository import Repository


@dataclass
class Rehearsal:
    """What the steps share: folders, stages, and the rows of the closing table."""

    folders: Folders
    clone: Path
    work: Path
    staging: Stage
    production: Stage
    image: str
    rows: list[tuple[str, str, float]] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)

    def step(self, name: str, work: Callable[[], str]) -> None:
        """Do a step, and note what happened and how long it took."""
        begun = time.monotonic()
        with cli.working(name):
            found = work()
        cli.say(f"- {name}: {found}")
        self.rows.append((name, found, time.monotonic() - begun))

    def record(self, name: str) -> Release:
        """Read the record of a checkpoint's release."""
        return record.find(Repository(self.clone), self.ids[name])

    def refused(self, *words: object) -> str:
        """Run a verb that has to be refused; give its one line."""
        command = [sys.executable, "-m", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        return done.stderr.strip().splitlines()[-1].removeprefix("s1: ")


@dataclass(frozen=True, kw_only=True)
class RehearsalConfig:
    """Walk a checkpoint's way through staging to production and back, on this machine."""

    out: str = "artifacts/rehearsal"
    """where data, runs, models and reports go; a second rehearsal finds them"""


def main(config: RehearsalConfig) -> None:
    """Rehearse, print the table, and leave nothing running."""
    os.environ.update(ground.AUTHOR | ground.QUIET)
    begun = time.monotonic()
    folders = Folders(Path(config.out).resolve())
    with tempfile.TemporaryDirectory(prefix="s1-rehearsal-") as name:
        work = Path(name)
        clone = ground.clone(work)
        os.chdir(clone)
        bentos, image = ground.bento(work)
        stages = [Stage(stage, clone, bentos, work) for stage in pins.STAGES]
        rehearsal = Rehearsal(folders, clone, work, *stages, image)
        try:
            _rehearse(rehearsal)
        finally:
            for stage in stages:
                stage.close()
    _table(rehearsal, time.monotonic() - begun)


def _rehearse(on: Rehearsal) -> None:
    on.step("data of the bank", lambda: checkpoints.prepare(on.folders))
    for checkpoint in (FIRST, GOOD, WORSE):
        on.step(f"train, export and evaluate {checkpoint.name}", lambda c=checkpoint: _made(on, c))
    on.step("first: floors, staging, production", lambda: _first(on))
    on.step("good: gated against first, on staging", lambda: _good(on))
    on.step("good: to production under live streams", lambda: _under_load(on, _promotion(on)))
    on.step("worse: stopped by the gate", lambda: _worse(on))
    on.step("tampered weights: refused", lambda: _tampered_weights(on))
    on.step("tampered record: refused", lambda: _tampered_record(on))
    on.step("rollback under live streams", lambda: _under_load(on, _rollback(on)))
    on.step("where everything stands", lambda: _standing(on))


def _made(on: Rehearsal, checkpoint: Checkpoint) -> str:
    checkpoints.make(on.folders, checkpoint)
    report = json.loads((on.folders.report(checkpoint) / "report.json").read_text())
    found = ", ".join(f"{row['accuracy']:.1f} % at {row['run']}" for row in report["runs"][-2:])
    return f"{checkpoint.about}: {found}"


def _created(on: Rehearsal, checkpoint: Checkpoint) -> str:
    """Create the release of a checkpoint and give its id."""
    model, report = on.folders.model(checkpoint), on.folders.report(checkpoint)
    words = ("--model", model, "--report", report, "--image", on.image)
    release = verb("s1_serve.release", "create", *words).strip()
    assert verb("s1_serve.release", "create", *words).strip() == release, "creating twice is once"
    on.ids[checkpoint.name] = release
    return release


def _staged(on: Rehearsal, release: str) -> None:
    """Gate a release offline, put it on staging, and gate it there."""
    verb("s1_serve.release.gate", release)
    verb("s1_serve.release.promote", "staging", release)
    on.staging.sync()
    with restarting(on.staging.sync) as command:
        verb("s1_serve.release.gate", release, "--endpoint", on.staging.url, "--restart", command)


def _first(on: Rehearsal) -> str:
    release = _created(on, FIRST)
    refused = on.refused("s1_serve.release.promote", "production", release, "--expect", "none")
    assert "only what staging serves" in refused, refused
    _staged(on, release)
    verb("s1_serve.release.promote", "production", release, "--expect", "none")
    on.production.sync()
    return f"{short(release)} passed {_num_gates(on, release)} gates and serves"


def _good(on: Rehearsal) -> str:
    release = _created(on, GOOD)
    _staged(on, release)
    stale = on.refused("s1_serve.release.promote", "production", release, "--expect", "none")
    assert "not none as --expect says" in stale, stale
    return f"{short(release)} passed {_num_gates(on, release)} gates"


def _promotion(on: Rehearsal) -> Callable[[], str]:
    def promote() -> str:
        words = ("production", on.ids["good"], "--expect", on.ids["first"])
        verb("s1_serve.release.promote", *words)
        return "good"

    return promote


def _rollback(on: Rehearsal) -> Callable[[], str]:
    def rollback() -> str:
        verb("s1_serve.release.rollback", "production")
        return "first"

    return rollback


def _under_load(on: Rehearsal, change: Callable[[], str]) -> str:
    """Change production while clients stream from it; every stream has to end whole."""
    with Load(on.production.url) as load:
        name = change()
        on.production.sync()
        load.await_answers(8)
    served = _served(on.production)
    assert served == on.record(name).model, "production serves another model than its pins say"
    assert not load.lost, load.lost
    return f"{load.whole} streams, {len(load.lost)} lost; now serves {name}"


def _worse(on: Rehearsal) -> str:
    release = _created(on, WORSE)
    line = on.refused("s1_serve.release.gate", release)
    refused = on.refused("s1_serve.release.promote", "staging", release)
    assert "did not pass the offline gates: fail" in refused, refused
    return line


def _tampered_weights(on: Rehearsal) -> str:
    """Flip one bit of a copy of the good model."""
    copy = on.work / "tampered"
    shutil.copytree(on.folders.model(GOOD), copy)
    file = copy / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    words = ("--model", copy, "--report", on.folders.report(GOOD), "--image", on.image)
    return on.refused("s1_serve.release", "create", *words).replace(f"{on.work}/", "")


def _tampered_record(on: Rehearsal) -> str:
    """Let the record of the worse model name the good one's report, and commit that."""
    path = on.clone / f"{record.FOLDER}/{on.ids['worse']}.json"
    text = path.read_text()
    path.write_text(text.replace(on.record("worse").report, on.record("good").report))
    git(on.clone, "commit", "--quiet", "--all", "--message", "tampered")
    line = on.refused("s1_serve.release.promote", "staging", on.ids["worse"])
    git(on.clone, "revert", "--no-edit", "HEAD")
    assert "was altered" in line, line
    return line


def _standing(on: Rehearsal) -> str:
    rows = json.loads(verb("s1_serve.release", "status", "--json"))
    found = {row["release"]: row["state"] for row in rows}
    states = {name: found[release] for name, release in on.ids.items()}
    wanted = {"first": "production", "good": "rolled-back", "worse": "rejected"}
    assert states == wanted, states
    return ", ".join(f"{name} {state}" for name, state in states.items())


def _served(stage: Stage) -> str:
    card = httpx.get(f"{stage.url}/v1/models", timeout=30).json()["data"][0]
    return str(card["thinking"]["manifest_sha256"])


def _num_gates(on: Rehearsal, release: str) -> int:
    judged = verdicts.of(Repository(on.clone), release)
    return sum(len(verdict.rows) for verdict in judged.values())


def _table(on: Rehearsal, seconds: float) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"rehearsal, {seconds:.0f} s", title_justify="left")
    for name in ("step", "what happened", "s"):
        table.add_column(name, justify="right" if name == "s" else "left", overflow="fold")
    for name, found, took in on.rows:
        table.add_row(name, found, f"{took:.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    cli.run(RehearsalConfig, main, package="serve")
