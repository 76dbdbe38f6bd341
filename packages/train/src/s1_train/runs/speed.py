"""How much arithmetic a step is, and what a device could do at best: the two halves of MFU.

Knows no device by guess: where the name is not in the table, there is no MFU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Dense bf16 with fp32 sums: NVIDIA's data sheets of the HGX B200, H200, GH200, H100, A100, L40S,
# L40, L4 and A10, and the Ada white paper. They print figures with sparsity; these are half.
# The words of a CUDA device name; the first row whose words all occur counts.
_PEAKS: tuple[tuple[set[str], float | None], ...] = (
    ({"MIG"}, None),
    ({"4090", "Laptop"}, None),
    ({"4090", "D"}, None),
    ({"B200"}, 2250e12),
    ({"GH200"}, 989.4e12),
    ({"H200", "NVL"}, 835.5e12),
    ({"H200"}, 989.4e12),
    ({"H100", "PCIe"}, 756e12),
    ({"H100", "NVL"}, 835.5e12),
    ({"H100"}, 989.4e12),
    ({"A100"}, 312e12),
    ({"L40S"}, 362.05e12),
    ({"L40"}, 181.05e12),
    ({"L4"}, 121e12),
    ({"A10"}, 125e12),
    ({"4090"}, 165.2e12),
)


@dataclass(frozen=True, kw_only=True)
class NetworkShape:
    """The sizes of a dense decoder that decide how much arithmetic a token takes."""

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    vocab_size: int

    @staticmethod
    def of(config: Any) -> NetworkShape:
        """Read the sizes from a configuration of transformers (Qwen2, Qwen3, Llama, Mistral)."""
        heads = config.num_attention_heads
        return NetworkShape(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_layers=config.num_hidden_layers,
            num_heads=heads,
            num_kv_heads=config.num_key_value_heads,
            head_size=getattr(config, "head_dim", None) or config.hidden_size // heads,
            vocab_size=config.vocab_size,
        )


def step_flops(
    shape: NetworkShape, lengths: Sequence[int], num_targets: int | None = None
) -> float:
    """Count forward and backward of samples of these lengths, without recomputation.

    As appendix B of PaLM (arXiv 2204.02311): 6 a matmul parameter and token, the look-up of
    embeddings free, and 12 layers x heads x head size x keys a query for attention; but keys are
    those a causal query sees, (n + 1) / 2 on average, and the head works for targets alone
    (every token where `num_targets` is not said).
    """
    queries = shape.num_heads * shape.head_size
    keys_values = 2 * shape.num_kv_heads * shape.head_size
    attention = shape.hidden_size * (2 * queries + keys_values)
    layer = attention + 3 * shape.hidden_size * shape.intermediate_size
    tokens = sum(lengths)
    body = 6 * shape.num_layers * layer * tokens
    head = (
        6 * shape.hidden_size * shape.vocab_size * (tokens if num_targets is None else num_targets)
    )
    pairs = sum(n * (n + 1) // 2 for n in lengths)
    return float(body + head + 12 * shape.num_layers * queries * pairs)


def peak_flops(device_name: str) -> float | None:
    """Give the dense bf16 peak of a device by its CUDA name, a second; None where unknown."""
    words = set(device_name.replace("-", " ").split())
    return next((peak for marks, peak in _PEAKS if marks <= words), None)
