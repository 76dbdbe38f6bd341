"""What engines run with on a card that is not theirs alone, and what is said where it is full."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from s1_core.errors import UserError
from s1_serve import engine, options, reward_engine
from s1_serve.config import ServeConfig

MODEL = SimpleNamespace(
    artifact=SimpleNamespace(path=Path("models/tiny"), sha256="a" * 64),
    context=512,
    settings={"num_attention_heads": 2, "hidden_size": 8, "num_hidden_layers": 1},
)
FULL = (
    "Free memory on device cuda:0 (20.11/79.11 GiB) on startup is less than desired GPU memory "
    "utilization (0.92, 72.78 GiB). Decrease GPU memory utilization or reduce GPU memory used by "
    "other processes."
)
SPENT = "CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation"
SMALL = "No available memory for the cache blocks. Try increasing it."


@pytest.mark.parametrize("has_cuda", [True, False])
def test_a_second_engine_needs_no_empty_card(monkeypatch, has_cuda):
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_cuda)
    found = options.engine_options(MODEL, ServeConfig(kv_cache_gib=2))
    assert found["kv_cache_memory_bytes"] == 2 << 30
    assert found.get("gpu_memory_utilization", 1) <= 0.05 or not has_cuda
    assert ("enforce_eager" in found) is not has_cuda
    assert ("gpu_memory_utilization" in found) is has_cuda


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError(FULL), "models/tiny does not fit on the GPU"),
        (RuntimeError(SPENT), "models/tiny does not fit on the GPU"),
        (ValueError(SMALL), "the KV cache does not fit"),
    ],
)
def test_a_card_without_room_is_one_line_from_either_engine(monkeypatch, error, told):
    def fails(_):
        raise error

    _fake_vllm(monkeypatch, fails)
    monkeypatch.setattr(reward_engine, "open_reward", lambda _: MODEL)
    monkeypatch.setattr(reward_engine, "quiet", lambda: None)
    config = ServeConfig(kv_cache_gib=0.5)
    scorer = reward_engine.RewardEngine("models/tiny", config)
    for start in (lambda: engine.started(MODEL, config, {}), lambda: scorer._vllm):
        with pytest.raises(UserError, match=told) as raised:
            start()
        assert "\n" not in str(raised.value) and "0.5" in str(raised.value)


@pytest.mark.parametrize("error", [ValueError("odd"), RuntimeError("no kv here")])
def test_a_bug_of_the_engine_stays_what_it_is(monkeypatch, error):
    def fails(_):
        raise error

    _fake_vllm(monkeypatch, fails)
    with pytest.raises(type(error), match=str(error)):
        engine.started(MODEL, ServeConfig(), {})


def _fake_vllm(monkeypatch, start):
    """Put a vLLM into its place that does nothing but start."""
    parts = {
        "vllm": {"EngineArgs": SimpleNamespace},
        "vllm.config": {"PoolerConfig": SimpleNamespace},
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.llm_engine": {"LLMEngine": SimpleNamespace(from_engine_args=start)},
    }
    for name, content in parts.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
