"""Drawing tokens from numbers that depend on seed and position alone, never on a generator's state.

A draw repeated after preemption, or in another batch, is the same draw. Torch only.

Shape suffixes: R rows, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK = 512
"""tokens that are summed before any is looked at: a running sum over a whole vocabulary is slow"""
_GOLDEN, _MIX1, _MIX2 = -7046029254386353131, -4658895280553007687, -7723592293110705685
"""the constants of splitmix64 (Steele, Lea, Flood 2014), as signed 64-bit integers"""


@dataclass(frozen=True)
class Filters:
    """How rows are drawn, one value a row; `any_*` say on the host what need not be done at all."""

    temperature_R: Tensor
    top_p_R: Tensor
    top_k_R: Tensor
    min_p_R: Tensor
    any_sorted: bool
    any_min_p: bool


def uniform(seed_R: Tensor, position_R: Tensor, salt: int) -> Tensor:
    """Hash (seed, position, salt) to float64 in [0, 1)."""
    state_R = seed_R
    for word in (position_R, torch.full_like(position_R, salt)):
        state_R = _mixed(state_R + word * _GOLDEN + _GOLDEN)
    return _shifted(state_R, 11).double() * 2.0**-53


def draw(logits_RV: Tensor, filters: Filters, uniform_R: Tensor) -> Tensor:
    """Draw a token a row by inverse CDF, after temperature, min-p, top-k and top-p in that order.

    The order and the ties are those of vLLM 0.32 (v1/sample/sampler.py, topk_topp_sampler.py).
    """
    scaled_RV = logits_RV.float() / filters.temperature_R[:, None].float()
    if filters.any_min_p:
        probs_RV = scaled_RV.softmax(-1)
        floor_R1 = filters.min_p_R[:, None].float() * probs_RV.amax(-1, keepdim=True)
        scaled_RV = scaled_RV.masked_fill(probs_RV < floor_R1, -torch.inf)
    if filters.any_sorted:
        scaled_RV = _top(scaled_RV, filters)
    return _passed(scaled_RV.sub_(scaled_RV.amax(-1, keepdim=True)).exp_(), uniform_R)


def _passed(mass_RV: Tensor, share_R: Tensor) -> Tensor:
    """Find the token at which the running mass passes a share of all: its block, then itself.

    Never one without mass: a share is below 1, in a block as in the whole.
    """
    num_rows, size = mass_RV.shape
    whole = size // _BLOCK * _BLOCK
    sums_RB = mass_RV[:, :whole].reshape(num_rows, -1, _BLOCK).sum(-1, dtype=torch.double)
    sums_RB = torch.cat([sums_RB, mass_RV[:, whole:].sum(-1, keepdim=True).double()], 1)
    block_R1, rest_R1 = _searched(sums_RB, share_R[:, None])
    token_RB = block_R1 * _BLOCK + torch.arange(_BLOCK, device=mass_RV.device)
    inside_RB = mass_RV.gather(1, token_RB.clamp(max=size - 1)).double()
    inside_RB = inside_RB.masked_fill(token_RB >= size, 0)
    offset_R1, _ = _searched(inside_RB, rest_R1)
    return (block_R1 * _BLOCK + offset_R1)[:, 0]


def _searched(mass_RN: Tensor, share_R1: Tensor) -> tuple[Tensor, Tensor]:
    """Find where the running mass passes a share, and which share of that one's own is left."""
    cdf_RN = mass_RN.cumsum(-1)
    below_R1 = torch.nextafter(cdf_RN[:, -1:], torch.zeros_like(share_R1))  # where a share rounds
    goal_R1 = torch.minimum(share_R1 * cdf_RN[:, -1:], below_R1)
    at_R1 = torch.searchsorted(cdf_RN, goal_R1, right=True)
    own_R1 = mass_RN.gather(1, at_R1)
    left_R1 = (goal_R1 - cdf_RN.gather(1, at_R1) + own_R1) / own_R1
    return at_R1, left_R1.clamp(0, 1 - 2.0**-53)


def _top(logits_RV: Tensor, filters: Filters) -> Tensor:
    """Keep the top-k, and of these the nucleus; top_k 0 keeps all."""
    size = logits_RV.shape[1]
    sorted_RV, order_RV = logits_RV.sort(dim=-1)
    k_R = torch.where(filters.top_k_R > 0, filters.top_k_R.clamp(max=size), size)
    least_R1 = sorted_RV.gather(1, (size - k_R)[:, None])
    sorted_RV = sorted_RV.masked_fill(sorted_RV < least_R1, -torch.inf)
    mass_RV = sorted_RV.softmax(-1).cumsum(-1)
    outside_RV = mass_RV <= 1 - filters.top_p_R[:, None].float()
    outside_RV[:, -1] = False
    kept_RV = sorted_RV.masked_fill(outside_RV, -torch.inf)
    return torch.empty_like(kept_RV).scatter_(1, order_RV, kept_RV)


def _mixed(x_R: Tensor) -> Tensor:
    x_R = (x_R ^ _shifted(x_R, 30)) * _MIX1
    x_R = (x_R ^ _shifted(x_R, 27)) * _MIX2
    return x_R ^ _shifted(x_R, 31)


def _shifted(x_R: Tensor, bits: int) -> Tensor:
    """Shift right without the sign."""
    return (x_R >> bits) & ((1 << (64 - bits)) - 1)
