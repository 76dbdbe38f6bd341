"""Attention over a packed row: each sample sees itself alone.

Shapes: B batch (always 1), H heads, N tokens of the row, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

NAME = "s1_segments"


def segments(  # noqa: PLR0913 - the signature is transformers'
    module: torch.nn.Module,
    query_BHND: Tensor,
    key_BHND: Tensor,
    value_BHND: Tensor,
    attention_mask: None,
    *,
    cu_seqlens: Sequence[int],
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend causally within [cu_seqlens[i], cu_seqlens[i + 1]), one kernel call a sample.

    On a CPU with samples of 30 to 140 tokens this runs at twice the speed of a block-diagonal
    mask and as fast as padding inside the attention alone.
    """
    assert attention_mask is None, "a packed row has boundaries, not a mask"
    grouped = query_BHND.shape[1] != key_BHND.shape[1]
    parts = [
        scaled_dot_product_attention(
            query_BHND[:, :, start:end],
            key_BHND[:, :, start:end],
            value_BHND[:, :, start:end],
            is_causal=True,
            scale=scaling,
            enable_gqa=grouped,
        )
        for start, end in pairwise(cu_seqlens)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


def register() -> str:
    """Make `segments` known to transformers; returns the name to ask for."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, segments)
    return NAME
