"""The LightningModule: one batch is one optimiser step, accumulation included.

Gradients are those of (sum of token losses) / (target tokens of ALL processes and passes), so
that the number of processes, passes and samples changes nothing but the order of sums.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from s1_core.errors import NumericsError
from s1_train import strategy
from s1_train.config import TrainConfig
from s1_train.loader import MicroBatch, Share
from s1_train.loss import loss_sum
from s1_train.net import optimiser, shards
from s1_train.net.weights import Start

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass
class Votes:
    """What this process asks of all processes at the end of the step."""

    stop: bool = False
    save: bool = False


@dataclass(frozen=True)
class StepResult:
    """One finished step; loss is the mean over all target tokens, steps count from 1."""

    step: int
    epoch: int
    loss: float
    lr: float
    grad_norm: float
    num_tokens: int
    sample_ids: list[str]
    stop: bool
    save: bool


class LossNetwork(torch.nn.Module):
    """A causal language model from micro-batch to loss sum, so that sharding covers its head."""

    def __init__(self, network: PreTrainedModel, loss_chunk: int) -> None:
        super().__init__()
        self.network, self._loss_chunk = network, loss_chunk

    @property
    def decoder(self) -> Any:
        """All but the head."""
        return self.network.get_decoder()  # type: ignore[no-untyped-call]

    @property
    def head(self) -> Any:
        """The projection to the vocabulary."""
        return self.network.get_output_embeddings()  # type: ignore[no-untyped-call]

    def forward(self, micro: MicroBatch) -> Tensor:
        """Sum the loss over the targets of a micro-batch."""
        output = self.decoder(
            input_ids=micro.input_ids_1N,
            position_ids=micro.position_ids_1N,
            cu_seqlens=micro.cu_seqlens,
            use_cache=False,
        )
        return loss_sum(output.last_hidden_state, micro.labels_1N, self.head, self._loss_chunk)


class FineTuning(pl.LightningModule):
    """Runs steps; callbacks read `result` and cast `votes`."""

    loss_network: LossNetwork

    def __init__(self, start: Start, config: TrainConfig, num_steps: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.votes = Votes()
        self.result: StepResult | None = None
        self._start, self._config, self._num_steps = start, config, num_steps

    def configure_model(self) -> None:
        """Make the network: whole, or from a base model's files straight into shards."""
        start, config = self._start, self._config
        network = start.network(empty=config.strategy in ("fsdp2", "zero3"))
        if config.activation_checkpointing:
            network.gradient_checkpointing_enable({"use_reentrant": False})
        self.loss_network = LossNetwork(network, config.loss_chunk)
        if config.strategy == "fsdp2":
            assert self.device_mesh is not None, "Lightning makes the mesh before the model"
            layers = self.loss_network.decoder.layers
            strategy.shard(self.loss_network, layers, self.device_mesh, config)
            if start.base is not None:
                shards.fill_sharded(network, start.base, self.trainer.strategy.root_device)
        elif self._zero is not None and config.strategy == "zero3" and start.base is not None:
            dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
            shards.fill_partitioned(network, start.base, dtype, self._zero.partition)

    @property
    def _zero(self) -> strategy.ZeroStrategy | None:
        """DeepSpeed's strategy, which scales, clips and steps by itself."""
        used = self.trainer.strategy
        return used if isinstance(used, strategy.ZeroStrategy) else None

    def configure_optimizers(self) -> Optimizer:
        """Make the recipe's optimiser."""
        return optimiser.build(self.loss_network.named_parameters(), self._config.optimiser)

    def transfer_batch_to_device(
        self, batch: Share, device: torch.device, dataloader_idx: int
    ) -> Share:
        """Move a share; nothing to do on a CPU."""
        return batch if device.type == "cpu" else batch.to(device)

    def training_step(self, share: Share, batch_idx: int) -> None:
        """Take one optimiser step; a loss or gradient that is not finite raises NumericsError."""
        optimizer = cast(Any, self.optimizers())
        factor = optimiser.lr_factor(share.step, self._num_steps, self._config.optimiser)
        optimiser.set_lr(optimizer, factor)
        losses = self._backward(share)
        loss, stop, save = self._agree(torch.stack(losses).sum())
        if not math.isfinite(loss):
            self._fail("loss", share, losses)
        grad_norm = self._clip()
        if math.isfinite(grad_norm):
            optimizer.step()
            optimizer.zero_grad()
        if self._zero:
            grad_norm = self._zero.grad_norm
        if not math.isfinite(grad_norm):
            self._fail("gradient", share, losses)
        self.result = StepResult(
            step=share.step + 1,
            epoch=share.epoch,
            loss=loss / share.num_targets,
            lr=self._config.optimiser.lr * factor,
            grad_norm=grad_norm,
            num_tokens=share.num_tokens,
            sample_ids=share.sample_ids,
            stop=stop,
            save=save,
        )

    def _backward(self, share: Share) -> list[Tensor]:
        """Accumulate gradients over the passes of this process; they are averaged in the last."""
        scale = self.trainer.world_size / share.num_targets
        last = len(share.micro_batches) - 1
        network = self._zero.deepspeed_engine if self._zero else self.loss_network
        losses = []
        for number, micro in enumerate(share.micro_batches):
            with nullcontext() if number == last else self._unsynchronised():
                loss = network(micro)
                self.manual_backward(loss * scale)
            losses.append(loss.detach())
        return losses

    def _unsynchronised(self) -> Any:
        """Keep gradients local where a process has room for whole ones: under ddp.

        The others share them out in every pass, which costs messages: the whole gradient of a 32B
        model would be 131 GB on each GPU.
        """
        if self._config.strategy != "ddp":
            return nullcontext()
        return cast(Any, self.trainer.strategy).block_backward_sync()

    def _clip(self) -> float:
        """Clip by the norm over all processes and give it; ZeRO does so within its step."""
        if self._zero:
            return 0.0
        norm = clip_grad_norm_(self.loss_network.parameters(), self._config.optimiser.clip_norm)
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def _agree(self, loss: Tensor) -> tuple[float, bool, bool]:
        """Sum loss and votes over all processes, in one message.

        On the device of the loss: under ZeRO this module itself is never moved to it.
        """
        votes = [float(self.votes.stop), float(self.votes.save)]
        values = torch.cat([loss.double().view(1), loss.new_tensor(votes).double()])
        dist.all_reduce(values)
        self.votes.save = False
        total, stop, save = values.tolist()
        return total, stop > 0, save > 0

    def _fail(self, what: str, share: Share, losses: list[Tensor]) -> None:
        bad = [
            name
            for micro, loss in zip(share.micro_batches, losses, strict=True)
            if what == "gradient" or not bool(torch.isfinite(loss))
            for name in micro.sample_ids
        ]
        gathered: list[list[str]] = [[] for _ in range(dist.get_world_size())]
        dist.all_gather_object(gathered, bad)
        names = ", ".join(sorted(chain(*gathered)))
        raise NumericsError(
            f"the {what} of step {share.step + 1} is not finite, among samples {names};"
            " the last good checkpoint is kept: lower optimiser.lr or look at these samples"
        )
