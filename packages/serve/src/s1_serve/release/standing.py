"""Where every release stands, read off the commits: pins, their history, and verdicts.

Nothing is kept beside git, so nothing can disagree with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from s1_core.errors import UserError
from s1_serve.release import pins, record, verdicts
from s1_serve.release.record import Release, short
from s1_serve.release.repository import RELEASE, Change, Repository

CANDIDATE, STAGING, PRODUCTION = "candidate", *pins.STAGES
SUPERSEDED, REJECTED, ROLLED_BACK = "superseded", "rejected", "rolled-back"
STAGE, ACTION, FROM = "Stage", "Action", "From"
"""the trailers of a commit that moves a stage"""
PROMOTE, ROLLBACK = "promote", "rollback"
MANIFESTS = "infra/k8s/serving"


@dataclass(frozen=True)
class Standing:
    """A release, its state, and the commit since which it is so."""

    release: Release
    state: str
    since: Change
    verdicts: Mapping[str, str]
    """pass, fail or inconclusive, by kind of gate"""


def serving(repository: Repository, stage: str) -> str | None:
    """Name the release that a stage serves; None before the first.

    Raises:
        UserError: its pins are not those of the record, or came there by no promotion.
    """
    found = pins.current(repository, stage)
    if not found.is_set:
        return None
    release = record.find(repository, found.release)
    if pins.of(release) != found:
        raise UserError(
            f"{pins.path(stage)} has other digests than the record of {short(release.id)}:"
            " somebody edited it; restore it with git"
        )
    newest = repository.history(pins.path(stage))[0]
    if (newest.trailers.get(RELEASE), newest.trailers.get(STAGE)) != (release.id, stage):
        raise UserError(
            f"commit {newest.commit[:12]} moved {stage} to {short(release.id)} and is no promotion"
            " (or lost its trailers when it was squashed): revert it, and promote"
        )
    return release.id


def moves(repository: Repository, stage: str) -> list[Change]:
    """List the promotions and rollbacks of a stage, newest first."""
    changes = repository.history(pins.path(stage))
    return [change for change in changes if change.trailers.get(STAGE) == stage]


def standings(repository: Repository) -> list[Standing]:
    """Say of every record where it stands, the newest change first."""
    served = {stage: serving(repository, stage) for stage in pins.STAGES}
    history = {stage: moves(repository, stage) for stage in pins.STAGES}
    found = [
        _standing(repository, record.find(repository, name), served, history)
        for name in record.names(repository)
    ]
    return sorted(found, key=lambda one: one.since.time, reverse=True)


def deployment(repository: Repository, release: str) -> str:
    """Name what a pass on staging is about: its newest move, the manifests, and a withdrawal.

    A release that production rolled back since is another matter, though it lies there unchanged.
    """
    newest = [*moves(repository, STAGING)[:1], *_withdrawals(repository, release)]
    entries = [
        entry
        for entry in repository.listed(MANIFESTS, deep=True)
        if not entry.endswith("/release.yaml")
    ]
    words = [*(change.commit for change in newest), *entries]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _withdrawals(repository: Repository, release: str) -> list[Change]:
    """List the rollbacks that took a release out of production."""
    found = [one for one in moves(repository, PRODUCTION) if one.trailers.get(FROM) == release]
    return [one for one in found if one.trailers.get(ACTION) == ROLLBACK]


def _standing(
    repository: Repository,
    release: Release,
    served: Mapping[str, str | None],
    history: Mapping[str, list[Change]],
) -> Standing:
    judged = verdicts.of(repository, release.id)
    results = {kind: verdict.verdict for kind, verdict in judged.items()}

    def standing(state: str, since: Change) -> Standing:
        return Standing(release, state, since, results)

    if served[PRODUCTION] == release.id:
        return standing(PRODUCTION, _arrival(history[PRODUCTION], release.id))
    left = _departure(history[PRODUCTION], release.id)
    is_on_staging = served[STAGING] == release.id
    staged = _arrival(history[STAGING], release.id) if is_on_staging else None
    is_rolled_back = left is not None and left.trailers.get(ACTION) == ROLLBACK
    if left and is_rolled_back and (staged is None or staged.time <= left.time):
        return standing(ROLLED_BACK, left)  # it may still lie on staging, from before
    if staged:
        return standing(STAGING, staged)
    off = _departure(history[STAGING], release.id)
    if off and not left and off.trailers.get(ACTION) == ROLLBACK:
        return standing(ROLLED_BACK, off)
    failed = [kind for kind, result in results.items() if result == verdicts.FAIL]
    if failed:
        return standing(REJECTED, repository.history(verdicts.path(release.id, failed[0]))[0])
    if gone := left or off:
        return standing(SUPERSEDED, gone)
    return standing(CANDIDATE, repository.history(release.path)[-1])


def _arrival(changes: list[Change], release: str) -> Change:
    return next(change for change in changes if change.trailers.get(RELEASE) == release)


def _departure(changes: list[Change], release: str) -> Change | None:
    """Give the newest move that took a release off a stage, if it was there."""
    return next((change for change in changes if change.trailers.get(FROM) == release), None)
