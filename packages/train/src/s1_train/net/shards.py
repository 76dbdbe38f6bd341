"""Base weights from safetensors straight into shards; no process ever holds the whole model.

The network is first made on the meta device (`weights.build_empty`), where it takes no memory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open

from s1_core.errors import UserError
from s1_train.net import weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def fill_sharded(network: PreTrainedModel, base: Path, device: torch.device) -> None:
    """Give a network sharded on the meta device (FSDP2) memory and its part of the weights.

    Each process reads its slices from the files of `base` alone.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    network.to_empty(device=device)
    network.tie_weights()
    restore_buffers(network, device)
    _check_names(base, network)
    load(dict(network.named_parameters()), storage_reader=HuggingFaceStorageReader(str(base)))


def fill_partitioned(
    network: PreTrainedModel,
    base: Path,
    dtype: torch.dtype,
    partition: Callable[[torch.nn.Module], None],
) -> None:
    """Load a network on the meta device module by module, sharing each out before the next."""
    files = _Files(base)
    _check_names(base, network)
    tied = weights.tied_names(network)
    for prefix, module in list(network.named_modules()):
        loaded = torch.nn.ParameterDict()
        for name, _ in list(module.named_parameters(recurse=False)):
            if f"{prefix}.{name}" not in tied:
                value = files.read(f"{prefix}.{name}").to(dtype)
                loaded[name] = torch.nn.Parameter(value)
                setattr(module, name, loaded[name])
        partition(loaded)
    network.tie_weights()
    restore_buffers(network, torch.device("cpu"))


class _Files:
    """The tensors of a safetensors folder by name."""

    def __init__(self, folder: Path) -> None:
        self._open = [
            safe_open(folder / name, framework="pt") for name in weights.weight_files(folder)
        ]
        self._of = {name: file for file in self._open for name in file.keys()}  # type: ignore[no-untyped-call]  # noqa: SIM118

    @property
    def names(self) -> set[str]:
        return set(self._of)

    def read(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._of[name].get_tensor(name)  # type: ignore[no-untyped-call]
        return tensor


def _check_names(base: Path, network: PreTrainedModel) -> None:
    missing = dict(network.named_parameters()).keys() - _Files(base).names
    if missing:
        raise UserError(weights.lacking(base, missing))


def restore_buffers(network: PreTrainedModel, device: torch.device) -> None:
    """Compute the rotary frequencies anew: they are in no file, and `to_empty` leaves noise."""
    for module in network.modules():
        if any(True for _ in module.buffers(recurse=False)):
            if not hasattr(module, "config"):
                raise UserError(
                    f"{type(module).__name__} of this base model holds values that are in no file;"
                    " use --strategy ddp or zero2, which load the model whole"
                )
            fresh = type(module)(module.config).to(device)
            for name, value in fresh.named_buffers(recurse=False):
                module.register_buffer(name, value, persistent=False)
