"""Attention over a packed row: each sample sees itself alone.

Shapes: B batch (always 1), H heads, N tokens of the row, D head size.
"""

from __future__ import annotations

from functools import lru_cache
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
    cu_seqlens: tuple[int, ...],
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend causally within [cu_seqlens[i], cu_seqlens[i + 1]).

    In half precision on CUDA by one call of the flash kernel; elsewhere by one call a sample,
    which on a CPU with samples of 30 to 140 tokens runs at twice the speed of a block-diagonal
    mask. The CUDA path has run on shapes alone so far (tests/unit/train/test_attention.py), never
    on a device: there the tests marked gpu compare it with the other.
    """
    assert attention_mask is None, "a packed row has boundaries, not a mask"
    half = value_BHND.dtype in (torch.bfloat16, torch.float16)
    attend = _in_one_call if value_BHND.is_cuda and half else _one_by_one
    # Under autocast the rotation leaves queries and keys in fp32, which the kernel refuses.
    heads = (query_BHND.to(value_BHND.dtype), key_BHND.to(value_BHND.dtype), value_BHND)
    return attend(heads, cu_seqlens, scaling), None


def register() -> str:
    """Make `segments` known to transformers; returns the name to ask for."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, segments)
    return NAME


def _one_by_one(
    heads: tuple[Tensor, Tensor, Tensor], cu_seqlens: tuple[int, ...], scaling: float | None
) -> Tensor:
    lengths = [end - start for start, end in pairwise(cu_seqlens)]
    grouped = heads[0].shape[1] != heads[1].shape[1]
    parts = [
        scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped
        )
        # Split, as the gradient of each slice would be a whole row of zeros around it.
        for query, key, value in zip(
            *(torch.split(each, lengths, 2) for each in heads), strict=True
        )
    ]
    return torch.cat(parts, dim=2).transpose(1, 2)


def _in_one_call(
    heads: tuple[Tensor, Tensor, Tensor], cu_seqlens: tuple[int, ...], scaling: float | None
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    query_NHD, key_NHD, value_NHD = (each.squeeze(0).transpose(0, 1) for each in heads)
    ends = _on_device(cu_seqlens, query_NHD.device)
    longest = max(end - start for start, end in pairwise(cu_seqlens))
    output_NHD = varlen_attn(
        query_NHD,
        key_NHD,
        value_NHD,
        ends,
        ends,
        longest,
        longest,
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=query_NHD.shape[1] != key_NHD.shape[1],
    )
    assert isinstance(output_NHD, Tensor), "return_aux was not asked for"
    return output_NHD.unsqueeze(0)


@lru_cache(maxsize=1)
def _on_device(cu_seqlens: tuple[int, ...], device: torch.device) -> Tensor:
    """Copy the boundaries once a micro-batch: in every layer it would make the host wait."""
    with torch.inference_mode(False):  # one made for inference could not serve a backward pass
        return torch.tensor(cu_seqlens, dtype=torch.int32, device=device)
