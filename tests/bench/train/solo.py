"""One process that trains as the worker of s1_train does, without a run folder around it."""

import logging
import os
import socket
import warnings

import lightning.pytorch as pl
import torch

from s1_train import strategy
from s1_train.config import TrainConfig


def trainer(config: TrainConfig, *callbacks: pl.Callback) -> pl.Trainer:
    """Make the Trainer of a group of one process."""
    return pl.Trainer(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=1,
        strategy=strategy.build(config, 1),
        precision=strategy.precision(config),
        callbacks=list(callbacks),
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def join_group() -> None:
    """Say in the environment that this process is the only one, and quieten Lightning."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    os.environ |= {
        "LOCAL_RANK": "0", "NODE_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
