"""The arithmetic of a step, by hand and by torch's own counter, and the peaks of devices."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from s1_train.config import ModelShape
from s1_train.net import weights
from s1_train.runs.speed import NetworkShape, peak_flops, step_flops

SHAPE = ModelShape(hidden_size=64, intermediate_size=96, num_layers=3, num_heads=2, num_kv_heads=1)
VOCAB = 120


def test_the_count_is_that_of_torch_but_for_what_a_causal_query_does_not_see() -> None:
    """Torch counts attention over all pairs: 2n / (n + 1) times those at or below the diagonal."""
    network = weights.build(SHAPE, VOCAB, None)
    network.set_attn_implementation("eager")
    length = 17
    with FlopCounterMode(display=False) as counter:
        network(input_ids=torch.ones(1, length, dtype=torch.long)).logits.sum().backward()
    all_pairs = 12 * 3 * (2 * 32) * length**2
    causal = all_pairs * (length + 1) / (2 * length)
    ours = step_flops(NetworkShape.of(network.config), [length])
    assert counter.get_total_flops() - all_pairs == ours - causal


def test_the_count_by_hand() -> None:
    """One layer: q 4x4, k and v 4x2 each, o 4x4, three of 4x8, a head of 4x10."""
    shape = NetworkShape(
        hidden_size=4, intermediate_size=8, num_layers=1, num_heads=2, num_kv_heads=1,
        head_size=2, vocab_size=10,
    )  # fmt: skip
    matrices = 16 + 8 + 8 + 16 + 96
    pairs = 1 + 2 + 3 + 1 + 2
    assert step_flops(shape, [3, 2]) == 6 * (matrices + 40) * 5 + 12 * 4 * pairs
    assert step_flops(shape, [3, 2], 4) == 6 * (matrices * 5 + 40 * 4) + 12 * 4 * pairs


def test_the_32b_model_takes_six_times_its_parameters_a_token() -> None:
    """Qwen2.5-32B has 31.0B parameters beside its embeddings (its model card), biases included."""
    shape = NetworkShape(
        hidden_size=5120, intermediate_size=27648, num_layers=64, num_heads=40, num_kv_heads=8,
        head_size=128, vocab_size=152064,
    )  # fmt: skip
    head = 5120 * 152064
    assert (step_flops(shape, [1]) - 12 * 64 * 5120) / 6 - head == pytest.approx(31.0e9, rel=2e-2)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835.5e12),
        ("NVIDIA H200", 989.4e12),
        ("NVIDIA B200", 2250e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362.05e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA RTX A1000", None),
        ("cpu", None),
    ],
)
def test_peaks_are_dense_and_never_guessed(name: str, peak: float | None) -> None:
    assert peak_flops(name) == peak
