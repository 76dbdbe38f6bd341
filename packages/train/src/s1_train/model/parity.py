"""Logits of a network of any size: its own forward pass, with a block's weights there only then.

Shapes: N tokens of the sample. Refuses a folder whose logits are not those of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s1_core.errors import S1Error
from s1_core.parity import Parity
from s1_train.model import shards, skeleton
from s1_train.model.tensors import ModelFolder, Tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOLERANCE = 1e-4
"""largest difference of logits in fp32 between a folder and the rounded checkpoint"""

Read = Callable[[list[str]], dict[str, Tensor]]


def check(
    network: PreTrainedModel, checkpoint: Tensors, folder: Path, sample: NDArray[np.int32]
) -> Parity:
    """Compare a written folder with the checkpoint, and that with what it was before rounding.

    `network` is that of the training, on the meta device; the other is made from the folder's own
    config. Raises S1Error where logits differ by more than TOLERANCE.
    """
    input_ids_1N = torch.from_numpy(sample.astype(np.int64))[None]
    wanted = logits(network, _rounded(checkpoint), input_ids_1N)
    written = skeleton.of_folder(folder)
    found = logits(written, partial(ModelFolder(folder).read, dtype=torch.float32), input_ids_1N)
    difference = float((found - wanted).abs().max())
    if not difference <= TOLERANCE:
        raise S1Error(
            f"the exported logits differ from the checkpoint's by {difference:.2g},"
            f" wanted at most {TOLERANCE}; nothing was exported"
        )
    del found
    exact = logits(network, partial(checkpoint.read, dtype=torch.float32), input_ids_1N)
    return Parity(
        num_tokens=len(sample),
        max_difference=difference,
        rounding=float((exact - wanted).abs().max()),
        tolerance=TOLERANCE,
    )


def _rounded(tensors: Tensors) -> Read:
    def read(names: list[str]) -> dict[str, Tensor]:
        values = tensors.read(names, shards.DTYPE)
        return {name: value.float() for name, value in values.items()}

    return read


def logits(network: PreTrainedModel, read: Read, input_ids_1N: Tensor) -> Tensor:
    """Compute logits in fp32 with a network on the meta device; `read` gives weights by name."""
    segments = {"cu_seqlens": (0, input_ids_1N.shape[1])}
    try:
        with torch.inference_mode(), _filled_by(network, read):
            found: Tensor = network(input_ids=input_ids_1N, use_cache=False, **segments).logits
    except (RuntimeError, IndexError) as error:  # a weight was used outside the block that owns it
        raise S1Error(
            f"a {type(network).__name__} cannot be computed block by block, so its logits cannot"
            f" be compared; nothing was exported ({error})"
        ) from error
    return found


@contextmanager
def _filled_by(network: PreTrainedModel, read: Read) -> Iterator[None]:
    """Give each block its weights before its forward pass, and take them away after it."""
    handles = []
    for prefix, block in _blocks(network, network._no_split_modules or ()):
        _empty(block)
        handles.append(block.register_forward_pre_hook(partial(_fill, network, prefix, read)))
        handles.append(block.register_forward_hook(_clear))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _blocks(
    module: torch.nn.Module, whole: Any, prefix: str = ""
) -> Iterator[tuple[str, torch.nn.Module]]:
    """List the modules to fill at once: those transformers never splits, and lone ones."""
    for name, child in module.named_children():
        own = next(child.parameters(recurse=False), None) is not None
        if own or type(child).__name__ in whole:
            yield f"{prefix}{name}.", child
        else:
            yield from _blocks(child, whole, f"{prefix}{name}.")


def _empty(block: torch.nn.Module) -> None:
    """Put weights without elements in the place of those on the meta device.

    torch 2.13 multiplies a tensor with one on the meta device without a word, whatever comes out.
    """
    for module in block.modules():
        for name, _ in list(module.named_parameters(recurse=False)):
            setattr(module, name, torch.nn.Parameter(torch.empty(0), requires_grad=False))


def _fill(
    network: PreTrainedModel, prefix: str, read: Read, block: torch.nn.Module, _: object
) -> None:
    """Load the weights of a block; a tied one lies under the name of what it is tied to."""
    tied = network.all_tied_weights_keys
    places = {prefix + name: parameter for name, parameter in block.named_parameters()}
    values = read([tied.get(name, name) for name in places])
    for name, parameter in places.items():
        parameter.data = values[tied.get(name, name)]


def _clear(block: torch.nn.Module, *_: object) -> None:
    for parameter in block.parameters():
        parameter.data = torch.empty(0)
