"""ddp | fsdp2 | zero2 | zero3 -> a Lightning strategy, and the sharding that goes with it.

The only module that imports deepspeed to train. Weights of the optimiser and its moments are fp32
everywhere; bf16 is the type of the computation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.fabric.utilities.seed import reset_seed
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.strategies import (
    DDPStrategy,
    DeepSpeedStrategy,
    ModelParallelStrategy,
    Strategy,
)

from s1_train.config import TrainConfig

if TYPE_CHECKING:
    import deepspeed
    from torch.distributed.device_mesh import DeviceMesh
    from torch.optim import Optimizer


def build(config: TrainConfig, num_ranks: int) -> Strategy:
    """Make the strategy; both sizes of the mesh are given, as Lightning's "auto" means TP."""
    if config.strategy == "ddp":
        return DDPStrategy(forward_sync_buffers=False, gradient_as_bucket_view=True)
    if config.strategy == "fsdp2":
        return ModelParallelStrategy(data_parallel_size=num_ranks, tensor_parallel_size=1)
    return ZeroStrategy(config)


def precision(config: TrainConfig) -> Literal["bf16-mixed", "32-true"]:
    """Name Lightning's precision; under fsdp2 the sharding policy casts instead."""
    mixed = config.precision == "bf16" and config.strategy != "fsdp2"
    return "bf16-mixed" if mixed else "32-true"


def shard(network: torch.nn.Module, layers: Any, mesh: DeviceMesh, config: TrainConfig) -> None:
    """Shard each layer and the whole over the data-parallel processes; fp32 master weights."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    data_mesh = mesh["data_parallel"]
    for layer in layers:
        fully_shard(layer, mesh=data_mesh, mp_policy=policy)
    fully_shard(network, mesh=data_mesh, mp_policy=policy)


class ZeroStrategy(DeepSpeedStrategy):
    """DeepSpeed's ZeRO 2 or 3 around the loss network alone, on GPUs or on CPUs.

    The engine holds the loss network, not the LightningModule: a step makes several passes, and
    ZeRO-3 follows the order of modules from one forward pass to the next.
    """

    def __init__(self, config: TrainConfig) -> None:
        if not torch.cuda.is_available():
            os.environ["DS_ACCELERATOR"] = "cpu"
        super().__init__(config=_deepspeed_config(config))
        # The op is for inference on CPUs; building it takes a compiler and half a minute.
        import deepspeed.ops

        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False

    @property
    def root_device(self) -> torch.device:
        """Give the device of this process; DeepSpeed wants a number also on a CPU."""
        device: torch.device = super().root_device
        return torch.device("cpu", self.local_rank) if device.type == "cpu" else device

    def setup_environment(self) -> None:
        """Join the process group; Lightning refuses all but CUDA here (deepspeed.py:342)."""
        if isinstance(self.accelerator, CUDAAccelerator):
            super().setup_environment()
        else:
            super(DeepSpeedStrategy, self).setup_environment()

    def setup_distributed(self) -> None:
        """Join the process group; Lightning compares devices with CUDA's here."""
        if isinstance(self.accelerator, CUDAAccelerator):
            super().setup_distributed()
        else:
            reset_seed()
            self.set_world_ranks()
            self._init_deepspeed_distributed()

    @contextmanager
    def model_sharded_context(self) -> Iterator[None]:
        """Leave the module whole while it is configured: `partition` shards it, layer by layer."""
        self._init_config_if_needed()
        yield

    def partition(self, module: torch.nn.Module) -> None:
        """Share a module's weights among the processes (ZeRO-3); rank 0's values are taken."""
        import deepspeed

        deepspeed.zero.Init(module=module, config_dict_or_path=self.config)

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module itself, which calls the engine once a pass."""
        module = self.lightning_module
        assert module is not None, "the Trainer sets the module before it steps"
        return module.training_step(*args, **kwargs)

    @property
    def grad_norm(self) -> float:
        """Give the norm of the last step's gradient before clipping; NaN where it overflowed."""
        norm = self.deepspeed_engine.get_global_grad_norm()
        return float(norm) if norm is not None and float(norm) >= 0 else float("nan")

    def teardown(self) -> None:
        """Take the engine's hooks and buffers apart before the process group goes."""
        engine: Any = self.model
        if hasattr(engine, "destroy"):
            engine.destroy()
        super().teardown()

    def _setup_model_and_optimizer(
        self, model: Any, optimizer: Optimizer | None, lr_scheduler: Any = None
    ) -> tuple[deepspeed.DeepSpeedEngine, Optimizer]:
        """Give DeepSpeed the loss network instead of the LightningModule."""
        made: tuple[Any, Any] = super()._setup_model_and_optimizer(
            model.loss_network, optimizer, lr_scheduler
        )
        return made


def _deepspeed_config(config: TrainConfig) -> dict[str, Any]:
    """Write DeepSpeed's configuration.

    The step is ours to end (`managed_gradient_accumulation`), as the number of passes varies.
    DeepSpeed then divides no loss either: Lightning's automatic loop divides by the number of
    passes and DeepSpeed does so once more (automatic.py:329, engine.py:3415), which is why clipping
    with accumulation drifts from ddp there.
    """
    return {
        "zero_optimization": {"stage": int(config.strategy[-1]), "overlap_comm": False},
        "managed_gradient_accumulation": False,
        "gradient_clipping": config.optimiser.clip_norm,
        "train_micro_batch_size_per_gpu": 1,
        "data_types": {"grad_accum_dtype": "fp32"},
        "communication_data_type": "fp32",
        "zero_allow_untested_optimizer": True,
    }
