"""Next-token loss as a sum over targets, a few logits at a time, never all of them.

Shapes: N tokens of a row, H hidden size, M targets among the N, C targets of a chunk, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from s1_train.encoding import IGNORE_INDEX


def loss_sum(hidden_1NH: Tensor, labels_1N: Tensor, head: torch.nn.Linear, chunk: int) -> Tensor:
    """Sum the cross-entropy of the targets in fp32; the caller divides by their global number.

    `chunk` is the number of targets whose logits exist at a time. A row without a target still
    gives every weight a gradient (of zero), which sharded strategies wait for.
    """
    keep_N = labels_1N[0] != IGNORE_INDEX
    hidden_MH, labels_M = hidden_1NH[0][keep_N], labels_1N[0][keep_N]
    kind = hidden_MH.device.type
    if torch.is_autocast_enabled(kind):
        hidden_MH = hidden_MH.to(torch.get_autocast_dtype(kind))
    with torch.autocast(kind, enabled=False):
        loss: Tensor = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
            hidden_MH, labels_M, head.weight, head.bias, chunk
        )
    return loss


class _ChunkedLoss(torch.autograd.Function):
    """The loss with its gradients made on the way, so that no logits wait for the backward pass.

    Matrices are multiplied in the type of `hidden_MH` and summed over the chunks in fp32. torch
    has the same as linear_cross_entropy, but for bf16 it sums the loss (0.6 % off at V = 8,192 and
    M = 4,096) and the chunks' weight gradients (0.5 % off, here 0.2 %) in bf16.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_MH: Tensor,
        labels_M: Tensor,
        weight_VH: Tensor,
        bias_V: Tensor | None,
        chunk: int,
    ) -> Tensor:
        """Sum the loss; keep the gradients for a loss gradient of 1."""
        weight = weight_VH.to(hidden_MH.dtype)
        bias = None if bias_V is None else bias_V.to(hidden_MH.dtype)
        loss = torch.zeros((), dtype=torch.float32, device=hidden_MH.device)
        d_hidden_MH = torch.empty_like(hidden_MH)
        d_weight_VH = torch.zeros_like(weight_VH, dtype=torch.float32)
        d_bias_V = None if bias_V is None else torch.zeros_like(bias_V, dtype=torch.float32)
        d_logits_CV = None
        for start in range(0, len(labels_M), chunk):
            del d_logits_CV  # or two chunks of logits exist while the next one is made
            part = slice(start, start + chunk)
            d_logits_CV = linear(hidden_MH[part], weight, bias).float()
            loss += _to_gradient(d_logits_CV, labels_M[part, None])
            if d_bias_V is not None:
                d_bias_V += d_logits_CV.sum(0)
            d_logits_CV = d_logits_CV.to(weight.dtype)
            torch.mm(d_logits_CV, weight, out=d_hidden_MH[part])
            _add_product(d_weight_VH, d_logits_CV.T, hidden_MH[part])
        ctx.save_for_backward(
            d_hidden_MH,
            d_weight_VH.to(weight_VH.dtype),
            None if d_bias_V is None or bias_V is None else d_bias_V.to(bias_V.dtype),
        )
        return loss

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradients in place: they are used once."""
        d_hidden, d_weight, d_bias = (
            None if gradient is None else gradient.mul_(d_loss) for gradient in ctx.saved_tensors
        )
        return d_hidden, None, d_weight, d_bias, None


def _to_gradient(logits_CV: Tensor, labels_C1: Tensor) -> Tensor:
    """Give the sum of a chunk's cross-entropy; its gradient takes the place of the logits."""
    logits_CV -= logits_CV.amax(-1, keepdim=True)
    chosen_C1 = logits_CV.gather(-1, labels_C1)
    sums_C1 = logits_CV.exp_().sum(-1, keepdim=True)
    logits_CV /= sums_C1
    logits_CV.scatter_add_(-1, labels_C1, torch.full_like(sums_C1, -1))
    return (sums_C1.log() - chosen_C1).sum()


def _add_product(total_VH: Tensor, left_VC: Tensor, right_CH: Tensor) -> None:
    """Add in fp32, without rounding the product of half precision first."""
    if left_VC.is_cuda and left_VC.dtype != torch.float32:
        torch.addmm(total_VH, left_VC, right_CH, out_dtype=torch.float32, out=total_VH)
    else:
        total_VH.addmm_(left_VC.float(), right_CH.float())
