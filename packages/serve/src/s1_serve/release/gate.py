"""`just gate ID`: judge a release and commit the verdict; with --endpoint, what staging serves.

Ends with 0 on a pass alone, so that a script stops where a release does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from s1_core import cli
from s1_core.errors import UserError, require
from s1_serve.release import record, rules, standing, store, verdicts
from s1_serve.release.config import GateConfig
from s1_serve.release.record import Release, short
from s1_serve.release.repository import RELEASE, Repository
from s1_serve.release.verdicts import Verdict

if TYPE_CHECKING:
    from s1_serve.release.gates.evidence import Evidence

_KEY = "S1_API_KEY"


def main(config: GateConfig) -> None:
    """Judge, show the rows, and commit the verdict.

    Raises:
        UserError: the verdict is not a pass, or nothing could be judged.
    """
    repository = Repository.here()
    with repository.locked():
        repository.demand_clean()
        release = record.find(repository, config.release)
        rules.check_current(repository, release)
        judge = _staging if config.endpoint else _offline
        verdict = judge(repository, config, release)
        _show(verdict)
        _keep(repository, config, verdict)
    if verdict.verdict != verdicts.PASS:
        raise UserError(_said(verdict))
    cli.say(f"passed: {_next(verdict)}")


def _offline(repository: Repository, config: GateConfig, release: Release) -> Verdict:
    """Judge model and report against those of what production serves now."""
    from s1_serve.release.gates import offline
    from s1_serve.release.gates.evidence import Evidence

    asked = rules.current(repository)
    serving = standing.serving(repository, standing.PRODUCTION)
    former = record.find(repository, serving) if serving and serving != release.id else None
    production = None
    if former is not None:
        again = config.production_report
        report = Path(again) if again else _place(config, store.REPORTS, former.report)
        model = _place(config, store.MODELS, former.model)
        production = Evidence(former, model, report, is_measured_again=again is not None)
    candidate = Evidence(
        release,
        _place(config, store.MODELS, release.model),
        _place(config, store.REPORTS, release.report),
    )
    with cli.working(f"judging {short(release.id)}"):
        rows = offline.rows(asked, candidate, production)
    return Verdict(
        release=release.id,
        kind=verdicts.OFFLINE,
        gates=asked.sha256,
        report=release.report,
        against=former.id if former else None,
        against_report=_sha256_of(production),
        rows=tuple(rows),
    )


def _staging(repository: Repository, config: GateConfig, release: Release) -> Verdict:
    """Judge the endpoint of staging, which has to serve this release by its pins."""
    from s1_serve.release.gates.endpoint import restart, staging

    assert config.endpoint is not None
    asked = rules.current(repository)
    staged = standing.serving(repository, standing.STAGING)
    require(
        staged == release.id,
        f"staging serves {short(staged)} by its pins, not {short(release.id)}: run"
        f" `just promote staging {short(release.id)}` and `just deploy staging` first",
    )
    target = staging.Target(
        url=config.endpoint,
        api_key=os.environ.get(_KEY),
        restart=restart.shell(config.restart),
    )
    with cli.working(f"asking {config.endpoint}"):
        found = staging.judge(asked, release, target)
    return Verdict(
        release=release.id,
        kind=verdicts.STAGING,
        gates=asked.sha256,
        report=release.report,
        against=standing.serving(repository, standing.PRODUCTION),
        served=found.served,
        rows=tuple(found.rows),
    )


def _place(config: GateConfig, kind: str, sha256: str) -> Path:
    return store.place(config.store, kind, sha256)


def _sha256_of(production: Evidence | None) -> str | None:
    """Give the hash of the report that production was compared by, where it could be read."""
    try:
        return production.checked_report.artifact.sha256 if production else None
    except UserError:
        return None


def _show(verdict: Verdict) -> None:
    from s1_serve.evaluate.report import terminal
    from s1_serve.evaluate.report.grids import Grid

    rows = [[row.gate, row.verdict, row.found, row.wanted] for row in verdict.rows]
    against = f", against {short(verdict.against)}" if verdict.kind == verdicts.OFFLINE else ""
    title = f"{short(verdict.release)}, {verdict.kind} gates{against}: {verdict.verdict}"
    grid = Grid(title, ("gate", "verdict", "found", "wanted"), rows)
    terminal.widened(cli.console()).print(terminal.table(grid))


def _keep(repository: Repository, config: GateConfig, verdict: Verdict) -> None:
    """Commit the verdict, unless this very one is there."""
    if config.dry_run:
        cli.say("dry run: nothing was recorded")
    elif repository.show(verdict.path) == verdict.text:
        cli.say(f"up to date: {verdict.path}")
    else:
        subject = f"Gate {short(verdict.release)}, {verdict.kind}: {verdict.verdict}"
        message = f"{subject}\n\n{RELEASE}: {verdict.release}\n"
        files = {verdict.path: verdict.text}
        repository.commit(files, message, on=repository.head(), push=config.push)


def _said(verdict: Verdict) -> str:
    rows = {row.gate: row for row in verdict.rows}
    first = rows[verdict.failing[0]] if verdict.failing else None
    shown = f"{first.gate} found {first.found}, wanted {first.wanted}" if first else "no gate ran"
    more = f" and {len(verdict.failing) - 1} more" if len(verdict.failing) > 1 else ""
    end = "is rejected" if verdict.verdict == verdicts.FAIL else "is not shown to be good enough"
    return f"{short(verdict.release)} {end}: {shown}{more}; it is not promoted"


def _next(verdict: Verdict) -> str:
    name = short(verdict.release)
    if verdict.kind == verdicts.OFFLINE:
        return f"next: just promote staging {name}"
    return f"next: just promote production {name} --expect {short(verdict.against)}"


if __name__ == "__main__":
    cli.run(GateConfig, main, package="serve")
