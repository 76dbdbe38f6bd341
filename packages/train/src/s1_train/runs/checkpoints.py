"""Checkpoints: artifacts of kind "checkpoint", committed by rename, the last K kept.

An incomplete or altered one is skipped with a warning, and the one before is used.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1_core import artifacts, cli
from s1_core.errors import UserError

if TYPE_CHECKING:
    import lightning.pytorch as pl

KIND, STATE = "checkpoint", "state.ckpt"


def newest(folder: Path) -> artifacts.Artifact | None:
    """Open the newest good checkpoint; say on the console which ones were skipped."""
    for path in reversed(_committed(folder)):
        try:
            return artifacts.load(path, kind=KIND)
        except UserError as error:
            cli.say(f"warning: skipping checkpoint {path.name}: {error}")
    return None


def check_ranks(checkpoint: artifacts.Artifact, strategy: str, num_ranks: int) -> None:
    """Refuse to go on with another number of processes where the format is bound to it."""
    saved_by = checkpoint.config["num_ranks"]
    if strategy.startswith("zero") and saved_by != num_ranks:
        raise UserError(
            f"checkpoint {checkpoint.path.name} was saved by {saved_by} processes under {strategy},"
            f" whose checkpoints fit that number alone, now {num_ranks}; run on {saved_by}"
            " processes (ddp and fsdp2 go on with any number)"
        )


def clear_remains(folder: Path) -> None:
    """Remove what a killed run was writing or removing."""
    for path in folder.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def prune(folder: Path, step: int, keep: int) -> None:
    """Leave the checkpoint of `step`, the newest good one, and the `keep` - 1 before it.

    One of a later step was skipped as damaged when the run went on: kept, it would push out good
    ones.
    """
    before = [path for path in _committed(folder) if path.name <= _name(step)]
    for path in set(_committed(folder)) - set(before[-keep:]):
        shutil.rmtree(path.rename(path.with_name(f".{path.name}.old")))


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _committed(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


class Checkpoints:
    """Decides when to save, and saves on all processes together."""

    def __init__(
        self,
        folder: Path,
        *,
        every_steps: int,
        every_minutes: float,
        keep: int,
        parents: Mapping[str, str],
    ) -> None:
        self._folder, self._keep, self._parents = folder, keep, parents
        self._every_steps, self._every_s = every_steps, 60 * every_minutes
        self.saved_at = time.monotonic()

    def is_due(self, step: int) -> bool:
        """Say whether the count of steps calls for one; the same on all processes."""
        return step % self._every_steps == 0

    def is_overdue(self) -> bool:
        """Say whether the clock of this process calls for one."""
        return time.monotonic() - self.saved_at > self._every_s

    def save(self, trainer: pl.Trainer, step: int, info: Mapping[str, Any]) -> None:
        """Save the state behind `step`; every process calls this."""
        with ExitStack() as stack:
            draft = None
            if trainer.is_global_zero:
                draft = stack.enter_context(
                    artifacts.create(
                        self._folder / _name(step),
                        kind=KIND,
                        config={"step": step, "num_ranks": trainer.world_size, **info},
                        parents=self._parents,
                    )
                )
            path = Path(str(trainer.strategy.broadcast(str(draft.path) if draft else None)))
            with _naming_a_full_disk(path):
                trainer.save_checkpoint(path / STATE)
            hashes = _hashes(path, trainer)
            if draft:
                draft.sha256.update(hashes)
        if trainer.is_global_zero:
            prune(self._folder, step, self._keep)
        trainer.strategy.barrier()
        self.saved_at = time.monotonic()


def _hashes(path: Path, trainer: pl.Trainer) -> dict[str, str]:
    """Hash the files of all processes, each process its share of them."""
    import torch.distributed as dist

    trainer.strategy.barrier()
    own = artifacts.files_in(path)[trainer.global_rank :: trainer.world_size]
    hashes = {file.relative_to(path).as_posix(): artifacts.sha256_of(file) for file in own}
    gathered: list[dict[str, str]] = [{} for _ in range(trainer.world_size)]
    dist.all_gather_object(gathered, hashes)
    return {name: value for part in gathered for name, value in part.items()}


@contextmanager
def _naming_a_full_disk(folder: Path) -> Iterator[None]:
    """Turn what torch and DeepSpeed say of a full disk, which has no errno, into OSError."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        yield
    except (RuntimeError, CheckpointException) as error:
        try:
            with (folder / ".probe").open("wb") as stream:
                stream.write(bytes(1 << 20))
        except OSError as fault:
            raise fault from error
        raise
