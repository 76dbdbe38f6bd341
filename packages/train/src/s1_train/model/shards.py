"""Weights to safetensors files of a bounded size; one file is in memory at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from huggingface_hub import split_state_dict_into_shards_factory
from safetensors import SafetensorError
from safetensors.torch import save_file

from s1_core import cli
from s1_core.errors import UserError
from s1_train.model.tensors import Tensors
from s1_train.net.weights import INDEX

DTYPE = torch.bfloat16
_PATTERN = "model{suffix}.safetensors"


def write(tensors: Tensors, names: Sequence[str], out: Path, shard_mb: int) -> None:
    """Write the named weights in bf16, in files of at most `shard_mb` MB, and an index of them.

    One that is larger than that has a file to itself. A single file needs no index.
    """
    plan = split_state_dict_into_shards_factory(
        {name: tensors.shapes[name] for name in names},
        get_storage_size=lambda shape: shape.numel() * DTYPE.itemsize,
        filename_pattern=_PATTERN,
        max_shard_size=shard_mb * 10**6,
    )
    files = plan.filename_to_tensors
    for file, inside in cli.progress(files.items(), "export, files", total=len(files)):
        _save(out / file, tensors, inside)
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        (out / INDEX).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


def _save(path: Path, tensors: Tensors, names: Sequence[str]) -> None:
    try:
        save_file(tensors.read(names, DTYPE), path, metadata={"format": "pt"})
    except SafetensorError as error:  # not an OSError, also where the disk is full
        raise UserError(
            f"cannot write to {path.parent}: {error}; mend that and run again"
        ) from error
    path.chmod(0o644)  # safetensors lets nobody else read its files, an engine may be somebody else
