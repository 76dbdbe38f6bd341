"""Neither packing nor the number of processes, passes or shards changes what is computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from s1_train.config import ModelShape
from s1_train.encoding import TokenizedExample
from s1_train.loader import collate
from s1_train.module import LossNetwork
from s1_train.net import weights


@pytest.fixture(scope="module", params=[1, 2], ids=["grouped queries", "as many keys as queries"])
def network(request: pytest.FixtureRequest) -> LossNetwork:
    torch.manual_seed(0)
    shape = ModelShape(
        hidden_size=64, num_layers=2, intermediate_size=96, num_heads=2, num_kv_heads=request.param
    )
    return LossNetwork(weights.build(shape, 120, None), 16).train()


def sequences() -> list[TokenizedExample]:
    rng = np.random.default_rng(3)
    return [
        TokenizedExample(str(n), rng.integers(0, 120, n).astype(np.int32), np.ones(n, bool))
        for n in (5, 17, 2, 40)
    ]


def test_packed_logits_are_those_of_separate_sequences(network: LossNetwork) -> None:
    def logits(samples: list[TokenizedExample]) -> torch.Tensor:
        micro = collate(samples)
        return network.network(
            input_ids=micro.input_ids_1N,
            position_ids=micro.position_ids_1N,
            cu_seqlens=micro.cu_seqlens,
        ).logits

    with torch.inference_mode():
        packed = logits(sequences())
        alone = torch.cat([logits([sample]) for sample in sequences()], dim=1)
    assert torch.allclose(packed, alone, atol=1e-5)


def test_packed_gradients_are_those_of_separate_sequences(network: LossNetwork) -> None:
    def gradients(rows: list[list[TokenizedExample]]) -> dict[str, torch.Tensor]:
        network.zero_grad()
        for row in rows:
            network(collate(row)).backward()
        return {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}

    packed, alone = gradients([sequences()]), gradients([[sample] for sample in sequences()])
    assert packed.keys() == alone.keys() == dict(network.named_parameters()).keys()
    for name, gradient in alone.items():
        assert torch.allclose(packed[name], gradient, atol=1e-5), name


def test_our_attention_is_that_of_transformers(network: LossNetwork) -> None:
    (sample,) = sequences()[-1:]
    ids = torch.from_numpy(sample.input_ids.astype(np.int64))[None]
    with torch.inference_mode():
        ours = network.network(input_ids=ids, cu_seqlens=(0, ids.shape[1])).logits
        network.network.set_attn_implementation("eager")
        theirs = network.network(input_ids=ids).logits
    network.network.set_attn_implementation("s1_segments")
    assert torch.allclose(ours, theirs, atol=1e-5)
