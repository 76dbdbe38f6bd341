"""SIGTERM to any one process: all of them finish the step, save and stop."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import lightning.pytorch as pl

from s1_train.module import FineTuning


class Preemption(pl.Callback):
    """Turns SIGTERM into a vote; the step's all-reduce carries it to the other processes.

    Replaces Lightning's handler, which broadcasts inside the signal handler and so hangs when
    one process alone is told to stop (Lightning issue 20806).
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signal once Lightning has set its own handler."""
        assert isinstance(pl_module, FineTuning)
        votes = pl_module.votes

        def vote(signum: int, frame: FrameType | None) -> Any:
            votes.stop = True

        signal.signal(signal.SIGTERM, vote)
