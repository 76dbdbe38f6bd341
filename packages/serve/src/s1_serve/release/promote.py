"""`just promote STAGE ID`: one commit that changes the digests of one overlay, or a line why not.

Staging takes what passed the offline gates against what production serves now; production takes
what passed on staging, unchanged.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from dataclasses import dataclass

from s1_core import cli
from s1_core.errors import UserError, require
from s1_serve.release import pins, record, standing, verdicts
from s1_serve.release.config import NONE, PromoteConfig
from s1_serve.release.record import Release, short
from s1_serve.release.repository import RELEASE, Repository
from s1_serve.release.rules import check_current


def main(config: PromoteConfig) -> None:
    """Promote, unless the stage serves the release already.

    Raises:
        UserError: what the stage asks for is not there; nothing has changed.
    """
    here = Repository.here()
    with here.locked():
        repository = here.settled()
        release = record.find(repository, config.release)
        now = standing.serving(repository, config.stage)
        if now == release.id:
            cli.say(f"up to date: {config.stage} is pinned to {short(now)}")
            repository.share(config.push)
            return
        check_expected(repository, config.stage, now, config.expect)
        _CHECKS[config.stage](repository, release)
        move = Move(config.stage, standing.PROMOTE, release, now)
        move.make(repository, dry_run=config.dry_run, push=config.push)


@dataclass(frozen=True)
class Move:
    """A stage's step from one release to another."""

    stage: str
    action: str
    release: Release
    former: str | None

    def make(self, repository: Repository, *, dry_run: bool, push: str | None) -> None:
        """Show what changes, then commit it."""
        wanted = pins.of(self.release)
        before = pins.current(repository, self.stage)
        self._show(before.text, wanted.text)
        if dry_run:
            cli.say("dry run: nothing was changed")
            return
        files = {pins.path(self.stage): wanted.text}
        made = repository.commit(files, self._message(), push=push)
        cli.say(f"{self.stage} is pinned to {short(self.release.id)} by commit {made[:12]}")
        cli.say(f"next: just deploy {self.stage}")

    def _show(self, before: str, after: str) -> None:
        cli.say(f"{self.action} {self.stage}: {short(self.former)} -> {short(self.release.id)}")
        path = pins.path(self.stage)
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), path, path, n=0)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))

    def _message(self) -> str:
        verb = "Promote {} to {}" if self.action == standing.PROMOTE else "Roll back to {} on {}"
        trailers = {
            RELEASE: self.release.id,
            standing.STAGE: self.stage,
            standing.ACTION: self.action,
            standing.FROM: self.former or NONE,
        }
        lines = [f"{name}: {value}" for name, value in trailers.items()]
        return "\n".join([verb.format(short(self.release.id), self.stage), "", *lines]) + "\n"


def check_expected(
    repository: Repository, stage: str, now: str | None, expected: str | None
) -> None:
    """Refuse to move a stage that is not where the caller thinks it is."""
    if expected is None:
        return
    wanted = None if expected == NONE else record.find(repository, expected).id
    require(
        now == wanted,
        f"{stage} serves {short(now)}, not {short(wanted)} as --expect says: it moved meanwhile;"
        " look at `just release status`, and gate again what was measured against it",
    )


def _check_offline(repository: Repository, release: Release) -> None:
    """Ask for a pass of the offline gates that is still about today's production and gates."""
    check_current(repository, release)
    verdict = _passed(repository, release, verdicts.OFFLINE, f"just gate {short(release.id)}")
    production = standing.serving(repository, standing.PRODUCTION)
    require(
        production in (verdict.against, release.id),
        f"{short(release.id)} was judged against {short(verdict.against)}, and production serves"
        f" {short(production)} now: run `just gate {short(release.id)}` again",
    )


def _check_staged(repository: Repository, release: Release) -> None:
    """Ask for the very pins that staging has, and for its gates' pass."""
    staged = standing.serving(repository, standing.STAGING)
    require(
        staged == release.id,
        f"staging serves {short(staged)}: production takes only what staging serves, unchanged;"
        f" run `just promote staging {short(release.id)}` first",
    )
    _check_offline(repository, release)
    again = f"just gate {short(release.id)} --endpoint URL"
    verdict = _passed(repository, release, verdicts.STAGING, again)
    require(
        verdict.deployment == standing.deployment(repository, release.id),
        f"since {short(release.id)} passed on staging, that was promoted to anew, or"
        " infra/k8s/serving changed, or production rolled the release back: see why, deploy"
        f" staging, and run `{again}` again",
    )


def _passed(repository: Repository, release: Release, kind: str, command: str) -> verdicts.Verdict:
    verdict = verdicts.of(repository, release.id).get(kind)
    if verdict is None:
        raise UserError(f"{short(release.id)} has no {kind} verdict: run `{command}` first")
    made_of = (verdict.gates, verdict.report, verdict.served or release.model)
    if made_of != (release.gates, release.report, release.model):
        raise UserError(f"{verdict.path} is not about this release's evidence: run `{command}`")
    if verdict.verdict != verdicts.PASS:
        raise UserError(
            f"{short(release.id)} did not pass the {kind} gates: {verdict.verdict}, by"
            f" {', '.join(verdict.failing)}; only a pass is promoted"
        )
    return verdict


_CHECKS: dict[str, Callable[[Repository, Release], None]] = {
    standing.STAGING: _check_offline,
    standing.PRODUCTION: _check_staged,
}


if __name__ == "__main__":
    cli.run(PromoteConfig, main, package="serve")
