"""Checkpoints: artifacts of kind "checkpoint", committed by rename, the last K kept.

An incomplete or altered one is skipped with a warning, and the one before is used.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
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
            cli.console().print(
                f"warning: skipping checkpoint {path.name}: {error}", markup=False, soft_wrap=True
            )
    return None


def clear_remains(folder: Path) -> None:
    """Remove what a killed run was writing or removing."""
    for path in folder.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


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
        self._saved_at = time.monotonic()

    def is_due(self, step: int) -> bool:
        """Say whether the count of steps calls for one; the same on all processes."""
        return step % self._every_steps == 0

    def is_overdue(self) -> bool:
        """Say whether the clock of this process calls for one."""
        return time.monotonic() - self._saved_at > self._every_s

    def save(self, trainer: pl.Trainer, step: int, info: Mapping[str, Any]) -> None:
        """Save the state behind `step`; every process calls this."""
        with ExitStack() as stack:
            path = None
            if trainer.is_global_zero:
                draft = artifacts.create(
                    self._folder / f"step-{step:08d}",
                    kind=KIND,
                    config={"step": step, **info},
                    parents=self._parents,
                )
                path = str(stack.enter_context(draft).path)
            path = trainer.strategy.broadcast(path)
            trainer.save_checkpoint(Path(str(path)) / STATE)
        if trainer.is_global_zero:
            self._prune()
        trainer.strategy.barrier()
        self._saved_at = time.monotonic()

    def _prune(self) -> None:
        for path in _committed(self._folder)[: -self._keep]:
            shutil.rmtree(path.rename(path.with_name(f".{path.name}.old")))
