"""A model artifact as serving needs it: format, stop ids, tokenizer, and the memory it will take.

Refuses altered checkpoints, formats it does not know, tokenizers that split a control token and KV
caches that do not fit, one line each, before anything heavy loads.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s1_core import artifacts, chat
from s1_core.errors import UserError
from s1_serve.config import ServeConfig
from s1_serve.text import Text

GIB = 1 << 30
FLOAT32_BYTES = 4
BLOCK_SIZE = 32  # of the cache; vLLM's 128 on CPU shares no prefix of a 60-token prompt


@dataclass(frozen=True, kw_only=True)
class Model:
    """What the manifest of a model artifact says, and its tokenizer."""

    artifact: artifacts.Artifact
    format: chat.Format
    stop_ids: tuple[int, ...]
    text: Text

    @property
    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = json.loads((self.artifact.path / "config.json").read_text())
        return settings

    @property
    def context(self) -> int:
        return int(self.settings["max_position_embeddings"])


def open_model(path: str, *, kind: str = "model") -> Model:
    """Read a model artifact without starting an engine; one of kind "reward" scores steps.

    Raises:
        UserError: no artifact, one of another kind, an altered file, an unknown format, no stop ids
            in the manifest.
    """
    artifact = artifacts.load(path, kind=kind)
    stop_ids = artifact.config.get("stop_token_ids")
    if not stop_ids or "format" not in artifact.config:
        raise UserError(
            f"{artifact.path}/manifest.json names no format or stop_token_ids: export it again"
        )
    fmt, text = chat.format_named(artifact.config["format"]), Text.load(artifact.path)
    chat.check_tokens(fmt, text.encode)
    return Model(artifact=artifact, format=fmt, stop_ids=tuple(stop_ids), text=text)


def check_fit(model: Model, config: ServeConfig) -> None:
    """See whether the context is one the model has, and whether its keys and values fit.

    Raises:
        UserError: they do not; the message holds the numbers.
    """
    context = config.context or model.context
    if context > model.context:
        raise UserError(f"context is {context}, the model has {model.context}: lower it")
    needed = (context + BLOCK_SIZE) * _bytes_per_token(model.settings) / GIB
    free = _free_memory() / GIB
    if config.kv_cache_gib < needed:
        raise UserError(
            f"no room for the KV cache: a context of {context} tokens needs {needed:.3g} GiB, "
            f"kv_cache_gib is {config.kv_cache_gib:g}; raise it or give a smaller context"
        )
    if config.kv_cache_gib > free:
        raise UserError(
            f"no room for the KV cache: kv_cache_gib is {config.kv_cache_gib:g} and {free:.3g} GiB "
            f"of memory are free; lower it, to no less than {needed:.3g}"
        )


def _bytes_per_token(settings: dict[str, Any]) -> int:
    """Count keys and values of one token in float32, whatever the cache will hold."""
    heads = settings["num_attention_heads"]
    width = settings.get("head_dim") or settings["hidden_size"] // heads
    kv_heads = settings.get("num_key_value_heads") or heads
    return int(2 * FLOAT32_BYTES * settings["num_hidden_layers"] * kv_heads * width)


def has_gpu() -> bool:
    """Say whether this machine has an NVIDIA device; loads nothing to find out."""
    return Path("/dev/nvidiactl").exists()


def _free_memory() -> float:
    """Return the bytes that a process may still take; no bound where a GPU holds the cache."""
    if has_gpu():
        return math.inf
    lines = Path("/proc/meminfo").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
