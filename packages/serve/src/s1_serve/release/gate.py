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
_LEFT = "dry run: the server is not replaced, so the drain is left out"


def main(config: GateConfig) -> None:
    """Judge, show the rows, and commit the verdict.

    The clone is free for others while it judges, which may take an hour: a rollback cannot wait.
    Raises:
        UserError: the verdict is not a pass, or nothing could be judged.
    """
    here = Repository.here()
    with here.locked():
        repository = here.settled()
    release = record.find(repository, config.release)
    rules.check_current(repository, release)
    judge = _offline if config.endpoint is None else _staging
    verdict = judge(repository, config, release)
    _show(verdict)
    if config.dry_run:
        cli.say("dry run: nothing was recorded")
    else:
        with here.locked():
            _keep(here.settled(), config, verdict)
    if verdict.verdict != verdicts.PASS:
        raise UserError(_said(verdict))
    cli.say(f"passed: {_next(verdict)}")


def _offline(repository: Repository, config: GateConfig, release: Release) -> Verdict:
    """Judge model and report against those of what production serves now."""
    from s1_serve.release.gates import offline
    from s1_serve.release.gates.evidence import Evidence

    asked = rules.current(repository)
    serving = standing.serving(repository, standing.PRODUCTION)
    require(
        serving != release.id,
        f"production serves {short(release.id)}: it is what others are judged against",
    )
    former = record.find(repository, serving) if serving else None
    production = None
    if former is not None:
        again = config.production_report
        report = Path(again) if again else _place(config, store.REPORTS, former.report)
        model = store.place(config.store, store.MODELS, former.model)  # its hash is all we need
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
        f"staging is pinned to {short(staged)}, not to {short(release.id)}: run"
        f" `just promote staging {short(release.id)}` and `just deploy staging` first",
    )
    cli.say(f"the server will be replaced by: {config.restart}" if not config.dry_run else _LEFT)
    target = staging.Target(
        url=config.endpoint,
        api_key=os.environ.get(_KEY),
        restart=None if config.dry_run else restart.shell(config.restart),
    )
    with cli.working(f"asking {config.endpoint}"):
        found = staging.judge(asked, release, target)
    first = found.rows[0]
    require(
        first.verdict == verdicts.PASS,
        f"{config.endpoint}: {first.found}, wanted {first.wanted}; deploy staging, or mend the URL;"
        " nothing was recorded",
    )
    return Verdict(
        release=release.id,
        kind=verdicts.STAGING,
        gates=asked.sha256,
        report=release.report,
        against=standing.serving(repository, standing.PRODUCTION),
        served=found.served,
        deployment=standing.deployment(repository, release.id),
        rows=tuple(found.rows),
    )


def _place(config: GateConfig, kind: str, sha256: str) -> Path:
    """Find a folder in the store; without it nothing is judged, so nothing is recorded."""
    folder = store.place(config.store, kind, sha256)
    require(
        store.holds(folder, sha256),
        f"{folder} is not the {kind[:-1]} of that hash: bring it there, or link it (`just release"
        " create` does, where the folders are); nothing was recorded",
    )
    return folder


def _sha256_of(production: Evidence | None) -> str | None:
    """Give the hash of the report that production was compared by, where it could be read."""
    from s1_serve.release.gates.evidence import FAULTS

    try:
        return production.checked_report.artifact.sha256 if production else None
    except FAULTS:
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
    """Commit the verdict, unless this very one is there.

    Raises:
        UserError: what it was judged by or against moved meanwhile.
    """
    rules.check_current(repository, record.find(repository, verdict.release))
    is_same = verdict.against == standing.serving(repository, standing.PRODUCTION) and (
        verdict.deployment in (None, standing.deployment(repository, verdict.release))
    )
    require(is_same, "production or staging moved while it was judged: gate it again")
    if repository.show(verdict.path) == verdict.text:
        cli.say(f"up to date: {verdict.path}")
        repository.share(config.push)
        return
    subject = f"Gate {short(verdict.release)}, {verdict.kind}: {verdict.verdict}"
    message = f"{subject}\n\n{RELEASE}: {verdict.release}\n"
    repository.commit({verdict.path: verdict.text}, message, push=config.push)


def _said(verdict: Verdict) -> str:
    telling = [row for row in verdict.rows if row.verdict == verdict.verdict]
    first = telling[0] if telling else None
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
