"""The loss is a sum over targets whose logits never exist all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, linear
from torch.utils._python_dispatch import TorchDispatchMode

from s1_train import strategy
from s1_train.config import ModelShape, TrainConfig
from s1_train.encoding import IGNORE_INDEX, TokenizedExample
from s1_train.loader import collate
from s1_train.loss import loss_sum
from s1_train.module import FineTuning
from s1_train.net.weights import Start


def problem(tokens: int, hidden: int, vocab: int, bias: bool = False) -> Any:
    """Make hidden states, labels of which every third is none, and a head."""
    torch.manual_seed(0)
    head = torch.nn.Linear(hidden, vocab, bias=bias)
    states = torch.randn(1, tokens, hidden, requires_grad=True)
    labels = torch.randint(0, vocab, (1, tokens))
    labels[0, ::3] = IGNORE_INDEX
    return states, labels, head


def plain(states: torch.Tensor, labels: torch.Tensor, head: torch.nn.Linear) -> torch.Tensor:
    logits = head(states[0])
    return cross_entropy(logits, labels[0], reduction="sum", ignore_index=IGNORE_INDEX)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_chunks_change_neither_loss_nor_gradients(chunk: int, bias: bool) -> None:
    states, labels, head = problem(20, 8, 11, bias)
    leaves = (states, *head.parameters())
    loss, wanted = loss_sum(states, labels, head, chunk), plain(states, labels, head)
    assert torch.allclose(loss, wanted, rtol=1e-6)
    # Scaled, as the caller divides by the number of targets of all processes.
    ours, theirs = torch.autograd.grad(loss / 7, leaves), torch.autograd.grad(wanted / 7, leaves)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_row_without_targets_has_a_zero_gradient() -> None:
    head = torch.nn.Linear(8, 11)
    hidden = torch.randn(1, 1, 8, requires_grad=True)
    total = loss_sum(hidden, torch.full((1, 1), IGNORE_INDEX), head, 4)
    total.backward()
    assert total.item() == 0 and hidden.grad is not None and not hidden.grad.any()
    assert head.weight.grad is not None and not head.weight.grad.any()
    assert head.bias.grad is not None and not head.bias.grad.any()


def test_large_logits_do_not_overflow() -> None:
    states, labels, head = problem(20, 8, 11)
    loss = loss_sum(states * 1e4, labels, head, 4)
    loss.backward()
    assert torch.allclose(loss, plain(states * 1e4, labels, head), rtol=1e-5)
    assert bool(torch.isfinite(states.grad).all()) and bool(torch.isfinite(head.weight.grad).all())


ON_CUDA = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    ],
)


@pytest.mark.parametrize("device", ["cpu", ON_CUDA])
def test_bf16_loses_nothing_over_many_chunks(device: str) -> None:
    """Loss and weight gradient are summed in fp32: in bf16 either would be off by 0.5 %."""
    states, labels, head = problem(3000, 16, 64)
    states, labels = states.detach().to(device).bfloat16(), labels.to(device)
    head = head.to(device).bfloat16()
    loss = loss_sum(states, labels, head, 8)
    loss.backward()
    weight = head.weight.detach().double().requires_grad_()
    wanted = cross_entropy(
        linear(states[0].double(), weight),
        labels[0],
        reduction="sum",
        ignore_index=IGNORE_INDEX,
    )
    wanted.backward()
    assert loss.dtype == torch.float32 and head.weight.grad.dtype == torch.bfloat16
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-4)
    off = (head.weight.grad.double() - weight.grad).norm() / weight.grad.norm()
    assert off < 2.5e-3


def test_autocast_multiplies_in_bf16_and_keeps_gradients_in_fp32() -> None:
    states, labels, head = problem(20, 8, 11, bias=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_sum(states, labels, head, 4)
    loss.backward()
    half = torch.nn.Linear(8, 11).bfloat16()
    half.load_state_dict(head.state_dict())
    assert loss.item() == loss_sum(states.detach().bfloat16(), labels, half, 4).item()
    assert loss.item() != loss_sum(states, labels, head, 4).item()
    assert head.weight.grad.dtype == states.grad.dtype == torch.float32
    assert not torch.equal(head.weight.grad, head.weight.grad.bfloat16().float())


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor any operator makes, in numbers."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tensors = [t for t in torch.utils._pytree.tree_leaves(made) if torch.is_tensor(t)]
        self.size = max([self.size, *(t.numel() for t in tensors)])
        return made


def test_all_logits_never_exist_at_once() -> None:
    vocab, tokens, chunk = 2000, 1000, 40
    shape = ModelShape(hidden_size=32, num_layers=1, intermediate_size=32, num_heads=1,
                       num_kv_heads=1)  # fmt: skip
    config = TrainConfig(data=Path(), out=Path(), strategy="ddp", loss_chunk=chunk)
    module = FineTuning(Start(shape, vocab, None), config, num_steps=1)
    module.trainer = pl.Trainer(accelerator="cpu", devices=1, strategy=strategy.build(config, 1),
                                logger=False, enable_checkpointing=False)  # fmt: skip
    module.configure_model()
    ids = np.random.default_rng(0).integers(0, vocab, tokens + 1).astype(np.int32)
    micro = collate([TokenizedExample("a", ids, np.ones(tokens + 1, bool))])
    with Largest() as largest:
        module.loss_network(micro).backward()
    assert largest.size == chunk * vocab > vocab * shape.hidden_size
