"""The resumable loader that every process runs alike.

A batch is one process's whole share of an optimiser step. The state is the epoch and the number
of samples all processes have consumed in it: it does not depend on the rank nor on their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from s1_train.encoding import IGNORE_INDEX, Samples, TokenizedExample
from s1_train.packing import Step, deal, micro_batches


# Not frozen: Lightning's mixed precisions refuse frozen dataclasses (apply_to_collection).
@dataclass
class MicroBatch:
    """Samples laid end to end in one row; shapes: 1 x N tokens."""

    input_ids_1N: Tensor
    labels_1N: Tensor
    position_ids_1N: Tensor
    cu_seqlens: tuple[int, ...]
    sample_ids: tuple[str, ...]

    def to(self, device: torch.device) -> MicroBatch:
        """Move the tensors."""
        return replace(
            self,
            input_ids_1N=self.input_ids_1N.to(device),
            labels_1N=self.labels_1N.to(device),
            position_ids_1N=self.position_ids_1N.to(device),
        )


@dataclass
class Share:
    """What one process does in a step; the counts are those of all processes."""

    step: int
    epoch: int
    micro_batches: tuple[MicroBatch, ...]
    num_targets: int
    num_tokens: int

    @property
    def sample_ids(self) -> list[str]:
        """The samples of this process."""
        return [name for micro in self.micro_batches for name in micro.sample_ids]

    def to(self, device: torch.device) -> Share:
        """Move the tensors."""
        return replace(self, micro_batches=tuple(m.to(device) for m in self.micro_batches))


class ResumableLoader:
    """Yields this process's share of every step of the run, from wherever the state says."""

    def __init__(
        self, samples: Samples, steps: Sequence[Step], *, rank: int, num_ranks: int, budget: int
    ) -> None:
        self._samples, self._steps = samples, steps
        self._rank, self._num_ranks, self._budget = rank, num_ranks, budget
        self._position = 0
        self._marks = _marks(steps)

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Share]:
        while self._position < len(self._steps):
            self._position += 1
            yield self._share(self._position - 1)

    def state_dict(self) -> dict[str, int]:
        """Say how far all processes together have come."""
        epoch, consumed = self._marks[self._position]
        return {"epoch": epoch, "samples": consumed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on behind the step that ended with this state."""
        self._position = self._marks.index((state["epoch"], state["samples"]))

    def _share(self, number: int) -> Share:
        step, lengths = self._steps[number], self._samples.lengths
        groups = [
            micro_batches(rows, lengths, self._budget)
            for rows in deal(step.rows, lengths, self._num_ranks)
        ]
        # Every process makes as many passes, or sharded strategies would wait for ever.
        idle = max(map(len, groups)) - len(groups[self._rank])
        micros = [collate([self._samples[i] for i in group]) for group in groups[self._rank]]
        return Share(
            step=number,
            epoch=step.epoch,
            micro_batches=(*micros, *[_idle_micro_batch()] * idle),
            num_targets=sum(self._samples.num_targets[i] for i in step.samples),
            num_tokens=sum(lengths[i] for i in step.samples),
        )


def collate(samples: Sequence[TokenizedExample]) -> MicroBatch:
    """Lay samples end to end, positions counting anew in each."""
    lengths = [len(sample.input_ids) for sample in samples]
    inputs = np.concatenate([sample.input_ids for sample in samples])
    labels = np.concatenate([sample.labels for sample in samples])
    positions = np.concatenate([np.arange(length) for length in lengths])
    return MicroBatch(
        torch.from_numpy(inputs.astype(np.int64))[None],
        torch.from_numpy(labels.astype(np.int64))[None],
        torch.from_numpy(positions)[None],
        (0, *accumulate(lengths)),
        tuple(sample.id for sample in samples),
    )


def _idle_micro_batch() -> MicroBatch:
    """One token without a target, for a process that has nothing left to do in a step."""
    zero = torch.zeros(1, 1, dtype=torch.int64)
    return MicroBatch(zero, torch.full_like(zero, IGNORE_INDEX), zero, (0, 1), ())


def _marks(steps: Sequence[Step]) -> list[tuple[int, int]]:
    """List the loader's state before the first step and after each."""
    marks = [(0, 0)]
    for step in steps:
        epoch, consumed = marks[-1]
        consumed = consumed if step.epoch == epoch else 0
        marks.append((step.epoch, consumed + len(step.samples)))
    return marks
