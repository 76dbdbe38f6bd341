"""Weights by name: shapes without loading, values a few at a time, whatever form lies on disk.

Memory holds what was asked for and nothing else, whatever the size of the checkpoint.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from s1_core.errors import UserError
from s1_train.model.zero import ZeroPartitions
from s1_train.net import weights

_NETWORK = "loss_network.network."


class Tensors(Protocol):
    """Weights under the names that transformers gives them."""

    @property
    def shapes(self) -> Mapping[str, torch.Size]:
        """Name the weights and their shapes."""

    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Load some weights, cast to `dtype`, into memory of their own."""


def of_checkpoint(state: Path) -> Tensors:
    """Open the state of a checkpoint: a file (ddp), or a folder of torch's or DeepSpeed's."""
    if state.is_file():
        return WholeFile(state)
    if (state / ".metadata").is_file():
        return TorchShards(state)
    if (state / "latest").is_file():
        return ZeroPartitions(state)
    raise UserError(f"{state} is no checkpoint of a known form; train again with --out elsewhere")


class WholeFile:
    """The one file that Lightning writes under ddp."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.shapes = {name: value.shape for name, value in self._mapped().items()}

    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Load some weights.

        The file is mapped anew each time: pages read count as our memory until it is unmapped.
        """
        mapped = self._mapped()
        return {name: mapped[name].to(dtype, copy=True) for name in names}

    def _mapped(self) -> dict[str, Tensor]:
        saved = torch.load(self._path, map_location="cpu", weights_only=True, mmap=True)
        return {name.removeprefix(_NETWORK): value for name, value in saved["state_dict"].items()}


class TorchShards:
    """The folder that Lightning writes under fsdp2 with torch.distributed.checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._prefix = f"state_dict.{_NETWORK}"
        self._reader = FileSystemReader(folder)
        # The table also lists the optimiser's state: parsing it for each read adds up.
        self._reader.read_metadata = cache(self._reader.read_metadata)  # type: ignore[method-assign]
        table = self._reader.read_metadata().state_dict_metadata
        self.shapes = {
            key.removeprefix(self._prefix): entry.size
            for key, entry in table.items()
            if key.startswith(self._prefix) and isinstance(entry, TensorStorageMetadata)
        }

    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Load some weights; a piece of one is cast as soon as it is read."""
        values: dict[str, Any] = {
            self._prefix + name: torch.empty(self.shapes[name], dtype=dtype) for name in names
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
            load(values, storage_reader=self._reader, no_dist=True)
        return {key.removeprefix(self._prefix): value for key, value in values.items()}


class ModelFolder:
    """The safetensors files of a model folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file_of: dict[str, str] = {}
        self.shapes: dict[str, torch.Size] = {}
        for file in weights.weight_files(folder):
            with safe_open(folder / file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - it is no mapping
                    self._file_of[name] = file
                    self.shapes[name] = torch.Size(opened.get_slice(name).get_shape())

    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Load some weights."""
        return {name: self._read(name, dtype) for name in names}

    def _read(self, name: str, dtype: torch.dtype) -> Tensor:
        with safe_open(self._folder / self._file_of[name], framework="pt") as opened:
            value: Tensor = opened.get_tensor(name).to(dtype, copy=True)
        return value
