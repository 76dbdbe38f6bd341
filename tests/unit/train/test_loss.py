"""The loss is a sum over targets, in one piece or in chunks."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from s1_train import loss
from s1_train.encoding import IGNORE_INDEX


def gradients(chunk: int, monkeypatch: pytest.MonkeyPatch) -> tuple[torch.Tensor, ...]:
    monkeypatch.setattr(loss, "CHUNK", chunk)
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 11, bias=False)
    hidden = torch.randn(1, 20, 8, requires_grad=True)
    labels = torch.randint(0, 11, (1, 20))
    labels[0, ::3] = IGNORE_INDEX
    total = loss.loss_sum(hidden, labels, head)
    total.backward()
    plain = cross_entropy(head(hidden[0]), labels[0], reduction="sum", ignore_index=IGNORE_INDEX)
    assert torch.allclose(total, plain, rtol=1e-6)
    assert hidden.grad is not None and head.weight.grad is not None
    return total, hidden.grad, head.weight.grad


def test_chunks_change_neither_loss_nor_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, chunked = gradients(100, monkeypatch), gradients(4, monkeypatch)
    for one, other in zip(whole, chunked, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_row_without_targets_has_a_zero_gradient() -> None:
    head = torch.nn.Linear(8, 11)
    hidden = torch.randn(1, 1, 8, requires_grad=True)
    total = loss.loss_sum(hidden, torch.full((1, 1), IGNORE_INDEX), head)
    total.backward()
    assert total.item() == 0 and hidden.grad is not None and not hidden.grad.any()
    assert head.weight.grad is not None and not head.weight.grad.any()
