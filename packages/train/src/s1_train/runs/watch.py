"""What can be watched while a run goes on: bar or lines, metrics.csv, loggers, sample ids.

Stops a run whose loss explodes, before the step is saved.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn, TextIO

import lightning.pytorch as pl
import torch
import torch.distributed as dist

from s1_core import artifacts, cli
from s1_core.errors import Interrupted, NumericsError
from s1_train.encoding import Samples
from s1_train.module import FineTuning, StepResult
from s1_train.packing import Step
from s1_train.runs import loggers
from s1_train.runs.checkpoints import Checkpoints
from s1_train.runs.folder import RunFolder
from s1_train.runs.job import Job
from s1_train.runs.speed import NetworkShape, peak_flops, step_flops

COLUMNS = ("step", "epoch", "loss", "lr", "grad_norm", "tokens", "seconds", "tokens_per_s", "mfu")


class StepLog:
    """A CSV file with one line a step; on resume, those of steps to come again are dropped."""

    def __init__(self, path: Path, columns: tuple[str, ...], resumed_step: int) -> None:
        path.parent.mkdir(exist_ok=True)
        lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
        temp = path.with_name(f".{path.name}.tmp")
        kept = [line for line in lines[1:] if _step(line) <= resumed_step]
        temp.write_text(",".join(columns) + "\n" + "".join(kept))
        temp.replace(path)
        self._stream: TextIO = path.open("a", buffering=1)

    def write(self, *values: object) -> None:
        """Write the line of the next step."""
        self._stream.write(",".join("" if v is None else str(v) for v in values) + "\n")


def _step(line: str) -> float:
    """Read the step of a line; one cut off by a power failure is of no step."""
    number = line.partition(",")[0]
    return int(number) if number.isdigit() and line.endswith("\n") else float("inf")


class LossWindow:
    """The losses of the last steps, against which a new one is held."""

    SIZE, FEWEST = 20, 5

    def __init__(self, max_ratio: float) -> None:
        self._max_ratio = max_ratio
        self.losses: deque[float] = deque(maxlen=self.SIZE)

    def fault(self, loss: float) -> str | None:
        """Take in the loss of a step; say what is wrong with it, if anything."""
        median = statistics.median(self.losses) if len(self.losses) >= self.FEWEST else None
        if median is not None and loss > self._max_ratio * median:
            return f"{loss:.4g}, {loss / median:.1f} times the median of the steps before"
        self.losses.append(loss)
        return None


class Recorder(pl.Callback):
    """Writes down every step and saves when it is time; the last callback of a step."""

    def __init__(self, folder: RunFolder, job: Job, checkpoints: Checkpoints, rank: int) -> None:
        self._checkpoints = checkpoints
        self._samples = StepLog(folder.samples(rank), ("step", "samples"), job.resumed_step)
        self._window = LossWindow(job.config.max_loss_ratio)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Log the sample ids; save; stop where a process asked for it or the loss explodes."""
        assert isinstance(pl_module, FineTuning) and pl_module.result is not None
        result = pl_module.result
        self._samples.write(result.step, " ".join(result.sample_ids))
        if fault := self._window.fault(result.loss):
            _give_up(fault, result)
        is_last = result.step == trainer.num_training_batches
        if is_last or result.stop or result.save or self._checkpoints.is_due(result.step):
            self._checkpoints.save(trainer, result.step, {"loss": result.loss})
        pl_module.votes.save = trainer.is_global_zero and self._checkpoints.is_overdue()
        if result.stop and not is_last:
            raise Interrupted(
                f"stopped behind step {result.step}, saved; run the same command again to go on"
            )

    def state_dict(self) -> dict[str, Any]:
        """Keep the window of losses in the checkpoint; it is the same on all processes."""
        return {"losses": list(self._window.losses)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the window back."""
        self._window.losses.extend(state_dict["losses"])


def _give_up(fault: str, result: StepResult) -> NoReturn:
    """Raise on all processes alike: the loss they compare is that of all of them."""
    gathered: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(gathered, result.sample_ids)
    raise NumericsError(
        f"the loss of step {result.step} is {fault}, among samples"
        f" {', '.join(sorted(chain(*gathered)))}; the last good checkpoint is kept: lower"
        " optimiser.lr, look at these samples, or raise max_loss_ratio"
    )


class Display(pl.Callback):
    """Shows progress and writes metrics; on the first process only."""

    def __init__(
        self,
        folder: RunFolder,
        job: Job,
        samples: Samples,
        steps: Sequence[Step],
        checkpoints: Checkpoints,
    ) -> None:
        self._folder, self._job, self._checkpoints = folder, job, checkpoints
        self._samples, self._steps = samples, steps
        self._metrics = StepLog(folder.metrics, COLUMNS, job.resumed_step)
        recipe = artifacts.identity(job.config)
        self._logs = loggers.build(job.config.loggers, folder, recipe, job.resumed_step)
        self._bar = _Bar() if cli.console().is_terminal else None
        self._began = self._clock = time.monotonic()
        self._peak: float | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock and the bar; write down what the run goes on with from here."""
        assert isinstance(pl_module, FineTuning)
        place = trainer.strategy.root_device
        device = torch.cuda.get_device_name(place) if place.type == "cuda" else "cpu"
        peak = peak_flops(device) if self._job.config.precision == "bf16" else None
        self._peak = peak and peak * trainer.world_size
        self._shape = NetworkShape.of(pl_module.loss_network.network.config)
        header = "" if self._folder.starts.is_file() else "step,processes,device\n"
        with self._folder.starts.open("a") as stream:
            stream.write(f"{header}{self._job.resumed_step},{trainer.world_size},{device}\n")
        self._began = self._clock = time.monotonic()
        if self._bar:
            self._bar.start(self._job.resumed_step, len(self._steps))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Record and show the step."""
        assert isinstance(pl_module, FineTuning) and pl_module.result is not None
        result, now = pl_module.result, time.monotonic()
        # A save behind the step before is no part of this one.
        seconds, self._clock = now - max(self._clock, self._checkpoints.saved_at), now
        values = (
            *(result.loss, result.lr, result.grad_norm, result.num_tokens, seconds),
            *(round(result.num_tokens / seconds), self._mfu(result.step, seconds)),
        )
        self._metrics.write(result.step, result.epoch, *values)
        known = {name: v for name, v in zip(COLUMNS[2:], values, strict=True) if v is not None}
        for log in self._logs:
            log.write(known, result.step)
        self._show(result, known)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Take the bar away and say how it ended."""
        self._close("KILLED" if isinstance(exception, Interrupted) else "failed")

    def on_train_end(self, *_: object) -> None:
        """Take the bar away and say how it ended."""
        self._close("success")

    def _mfu(self, step: int, seconds: float) -> float | None:
        if self._peak is None:
            return None
        rows = self._steps[step - 1].samples
        targets = sum(self._samples.num_targets[i] for i in rows)
        flops = step_flops(self._shape, [self._samples.lengths[i] for i in rows], targets)
        return flops / (seconds * self._peak)

    def _show(self, result: StepResult, known: dict[str, float]) -> None:
        text = (
            f"loss {result.loss:.4f}  lr {result.lr:.2e}  norm {result.grad_norm:.2f}"
            f"  {known['tokens_per_s']:,.0f} tokens/s"
        )
        text += f"  MFU {known['mfu']:.0%}" if "mfu" in known else ""
        num_steps = len(self._steps)
        if self._bar:
            self._bar.update(result.step, text)
        elif result.step % self._job.config.log_every == 0 or result.step == num_steps:
            taken = (self._clock - self._began) / (result.step - self._job.resumed_step)
            left = timedelta(seconds=round(taken * (num_steps - result.step)))
            line = f"step {result.step}/{num_steps}  epoch {result.epoch + 1}  {text}  {left} left"
            cli.console().print(line, highlight=False, soft_wrap=True)

    def _close(self, status: str) -> None:
        if self._bar:
            self._bar.stop()
        for log in self._logs:
            log.close(status)


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
