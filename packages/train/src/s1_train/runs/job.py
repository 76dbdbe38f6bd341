"""What the launcher tells its workers, and what both derive from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from s1_core import artifacts
from s1_train.config import TrainConfig, from_plain
from s1_train.packing import Plan, Step
from s1_train.runs.folder import read_json, write_json


@dataclass(frozen=True, kw_only=True)
class Job:
    """A prepared run: everything but the samples and the tokenizer, which lie beside it."""

    config: TrainConfig
    parents: dict[str, str]
    vocab_size: int
    resume: str | None
    """name of the checkpoint to go on from"""
    resumed_step: int

    def steps(self, lengths: Sequence[int]) -> list[Step]:
        """Lay out all optimiser steps of the run."""
        config = self.config
        plan = Plan(
            mode=config.mode,
            batch_size=config.batch_size,
            block_size=config.block_size,
            epochs=config.epochs,
            seed=config.seed,
            max_steps=config.max_steps,
        )
        return plan.steps(lengths)

    def write(self, path: Path) -> None:
        """Leave the job for the workers."""
        write_json(path, artifacts.plain(self))

    @staticmethod
    def read(path: Path) -> Job:
        """Take the job over."""
        content = read_json(path)
        return Job(**content | {"config": from_plain(TrainConfig, content["config"])})
