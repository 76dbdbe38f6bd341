"""Activation checkpointing computes a layer's activations again, and the same gradients."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import torch

from s1_train.config import ModelShape, TrainConfig
from s1_train.encoding import TokenizedExample
from s1_train.loader import collate
from s1_train.module import FineTuning
from s1_train.net.weights import Start

SHAPE = ModelShape(hidden_size=64, intermediate_size=64, num_layers=2, num_heads=2, num_kv_heads=2)


def backward(*, switched_on: bool) -> tuple[int, list[torch.Tensor]]:
    """Count the passes through the first layer and give the gradients."""
    config = TrainConfig(
        data=Path("s1k"), out=Path("run"), strategy="ddp", activation_checkpointing=switched_on
    )
    torch.manual_seed(0)
    module = FineTuning(Start(SHAPE, 300, None), config, num_steps=1)
    module.trainer = pl.Trainer(accelerator="cpu", devices=1, logger=False)
    module.configure_model()
    module.loss_network.train()
    passes = []
    module.loss_network.decoder.layers[0].mlp.register_forward_pre_hook(lambda *_: passes.append(1))
    sample = TokenizedExample("a", list(range(40)), [False] * 10 + [True] * 30)
    module.loss_network(collate([sample])).backward()
    return len(passes), [p.grad for p in module.parameters() if p.grad is not None]


def test_a_layer_is_computed_again_and_gradients_stay() -> None:
    (once, kept), (twice, anew) = backward(switched_on=False), backward(switched_on=True)
    assert (once, twice) == (1, 2) and len(kept) == len(anew) > 0
    for ours, theirs in zip(kept, anew, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)
