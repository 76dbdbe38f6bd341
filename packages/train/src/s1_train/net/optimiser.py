"""AdamW, Muon beside AdamW as one optimiser, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Muon, Optimizer

from s1_train.config import OptimiserConfig


def lr_factor(step: int, num_steps: int, config: OptimiserConfig) -> float:
    """Give the share of the peak at which step `step` (from 0) is taken.

    Linear warm-up over ceil(warmup_fraction * num_steps) steps, then cosine, linear or constant;
    as in transformers, the first step has rate 0 where there is a warm-up.
    """
    warmup = math.ceil(config.warmup_fraction * num_steps)
    if step < warmup:
        return step / warmup
    if config.schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, num_steps - warmup)
    shape = 0.5 * (1 + math.cos(math.pi * done)) if config.schedule == "cosine" else 1 - done
    return config.final_fraction + (1 - config.final_fraction) * shape


def build(named: Iterable[tuple[str, Tensor]], config: OptimiserConfig) -> Optimizer:
    """Make the optimiser; each group keeps its peak rate under "peak_lr"."""
    parameters = [(name, p) for name, p in named if p.requires_grad]
    if config.name == "adamw":
        optimiser: Optimizer = _adamw([p for _, p in parameters], config)
    else:
        optimiser = MuonWithAdamW(parameters, config)
    for group in optimiser.param_groups:
        group["peak_lr"] = group["lr"]
    return optimiser


def set_lr(optimiser: Optimizer, factor: float) -> None:
    """Set the learning rate of every group to a share of its peak."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak_lr"] * factor


class MuonWithAdamW(Optimizer):
    """Muon for the hidden matrices, AdamW for embeddings, head, biases and norms."""

    def __init__(self, named: list[tuple[str, Tensor]], config: OptimiserConfig) -> None:
        hidden = [p for name, p in named if p.ndim == 2 and ".layers." in name]
        chosen = {id(p) for p in hidden}
        rest = [p for _, p in named if id(p) not in chosen]
        self._parts: tuple[Optimizer, Optimizer] = (
            Muon(
                hidden,
                lr=config.muon_lr,
                momentum=config.muon_momentum,
                weight_decay=config.weight_decay,
            ),
            _adamw(rest, config),
        )
        super().__init__([{"params": hidden}, {"params": rest}], {"lr": config.lr})
        self._share_groups()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step both parts."""
        value = closure() if closure is not None else None
        for part in self._parts:
            part.step()
        return value

    def state_dict(self) -> dict[str, Any]:
        """Give the states of both parts."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back the states of both parts."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()

    def _share_groups(self) -> None:
        """Show the parts' own groups, so that whoever sets a rate here sets it there."""
        self.param_groups = [group for part in self._parts for group in part.param_groups]


def _adamw(parameters: list[Tensor], config: OptimiserConfig) -> AdamW:
    return AdamW(
        parameters,
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        fused=all(torch.is_floating_point(p) for p in parameters),
    )
