"""The network before training: from scratch by its shape, or from a base model's folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from s1_core import artifacts
from s1_core.errors import UserError
from s1_train.config import ModelShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NO_BASE, EMBEDDED = "none", "embedded"
INDEX, CONFIG = "model.safetensors.index.json", "config.json"


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
    # A snapshot's folder bears the commit, also where the revision is a branch.
    name = folder.name if Path(base).is_dir() else f"{base}@{folder.name}"
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
    """Refuse a folder that lacks a file config, tokenizer or index call for, or part of one."""
    texts = [CONFIG, "tokenizer.json", "tokenizer_config.json"]
    weights = weight_files(folder)
    missing = [name for name in (*texts, *weights) if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"the base model in {folder} lacks {', '.join(missing)}; fetch or export it again"
        )
    for name in texts:
        _read_json(folder / name)
    for name in weights:
        _check_whole(folder / name)


def _check_whole(path: Path) -> None:
    """Compare the header of a safetensors file with its size; the weights are not read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass
    except SafetensorError as error:
        raise UserError(f"{path} is cut short or damaged ({error}); fetch it again") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise UserError(f"{path} is cut short or damaged ({error}); fetch it again") from error


def weight_files(folder: Path) -> list[str]:
    """List the safetensors files a model folder should have."""
    index = folder / INDEX
    if not index.is_file():
        return ["model.safetensors"]
    names = _read_json(index).get("weight_map")
    if not names:
        raise UserError(f"{index} names no files under weight_map; fetch it again")
    return sorted(set(names.values()))


def _fingerprint(folder: Path) -> str:
    """Identify a folder without manifest by the content of its files."""
    paths = sorted(folder.glob("*.json")) + [folder / name for name in weight_files(folder)]
    with ThreadPoolExecutor() as pool:  # hashing lets go of the GIL
        hashes = pool.map(artifacts.sha256_of, paths)
        lines = [f"{path.name} {sha256}\n" for path, sha256 in zip(paths, hashes, strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Start:
    """What a network begins as: a base model's folder, or random weights of a shape."""

    shape: ModelShape
    vocab_size: int
    base: Path | None

    def network(self, *, empty: bool = False) -> PreTrainedModel:
        """Make the network for training: whole, or on the meta device where there is a base."""
        import torch

        if empty and self.base is not None:
            network = build_empty(self.base, self.vocab_size)
        else:
            # Lightning builds under `with root_device`, where from_pretrained wants accelerate.
            with torch.device("cpu"):
                network = build(self.shape, self.vocab_size, self.base)
        network.train()
        return network


def build(shape: ModelShape, vocab_size: int, base: Path | None) -> PreTrainedModel:
    """Make the network in fp32, with attention over packed rows; random weights without base."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    network: PreTrainedModel
    if base is None:
        config = Qwen2Config(**_qwen2_fields(shape, vocab_size))
        network = Qwen2ForCausalLM(config)  # type: ignore[no-untyped-call]
    else:
        load = cast(Any, AutoModelForCausalLM).from_pretrained
        network, read = load(str(base), dtype=torch.float32, output_loading_info=True)
        if read["missing_keys"]:  # transformers would make them up and only warn
            raise UserError(lacking(base, read["missing_keys"]))
    return _prepared(network, vocab_size)


def lacking(base: Path, names: Iterable[str]) -> str:
    """Say which tensors the files of a base model should hold and do not."""
    some = sorted(names)
    more = f" and {len(some) - 3} more" if len(some) > 3 else ""
    return f"the files of the base model in {base} lack {', '.join(some[:3])}{more}; fetch it again"


def build_empty(base: Path, vocab_size: int) -> PreTrainedModel:
    """Make the network of a base model on the meta device: shapes without memory."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(base))
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    return _prepared(network, vocab_size)


def tied_names(network: PreTrainedModel) -> set[str]:
    """Name the parameters that are another one's and so lie in no file."""
    return set(network.all_tied_weights_keys)


def _prepared(network: PreTrainedModel, vocab_size: int) -> PreTrainedModel:
    import torch

    from s1_train.net import attention

    rows = cast(torch.nn.Embedding, network.get_input_embeddings()).num_embeddings
    if vocab_size > rows:
        raise UserError(
            f"the tokenizer has {vocab_size} entries, the base model {rows} embeddings;"
            " name a tokenizer that belongs to the model"
        )
    network.set_attn_implementation(attention.register())
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
