"""Next-token loss as a sum over targets, computed only where there is one.

Shapes: N tokens of a row, H hidden size, M targets among the N, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from s1_train.encoding import IGNORE_INDEX

CHUNK = 4096
"""targets whose logits exist at a time; 4096 x 152,064 of them are 2.5 GB in fp32"""


def loss_sum(hidden_1NH: Tensor, labels_1N: Tensor, head: torch.nn.Module) -> Tensor:
    """Sum the cross-entropy of the targets; the caller divides by their global number.

    Beyond one chunk, logits are computed again in the backward pass instead of being kept.
    """
    keep_N = labels_1N[0] != IGNORE_INDEX
    hidden_MH, labels_M = hidden_1NH[0][keep_N], labels_1N[0][keep_N]
    if len(labels_M) <= CHUNK:
        return _chunk_loss(hidden_MH, labels_M, head)
    chunks = zip(torch.split(hidden_MH, CHUNK), torch.split(labels_M, CHUNK), strict=True)
    losses = [
        checkpoint(_chunk_loss, hidden, labels, head, use_reentrant=False)
        for hidden, labels in chunks
    ]
    return torch.stack(losses).sum()


def _chunk_loss(hidden_MH: Tensor, labels_M: Tensor, head: torch.nn.Module) -> Tensor:
    return cross_entropy(head(hidden_MH).float(), labels_M, reduction="sum")
