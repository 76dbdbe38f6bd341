"""ddp | fsdp2 -> a Lightning strategy, and the sharding that goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy

from s1_train.config import TrainConfig

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from s1_train.module import LossNetwork


def build(config: TrainConfig, num_ranks: int) -> Strategy:
    """Make the strategy; both sizes of the mesh are given, as Lightning's "auto" means TP."""
    if config.strategy == "ddp":
        return DDPStrategy(forward_sync_buffers=False, gradient_as_bucket_view=True)
    return ModelParallelStrategy(
        data_parallel_size=num_ranks, tensor_parallel_size=1, save_distributed_checkpoint=False
    )


def precision(config: TrainConfig) -> Literal["bf16-mixed", "32-true"]:
    """Name Lightning's precision; under fsdp2 the sharding policy casts instead."""
    return "bf16-mixed" if (config.precision, config.strategy) == ("bf16", "ddp") else "32-true"


def shard(network: LossNetwork, mesh: DeviceMesh | None, config: TrainConfig) -> None:
    """Shard each layer and the whole over the data-parallel processes; fp32 master weights."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    assert mesh is not None, "Lightning makes the mesh before configure_model"
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    data_mesh = mesh["data_parallel"]
    for layer in network.decoder.layers:
        fully_shard(layer, mesh=data_mesh, mp_policy=policy)
    fully_shard(network, mesh=data_mesh, mp_policy=policy)
