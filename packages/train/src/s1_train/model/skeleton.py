"""A network on the meta device: the shapes and the computation of a model, without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from s1_core.errors import UserError
from s1_train.config import ModelShape
from s1_train.net import weights
from s1_train.net.shards import restore_buffers

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def build(shape: ModelShape, vocab_size: int, base: Path | None) -> PreTrainedModel:
    """Make the network that was trained; `base` holds the base model's configuration."""
    if base is None:
        with torch.device("meta"):
            network = weights.build(shape, vocab_size, None)
    else:
        network = weights.build_empty(base, vocab_size)
    restore_buffers(network, torch.device("cpu"))
    network.eval()  # type: ignore[no-untyped-call]
    return network


def of_folder(folder: Path) -> PreTrainedModel:
    """Make the network that a model folder describes."""
    network = weights.build_empty(folder, vocab_size=0)
    restore_buffers(network, torch.device("cpu"))
    network.eval()  # type: ignore[no-untyped-call]
    return network


def written_names(network: PreTrainedModel) -> list[str]:
    """List the weights that go to disk: a tied one lies there once."""
    tied = weights.tied_names(network)
    return [name for name in network.state_dict() if name not in tied]


def check(network: PreTrainedModel, shapes: Mapping[str, torch.Size]) -> None:
    """Refuse weights that are not those of this network, or that files hold under other names."""
    from transformers.conversion_mapping import get_model_conversion_mapping

    if get_model_conversion_mapping(network, add_legacy=False):
        raise UserError(
            f"the weights of a model of type {network.config.model_type} lie in files under other"
            " names than in memory; the export knows only models where the names are the same"
        )
    wanted = network.state_dict()
    wrong = [name for name in written_names(network) if shapes.get(name) != wanted[name].shape]
    if wrong:
        raise UserError(
            f"the checkpoint's {', '.join(wrong[:3])} are not those of the network"
            f" ({len(wrong)} differ); was the base model replaced since this run?"
        )
