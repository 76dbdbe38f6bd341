"""What can be watched while a run goes on: bar or lines, metrics.csv, TensorBoard, sample ids."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import lightning.pytorch as pl

from s1_core import cli
from s1_core.errors import Interrupted
from s1_train.module import FineTuning, StepResult
from s1_train.runs.checkpoints import Checkpoints
from s1_train.runs.folder import RunFolder

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

COLUMNS = ("step", "epoch", "loss", "lr", "grad_norm", "tokens", "tokens_per_s")


class StepLog:
    """A CSV file with one line a step; on resume, lines behind the checkpoint are dropped."""

    def __init__(self, path: Path, columns: tuple[str, ...], resumed_step: int) -> None:
        path.parent.mkdir(exist_ok=True)
        header = ",".join(columns) + "\n"
        kept = (
            path.read_text().splitlines(keepends=True)[1 : resumed_step + 1]
            if path.is_file()
            else []
        )
        self._stream: TextIO = path.open("w", buffering=1)
        self._stream.write(header + "".join(kept))

    def write(self, *values: object) -> None:
        """Write the line of the next step."""
        self._stream.write(",".join(map(str, values)) + "\n")


class Recorder(pl.Callback):
    """Writes down every step and saves when it is time; the last callback of a step."""

    def __init__(
        self, folder: RunFolder, checkpoints: Checkpoints, *, rank: int, resumed_step: int
    ) -> None:
        self._checkpoints = checkpoints
        self._samples = StepLog(folder.samples(rank), ("step", "samples"), resumed_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Log the sample ids; save; stop where a process asked for it."""
        assert isinstance(pl_module, FineTuning) and pl_module.result is not None
        result = pl_module.result
        self._samples.write(result.step, " ".join(result.sample_ids))
        is_last = result.step == trainer.num_training_batches
        if is_last or result.stop or result.save or self._checkpoints.is_due(result.step):
            self._checkpoints.save(trainer, result.step, {"loss": result.loss})
        pl_module.votes.save = trainer.is_global_zero and self._checkpoints.is_overdue()
        if result.stop and not is_last:
            raise Interrupted(
                f"stopped behind step {result.step}, saved; run the same command again to go on"
            )


class Display(pl.Callback):
    """Shows progress and writes metrics; on the first process only."""

    def __init__(
        self, folder: RunFolder, *, resumed_step: int, log_every: int, board: bool
    ) -> None:
        self._metrics = StepLog(folder.metrics, COLUMNS, resumed_step)
        self._resumed_step, self._log_every = resumed_step, log_every
        self._board = _board(folder.path / "tensorboard", resumed_step) if board else None
        self._bar = _Bar() if cli.console().is_terminal else None
        self._clock = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock and the bar."""
        self._clock = time.monotonic()
        if self._bar:
            self._bar.start(self._resumed_step, int(trainer.num_training_batches))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Record and show the step."""
        assert isinstance(pl_module, FineTuning) and pl_module.result is not None
        result, now = pl_module.result, time.monotonic()
        speed = result.num_tokens / (now - self._clock)
        self._clock = now
        row = (result.loss, result.lr, result.grad_norm, result.num_tokens, round(speed))
        self._metrics.write(result.step, result.epoch, *row)
        if self._board:
            for name, value in zip(COLUMNS[2:], row, strict=True):
                self._board.add_scalar(name, value, result.step)
        self._show(result, speed, int(trainer.num_training_batches))

    def on_exception(self, *_: object) -> None:
        """Take the bar away."""
        self._close()

    def on_train_end(self, *_: object) -> None:
        """Take the bar away."""
        self._close()

    def _show(self, result: StepResult, speed: float, num_steps: int) -> None:
        text = f"loss {result.loss:.4f}  lr {result.lr:.2e}  {speed:,.0f} tokens/s"
        if self._bar:
            self._bar.update(result.step, text)
        elif result.step % self._log_every == 0 or result.step == num_steps:
            line = f"step {result.step}/{num_steps}  epoch {result.epoch + 1}  {text}"
            cli.console().print(line, highlight=False, soft_wrap=True)

    def _close(self) -> None:
        if self._bar:
            self._bar.stop()
        if self._board:
            self._board.close()


class _Bar:
    """The progress bar of a terminal."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("train"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=cli.console(),
            refresh_per_second=4,
        )
        self._task = self._progress.add_task("train", text="")

    def start(self, step: int, num_steps: int) -> None:
        self._progress.update(self._task, completed=step, total=num_steps)
        self._progress.start()

    def update(self, step: int, text: str) -> None:
        self._progress.update(self._task, completed=step, text=text)

    def stop(self) -> None:
        self._progress.stop()


def _board(folder: Path, resumed_step: int) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=resumed_step + 1)
