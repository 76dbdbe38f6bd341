"""Questions through a transformer: any encoder that AutoModel knows, from the hub or a folder.

A chunk of texts is on disk before the next is begun, and is a function of its own texts alone, so
a resumed run gives the same rows. Refuses checkpoints with weights missing, and code from the hub.
Shapes: B texts in a batch, T tokens, D width.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1_core import cli
from s1_core.errors import UserError, require
from s1_data.config import DiversityConfig
from s1_data.embedding import stored
from s1_data.embedding.threads import one_thread

if TYPE_CHECKING:
    import torch

    from s1_data.embedding.vectors import Vectors

CHUNK = 1024  # texts; a killed run loses one chunk
UNUSED_WEIGHTS = ("pooler", "decoder")  # heads of common checkpoints that no row here depends on


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A tokenizer and a network; `identity` names its weights and all else that shapes a row."""

    tokenizer: Any
    network: Any
    device: str
    identity: tuple[str, ...]
    max_length: int


def embed(texts: Sequence[str], config: DiversityConfig, cache: Path | None) -> Vectors:
    """Return one row of length 1 a text, on the GPU when there is one; see `vectors.embed`."""
    import numpy as np

    encoder = load(config)
    starts = range(0, len(texts), CHUNK)
    walked = cli.progress(starts, "embedding", total=len(starts))
    with one_thread():
        chunks = [_chunk(encoder, texts[at : at + CHUNK], config, cache) for at in walked]
    return np.concatenate(chunks)


def versions() -> tuple[str, ...]:
    """Name the libraries that a row depends on."""
    return tuple(importlib.metadata.version(name) for name in ("torch", "transformers"))


def load(config: DiversityConfig) -> Encoder:
    """Load the encoder that `config` names; raise UserError, in one line, when it cannot be."""
    import torch

    name = config.embedder
    tokenizer, network = _read_checkpoint(name, config.revision)
    local = Path(name).is_dir()
    weights = folder_sha256(Path(name)) if local else f"{name}@{network.config._commit_hash}"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    num_positions = getattr(network.config, "max_position_embeddings", None) or config.max_length
    return Encoder(
        tokenizer=tokenizer,
        network=network.to(device).eval(),
        device=device,
        identity=(weights, device, *versions()),
        max_length=min(config.max_length, tokenizer.model_max_length, num_positions),
    )


def _read_checkpoint(name: str, revision: str | None) -> tuple[Any, Any]:
    import torch
    import transformers
    from safetensors import SafetensorError

    noise = transformers.utils.logging  # what matters of it is said below, in one line
    noise.set_verbosity_error()  # type: ignore[no-untyped-call]
    noise.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, revision=revision)
        network, report = transformers.AutoModel.from_pretrained(
            name, revision=revision, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise _unloadable(name, str(error).partition("\n")[0] or type(error).__name__) from error
    lacking = sorted(k for k in report["missing_keys"] if not any(w in k for w in UNUSED_WEIGHTS))
    if lacking:
        raise _unloadable(name, f"its checkpoint lacks {len(lacking)} weights, as {lacking[0]}")
    return tokenizer, network.get_encoder() if network.config.is_encoder_decoder else network


def _unloadable(name: str, reason: str) -> UserError:
    return UserError(
        f"cannot load the encoder {name}: {reason.rstrip(' .:')}; --diversity.embedder wants the id"
        " of an encoder on a hub that can be reached, a folder that holds one, or hashed"
    )


def folder_sha256(folder: Path) -> str:
    """Hash the names and the bytes of all files below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found.update(f"{path.relative_to(folder).as_posix()}\0{digest}\n".encode())
    return found.hexdigest()


def pool(hidden_BTD: torch.Tensor, mask_BT: torch.Tensor, pooling: str) -> torch.Tensor:
    """Return one vector a text, (B, D): its first token's (cls), or the mean over its tokens."""
    if pooling == "cls":
        return hidden_BTD[:, 0]
    mask_BT1 = mask_BT.unsqueeze(-1).to(hidden_BTD.dtype)
    return (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1)


def _chunk(
    encoder: Encoder, texts: Sequence[str], config: DiversityConfig, cache: Path | None
) -> Vectors:
    shape: list[str | int] = [
        *encoder.identity,
        config.pooling,
        encoder.max_length,
        config.batch_size,
        *texts,
    ]
    return stored.kept(cache, shape, len(texts), lambda: _encode(encoder, texts, config))


def _encode(encoder: Encoder, texts: Sequence[str], config: DiversityConfig) -> Vectors:
    """Run the texts through the network, shortest first, so that a batch holds little padding."""
    import numpy as np
    import torch

    padding = encoder.tokenizer.pad_token_id or 0
    tokens = encoder.tokenizer(list(texts), truncation=True, max_length=encoder.max_length)
    ids = [torch.tensor(row or [padding]) for row in tokens["input_ids"]]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    batches = [order[at : at + config.batch_size] for at in range(0, len(ids), config.batch_size)]
    try:
        rows = [_rows(encoder, [ids[i] for i in batch], config.pooling) for batch in batches]
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"a batch of {config.batch_size} questions does not fit the {encoder.device};"
            " lower --diversity.batch_size or --diversity.max_length"
        ) from error
    vectors = np.concatenate(rows)[np.argsort(order)]
    finite = bool(np.isfinite(vectors).all())
    require(finite, f"{config.embedder} gives vectors that are not finite; use another embedder")
    return vectors


def _rows(encoder: Encoder, ids: list[torch.Tensor], pooling: str) -> Vectors:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    padding = encoder.tokenizer.pad_token_id or 0
    ids_BT = pad_sequence(ids, batch_first=True, padding_value=padding).to(encoder.device)
    ends = torch.tensor([[len(row)] for row in ids])
    mask_BT = (torch.arange(ids_BT.shape[1]) < ends).long().to(encoder.device)
    with torch.inference_mode():
        hidden_BTD = encoder.network(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        vectors_BD = torch.nn.functional.normalize(pool(hidden_BTD, mask_BT, pooling), dim=-1)
    return vectors_BD.float().cpu().numpy()
