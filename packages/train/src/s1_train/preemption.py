"""A request to stop that reaches any one process stops all of them behind the same step."""

from __future__ import annotations

import lightning.pytorch as pl

from s1_train.launch.signals import stop_request
from s1_train.module import FineTuning


class Preemption(pl.Callback):
    """Turns the request into a vote; the step's all-reduce carries it to the other processes."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Vote from here on, where all processes have come and so none is left waiting."""
        assert isinstance(pl_module, FineTuning)
        votes = pl_module.votes

        def vote() -> None:
            votes.stop = True

        trainer.strategy.barrier()
        stop_request.vote_by(vote)

    def on_train_end(self, *_: object) -> None:
        """Vote no more: the last step is saved."""
        stop_request.close()
