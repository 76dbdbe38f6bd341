"""Fine-tuning steps on samples of s1-like lengths: ours, a bare PyTorch loop, and padding."""

import dataclasses
import logging
import os
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import lightning.pytorch as pl
import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pad_sequence

from s1_train import strategy
from s1_train.config import ModelShape, OptimiserConfig, TrainConfig
from s1_train.encoding import IGNORE_INDEX, Samples, TokenizedExample
from s1_train.loader import ResumableLoader
from s1_train.module import FineTuning, LossNetwork
from s1_train.net import optimiser, weights
from s1_train.packing import Plan, Step

TITLE = "24 optimiser steps of 16 samples, 0.9M parameters (fp32, 1 process, 1 thread)"
PEER = "bare PyTorch loop, packed"
VOCAB, BATCH, STEPS = 512, 16, 24


def arms() -> dict[str, Callable[[], object]]:
    """Every arm takes the same steps from the same weights; ours includes the Trainer's start."""
    torch.set_num_threads(1)
    samples = _samples()
    plan = Plan(mode="paper", batch_size=BATCH, block_size=1024, epochs=1, seed=0)
    steps = plan.steps(samples.lengths)
    _join_group_of_one()
    return {
        PEER: lambda: bare(samples, steps),
        "s1_train (Lightning, ddp)": lambda: ours(samples, steps),
        "bare PyTorch loop, padded": lambda: padded(samples, steps),
    }


def bare(samples: Samples, steps: list[Step]) -> None:
    """Take the steps with nothing around them."""
    network, opt = _network()
    for share in _loader(samples, steps):
        for micro in share.micro_batches:
            (network(micro) / share.num_targets).backward()
        _update(network, opt)


def padded(samples: Samples, steps: list[Step]) -> None:
    """Take the steps in passes of four samples, padded to the longest, as common scripts do."""
    network, opt = _network()
    network.network.set_attn_implementation("sdpa")
    for step in steps:
        chosen = [samples[index] for index in step.samples]
        num_targets = sum(sample.num_targets for sample in chosen)
        for start in range(0, BATCH, 4):
            part = chosen[start : start + 4]
            ids = _padded([sample.input_ids for sample in part], 0)
            labels = _padded([sample.labels for sample in part], IGNORE_INDEX)
            logits = network.network(input_ids=ids, use_cache=False).logits
            loss = cross_entropy(
                logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="sum"
            )
            (loss / num_targets).backward()
        _update(network, opt)


def ours(samples: Samples, steps: list[Step]) -> None:
    """Take the steps as s1_train.fit does."""
    config = TrainConfig(data=Path(), out=Path(), optimiser=_recipe())
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        strategy=strategy.build(config, 1),
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(FineTuning(_network()[0].network, config, len(steps)), _loader(samples, steps))


def _samples() -> Samples:
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(4.4, 0.7, BATCH * STEPS), 16, 700).astype(int)
    folder = Path(mkdtemp())
    Samples.write(
        (
            TokenizedExample(
                str(n), rng.integers(0, VOCAB, length).astype(np.int32), np.arange(length) > 12
            )
            for n, length in enumerate(lengths)
        ),
        folder,
    )
    return Samples(folder)


def _loader(samples: Samples, steps: list[Step]) -> ResumableLoader:
    return ResumableLoader(samples, steps, rank=0, num_ranks=1, budget=8192)


def _recipe() -> OptimiserConfig:
    return dataclasses.replace(OptimiserConfig(), schedule="constant", warmup_fraction=0.0)


def _network() -> tuple[LossNetwork, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = LossNetwork(weights.build(ModelShape(), VOCAB, None)).train()
    return network, optimiser.build(network.named_parameters(), _recipe())


def _update(network: LossNetwork, opt: torch.optim.Optimizer) -> None:
    clip_grad_norm_(network.parameters(), 1.0)
    opt.step()
    opt.zero_grad()


def _padded(rows: list[np.ndarray], value: int) -> torch.Tensor:
    tensors = [torch.from_numpy(row.astype(np.int64)) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value)


def _join_group_of_one() -> None:
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
