"""The network before training: from scratch by its shape, or from a base model's folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from s1_core import artifacts
from s1_core.errors import UserError
from s1_train.config import ModelShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NO_BASE, EMBEDDED = "none", "embedded"
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class BaseModel:
    """Where training starts; `sha256` identifies the content."""

    name: str
    folder: Path
    sha256: str


def find(base: str, revision: str | None) -> BaseModel | None:
    """Locate and check a base model: a folder, a Hugging Face name, or None from scratch."""
    if base == NO_BASE:
        return None
    if base == EMBEDDED or (Path(base) / artifacts.MANIFEST).is_file():
        found = artifacts.load(base, kind="model")
        _check_complete(found.path)
        return BaseModel(base if base == EMBEDDED else found.path.name, found.path, found.sha256)
    folder = Path(base) if Path(base).is_dir() else _download(base, revision)
    _check_complete(folder)
    name = folder.name if Path(base).is_dir() else f"{base}@{revision or 'main'}"
    return BaseModel(name, folder, _fingerprint(folder))


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.jinja"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"--base {name} is neither embedded, none, a folder, nor a model that Hugging Face"
            f" gives us ({type(error).__name__}); check the name or the network"
        ) from error


def _check_complete(folder: Path) -> None:
    """Refuse a folder in which a file that config, tokenizer or index call for is missing."""
    wanted = ["config.json", "tokenizer.json", "tokenizer_config.json"]
    wanted += weight_files(folder)
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"the base model in {folder} lacks {', '.join(missing)}; fetch or export it again"
        )


def weight_files(folder: Path) -> list[str]:
    """List the safetensors files a model folder should have."""
    index = folder / _INDEX
    if not index.is_file():
        return ["model.safetensors"]
    return sorted(set(json.loads(index.read_text())["weight_map"].values()))


def _fingerprint(folder: Path) -> str:
    """Identify a folder without manifest: its small files by content, the weights by size."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.json")):
        digest.update(path.name.encode() + path.read_bytes())
    for name in weight_files(folder):
        digest.update(f"{name} {(folder / name).stat().st_size}".encode())
    return digest.hexdigest()


def build(shape: ModelShape, vocab_size: int, base: Path | None) -> PreTrainedModel:
    """Make the network in fp32, with attention over packed rows; random weights without base."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM
    from transformers.utils import logging

    from s1_train.net import attention

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    name = attention.register()
    network: PreTrainedModel
    if base is None:
        config = Qwen2Config(**_qwen2_fields(shape, vocab_size))
        network = Qwen2ForCausalLM(config)  # type: ignore[no-untyped-call]
    else:
        network = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    rows = cast(torch.nn.Embedding, network.get_input_embeddings()).num_embeddings
    if vocab_size > rows:
        raise UserError(
            f"the tokenizer has {vocab_size} entries, the base model {rows} embeddings;"
            " name a tokenizer that belongs to the model"
        )
    network.set_attn_implementation(name)
    network.config.use_cache = False
    return network


def _qwen2_fields(shape: ModelShape, vocab_size: int) -> dict[str, Any]:
    return {
        "vocab_size": vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "max_position_embeddings": shape.max_positions,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "tie_word_embeddings": shape.tie_embeddings,
    }
