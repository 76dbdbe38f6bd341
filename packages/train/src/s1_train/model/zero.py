"""The weights in a checkpoint of DeepSpeed's, ZeRO 2 or 3, a few at a time.

DeepSpeed's own reader (utils/zero_to_fp32.py, 0.19.8) takes the whole of a ZeRO-2 model into memory
even in its lazy mode, so the layout it documents is read here from mapped files, without DeepSpeed.

Layout: every process keeps flat fp32 vectors, one a group of weights. In ZeRO 2 the vectors of a
group, laid end to end over the processes, hold its weights one behind the other. In ZeRO 3 each
process holds its part of every weight, all parts of a weight equally long and the last one padded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import safe_globals

_NETWORK = "network."
_FLAT_2, _FLAT_3 = "single_partition_of_fp32_groups", "fp32_flat_groups"


class _Unused:
    """Stands for an object of DeepSpeed's that says nothing about weights."""

    def __init__(self, *_: object) -> None:
        pass


_STANDINS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Unused, "deepspeed.runtime.fp16.loss_scaler.LossScaler"),
    (_Unused, "deepspeed.runtime.zero.config.ZeroStageEnum"),
    (_Unused, "deepspeed.utils.tensor_fragment.fragment_address"),
]


@dataclass(frozen=True)
class _Place:
    """Where a weight begins: its group, and the position in the vector of that group."""

    group: int
    start: int


class ZeroPartitions:
    """The folder that Lightning writes under zero2 and zero3."""

    def __init__(self, folder: Path) -> None:
        inside = folder / (folder / "latest").read_text().strip()
        self._files = sorted(inside.glob("*_optim_states.pt"), key=_rank)
        groups = _load(min(inside.glob("*_model_states.pt"), key=_rank))["param_shapes"]
        state = _load(self._files[0])["optimizer_state_dict"]
        self._is_stage_3 = _FLAT_3 in state
        paddings = state.get("param_alignment_paddings")  # ZeRO 2 alone
        # ZeRO 3 counts on through the groups; an offset there is one in a process's own vector.
        layout = [_merged(groups)] if self._is_stage_3 else groups
        self.shapes: dict[str, torch.Size] = {}
        self._places: dict[str, _Place] = {}
        for number, group in enumerate(layout):
            self._lay_out(number, group, paddings[number] if paddings else [0] * len(group))

    def _lay_out(self, number: int, group: dict[str, torch.Size], paddings: Sequence[int]) -> None:
        start = 0
        for (name, shape), padding in zip(group.items(), paddings, strict=True):
            self.shapes[name.removeprefix(_NETWORK)] = shape
            self._places[name.removeprefix(_NETWORK)] = _Place(number, start)
            start += self._part(shape.numel()) if self._is_stage_3 else shape.numel() + padding

    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Load some weights; the files are mapped for the time of this call."""
        key = _FLAT_3 if self._is_stage_3 else _FLAT_2
        vectors = [_load(file)["optimizer_state_dict"][key] for file in self._files]
        return {name: self._joined(name, vectors, dtype) for name in names}

    def _joined(self, name: str, vectors: Sequence[Sequence[Tensor]], dtype: torch.dtype) -> Tensor:
        shape, place = self.shapes[name], self._places[name]
        size = shape.numel()
        pieces: Iterator[Tensor]
        if self._is_stage_3:
            stop = place.start + self._part(size)
            pieces = chain(*[_cut(of_process, place.start, stop) for of_process in vectors])
        else:
            group = [of_process[place.group] for of_process in vectors]
            pieces = _cut(group, place.start, place.start + size)
        joined, filled = torch.empty(size, dtype=dtype), 0
        for piece in pieces:
            taken = piece[: size - filled]  # the last part of a weight in ZeRO 3 is padded
            joined[filled : filled + len(taken)] = taken
            filled += len(taken)
        assert filled == size, f"{name}: {filled} of {size} elements"
        return joined.view(shape)

    def _part(self, size: int) -> int:
        """Say how much of a weight lies with each process in ZeRO 3."""
        return math.ceil(size / len(self._files))


def _cut(vectors: Sequence[Tensor], start: int, stop: int) -> Iterator[Tensor]:
    """Give the pieces of [start, stop) of vectors laid end to end."""
    for vector in vectors:
        piece = vector[max(start, 0) : max(stop, 0)]
        if len(piece):
            yield piece
        start, stop = start - len(vector), stop - len(vector)


def _merged(groups: Sequence[dict[str, torch.Size]]) -> dict[str, torch.Size]:
    return {name: shape for group in groups for name, shape in group.items()}


def _rank(file: Path) -> int:
    """Read the number of the process from zero_pp_rank_3_mp_rank_00_optim_states.pt."""
    found = re.search(r"pp_rank_(\d+)_", file.name)
    return int(found[1]) if found else 0


def _load(file: Path) -> dict[str, Any]:
    with safe_globals(_STANDINS):
        loaded: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    return loaded
