"""Loss and gradients of two gloo processes under each strategy, to compare with one process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy

from s1_train import strategy
from s1_train.config import ModelShape, TrainConfig
from s1_train.encoding import IGNORE_INDEX, TokenizedExample
from s1_train.loader import MicroBatch, collate
from s1_train.module import LossNetwork
from s1_train.net import weights

NUM_RANKS, VOCAB, CHUNK = 2, 120, 7
Case = tuple[str, bool]
"""a strategy, and whether the embeddings are tied"""
Result = tuple[float, dict[str, torch.Tensor]]


def build(tied: bool) -> LossNetwork:
    """Make the same small network everywhere, with grouped queries."""
    torch.manual_seed(0)
    shape = ModelShape(
        hidden_size=64,
        num_layers=2,
        intermediate_size=96,
        num_heads=2,
        num_kv_heads=1,
        tie_embeddings=tied,
    )
    return LossNetwork(weights.build(shape, VOCAB, None), CHUNK).train()


def passes() -> list[list[MicroBatch]]:
    """List the passes of each process: the second one has nothing to learn in its second."""
    rng = np.random.default_rng(3)
    samples = [
        TokenizedExample(str(n), rng.integers(0, VOCAB, n).astype(np.int32), np.arange(n) > 2)
        for n in (5, 17, 3, 40, 29)
    ]
    idle = collate(samples[2:3])
    idle.labels_1N.fill_(IGNORE_INDEX)
    return [[collate(samples[:2]), collate(samples[2:4])], [collate(samples[4:]), idle]]


def num_targets() -> int:
    """Count the targets of all processes and passes."""
    return sum(int((m.labels_1N != IGNORE_INDEX).sum()) for share in passes() for m in share)


def plain(tied: bool) -> Result:
    """Compute on one process, with all logits at once and torch's own cross-entropy."""
    module = build(tied)
    total = torch.zeros(())
    for micro in (micro for share in passes() for micro in share):
        logits = module.network(
            input_ids=micro.input_ids_1N,
            position_ids=micro.position_ids_1N,
            cu_seqlens=micro.cu_seqlens,
        ).logits
        total = total + cross_entropy(
            logits[0], micro.labels_1N[0], ignore_index=IGNORE_INDEX, reduction="sum"
        )
    (total / num_targets()).backward()
    return total.item(), {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


def work(rank: int, port: int, out: Path, cases: list[Case]) -> None:
    """Compute each case as one of the processes; the first one writes what all found."""
    torch.set_num_threads(1)  # what OpenMP started before the fork is not here
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "LOCAL_RANK": str(rank)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(NUM_RANKS)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo")
    found = {case: _compute(*case, rank) for case in cases}
    if rank == 0:
        torch.save(found, out)
    dist.barrier()
    dist.destroy_process_group()


def free_port() -> int:
    """Find a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _compute(name: str, tied: bool, rank: int) -> Result:
    module = build(tied)
    config = TrainConfig(data=Path(), out=Path(), strategy=name)  # type: ignore[arg-type]
    runner = {"ddp": _ddp, "fsdp2": _fsdp2}.get(name, _zero)
    total = torch.zeros(())
    gradients = {}
    for loss in runner(module, config, passes()[rank], gradients):
        total += loss
    dist.all_reduce(total)
    return float(total), gradients


def _scaled(loss: torch.Tensor) -> torch.Tensor:
    return loss * NUM_RANKS / num_targets()


def _ddp(
    module: LossNetwork, config: TrainConfig, micros: list[MicroBatch], gradients: dict[str, Any]
) -> Iterator[torch.Tensor]:
    wrapped = torch.nn.parallel.DistributedDataParallel(module)
    for micro in micros:
        with nullcontext() if micro is micros[-1] else wrapped.no_sync():
            loss = wrapped(micro)
            _scaled(loss).backward()
        yield loss.detach()
    gradients |= {name: p.grad for name, p in module.named_parameters()}


def _fsdp2(
    module: LossNetwork, config: TrainConfig, micros: list[MicroBatch], gradients: dict[str, Any]
) -> Iterator[torch.Tensor]:
    mesh = dist.init_device_mesh("cpu", (NUM_RANKS,), mesh_dim_names=("data_parallel",))
    strategy.shard(module, module.decoder.layers, mesh, config)
    for micro in micros:
        loss = module(micro)
        _scaled(loss).backward()
        yield loss.detach()
    gradients |= {name: p.grad.full_tensor() for name, p in module.named_parameters()}


def _zero(
    module: LossNetwork, config: TrainConfig, micros: list[MicroBatch], gradients: dict[str, Any]
) -> Iterator[torch.Tensor]:
    made = strategy.ZeroStrategy(config)
    import deepspeed
    from deepspeed.utils import safe_get_full_fp32_param as full

    # Otherwise a head as small as this one would stay whole on every process.
    made.config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    # A step of 1 against the gradient shows it: DeepSpeed has no whole one between two passes.
    made.config["gradient_clipping"] = 0.0
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    optimiser = torch.optim.SGD(module.parameters(), lr=1.0)
    engine, *_ = deepspeed.initialize(model=module, optimizer=optimiser, config=made.config)
    for micro in micros:
        loss = engine(micro)
        engine.backward(_scaled(loss))
        yield loss.detach()
    engine.step()
    gradients |= {name: before[name] - full(p) for name, p in module.named_parameters()}
    engine.destroy()
