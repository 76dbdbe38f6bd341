"""One training process: builds the Trainer from the job the launcher wrote, and fits.

An error that fits in one line is left in a file; the launcher says it once for all processes.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import warnings
from pathlib import Path

import lightning.pytorch as pl
import torch

from s1_core.errors import Interrupted, S1Error, UserError
from s1_train import strategy
from s1_train.encoding import Samples
from s1_train.loader import ResumableLoader
from s1_train.module import FineTuning
from s1_train.net import weights
from s1_train.preemption import Preemption
from s1_train.runs.checkpoints import STATE, Checkpoints
from s1_train.runs.folder import RunFolder
from s1_train.runs.job import Job
from s1_train.runs.watch import Display, Recorder

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def work(folder: RunFolder, job: Job, rank: int, num_ranks: int) -> None:
    """Train from where the job says to the last step."""
    config = job.config
    samples = Samples(folder.encoded)
    steps = job.steps(samples.lengths)
    loader = ResumableLoader(
        samples, steps, rank=rank, num_ranks=num_ranks, budget=config.micro_tokens
    )
    pl.seed_everything(config.seed, verbose=False)
    base = Path(job.base) if job.base else None
    network = weights.build(config.model, job.vocab_size, base)
    network.train()
    if config.activation_checkpointing:
        network.gradient_checkpointing_enable({"use_reentrant": False})
    trainer = _trainer(folder, job, rank, num_ranks)
    resume = str(folder.checkpoints / job.resume / STATE) if job.resume else None
    trainer.fit(FineTuning(network, config, len(steps)), loader, ckpt_path=resume)


def _trainer(folder: RunFolder, job: Job, rank: int, num_ranks: int) -> pl.Trainer:
    config = job.config
    checkpoints = Checkpoints(
        folder.checkpoints,
        every_steps=config.checkpoints.every_steps,
        every_minutes=config.checkpoints.every_minutes,
        keep=config.checkpoints.keep,
        parents=job.parents,
    )
    recorder = Recorder(folder, checkpoints, rank=rank, resumed_step=job.resumed_step)
    callbacks: list[pl.Callback] = [Preemption(), recorder]
    if rank == 0:
        display = Display(
            folder,
            resumed_step=job.resumed_step,
            log_every=config.log_every,
            board="tensorboard" in config.loggers,
        )
        callbacks.insert(0, display)
    return pl.Trainer(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=num_ranks,
        strategy=strategy.build(config, num_ranks),
        precision=strategy.precision(config),
        callbacks=callbacks,
        max_epochs=1,  # the loader's one pass is the whole run, epochs of samples included
        default_root_dir=folder.path,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def main() -> int:
    """Run the job named on the command line; return the exit code."""
    path = Path(sys.argv[1])
    rank, num_ranks = int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"])
    folder = RunFolder(path.parent)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    try:
        work(folder, Job.read(path), rank, num_ranks)
    except S1Error as error:
        return _leave(folder, rank, error)
    except KeyboardInterrupt:
        return _leave(folder, rank, Interrupted("stopped; run the same command again to go on"))
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        fault = (
            f"cannot write to {folder.path}: {error.strerror}; the last good checkpoint is kept,"
            " mend that and run the same command again"
        )
        return _leave(folder, rank, UserError(fault))
    return 0


def _leave(folder: RunFolder, rank: int, error: S1Error) -> int:
    folder.fault(rank).parent.mkdir(exist_ok=True)
    folder.fault(rank).write_text(str(error))
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
