"""`just rollback STAGE`: the pins that the stage had before, by a commit of their own.

Needs no gate, no image and no evaluation: what comes back was in service. Run twice it goes back
once; further back wants a name.
"""

from __future__ import annotations

from s1_core import cli
from s1_core.errors import UserError
from s1_serve.release import record, standing
from s1_serve.release.config import NONE, RollbackConfig
from s1_serve.release.promote import Move, check_expected
from s1_serve.release.record import short
from s1_serve.release.repository import RELEASE, Change, Repository


def main(config: RollbackConfig) -> None:
    """Go back, unless the stage has gone back already.

    Raises:
        UserError: nothing to go back to; nothing has changed.
    """
    here = Repository.here()
    with here.locked():
        repository = here.settled()
        now = standing.serving(repository, config.stage)
        check_expected(repository, config.stage, now, config.expect)
        target = _target(repository, config)
        if target == now:
            cli.say(f"up to date: {config.stage} is at {short(now)}; --to ID goes further back")
            repository.share(config.push)
            return
        release = record.find(repository, target)
        move = Move(config.stage, standing.ROLLBACK, release, now)
        move.make(repository, dry_run=config.dry_run, push=config.push)


def _target(repository: Repository, config: RollbackConfig) -> str:
    moves = standing.moves(repository, config.stage)
    if config.to is not None:
        return _named(repository, config, moves)
    if not moves:
        raise UserError(f"nothing was ever promoted to {config.stage}: there is no way back")
    newest = moves[0].trailers
    if newest.get(standing.ACTION) == standing.ROLLBACK:
        return newest[RELEASE]
    if newest[standing.FROM] == NONE:
        raise UserError(
            f"{config.stage} served nothing before {short(newest[RELEASE])}: there is no way back"
        )
    return newest[standing.FROM]


def _named(repository: Repository, config: RollbackConfig, moves: list[Change]) -> str:
    release = record.find(repository, config.to or "").id
    if release not in {move.trailers.get(RELEASE) for move in moves}:
        raise UserError(
            f"{short(release)} was never in {config.stage}: a rollback takes only what was;"
            f" `just promote {config.stage}` is the way for others"
        )
    return release


if __name__ == "__main__":
    cli.run(RollbackConfig, main, package="serve")
