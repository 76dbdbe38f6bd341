"""What one training process does: builds the Trainer from the job it finds, and fits."""

from __future__ import annotations

import os
from pathlib import Path

import lightning.pytorch as pl
import torch

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


def work(folder: RunFolder, job: Job, base: Path | None, rank: int, num_ranks: int) -> None:
    """Train from where the job says to the last step; `base` lies on this machine."""
    config = job.config
    samples = Samples(folder.encoded)
    steps = job.steps(samples.lengths)
    loader = ResumableLoader(
        samples, steps, rank=rank, num_ranks=num_ranks, budget=config.micro_tokens
    )
    pl.seed_everything(config.seed, verbose=False)
    start = weights.Start(config.model, job.vocab_size, base)
    checkpoints = _checkpoints(folder, job)
    callbacks: list[pl.Callback] = [Preemption(), Recorder(folder, job, checkpoints, rank)]
    if rank == 0:
        callbacks.insert(0, Display(folder, job, samples, steps, checkpoints))
    trainer = _trainer(folder, job, callbacks, num_ranks)
    resume = str(folder.checkpoints / job.resume / STATE) if job.resume else None
    trainer.fit(FineTuning(start, config, len(steps)), loader, ckpt_path=resume)
    # Threads of the group left to the interpreter's end aborted one run in five under zero3.
    torch.distributed.destroy_process_group()


def _checkpoints(folder: RunFolder, job: Job) -> Checkpoints:
    when = job.config.checkpoints
    return Checkpoints(
        folder.checkpoints,
        every_steps=when.every_steps,
        every_minutes=when.every_minutes,
        keep=when.keep,
        parents=job.parents,
    )


def _trainer(
    folder: RunFolder, job: Job, callbacks: list[pl.Callback], num_ranks: int
) -> pl.Trainer:
    config = job.config
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", num_ranks))
    return pl.Trainer(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=local_size,
        num_nodes=num_ranks // local_size,
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
