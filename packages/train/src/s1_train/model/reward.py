"""The head of a process reward model, as Qwen's and vLLM's Qwen2ForProcessRewardModel compute it.

Training teaches a causal model two tokens behind a step. Their rows of its head become a head of
two labels, exactly: score.0 holds each row and its negative, and score.2 takes the difference of
what the ReLU between them lets through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from s1_train.model.tensors import Tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ARCHITECTURE, MODEL_TYPE = "Qwen2ForProcessRewardModel", "qwen2"


class WithScores:
    """The weights of a causal model and the head of a reward model beside them."""

    def __init__(self, causal: Tensors, network: PreTrainedModel, label_ids: Sequence[int]):
        name = "lm_head.weight"
        self._causal, self._head = causal, network.all_tied_weights_keys.get(name, name)
        self._label_ids = label_ids
        width = causal.shapes[self._head][1]
        self._scores = {
            "score.0.weight": torch.Size((width, width)),
            "score.0.bias": torch.Size((width,)),
            "score.2.weight": torch.Size((len(label_ids), width)),
            "score.2.bias": torch.Size((len(label_ids),)),
        }

    @property
    def names(self) -> list[str]:
        """Name the weights of the head."""
        return list(self._scores)

    @property
    def shapes(self) -> Mapping[str, torch.Size]:
        """Name all weights and their shapes."""
        return {**self._causal.shapes, **self._scores}

    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Load some weights, those of the head made of rows of the causal one."""
        wanted = list(names)
        values = self._causal.read([name for name in wanted if name not in self._scores], dtype)
        return values | {name: self._score(name, dtype) for name in wanted if name in self._scores}

    def _score(self, name: str, dtype: torch.dtype) -> Tensor:
        value = torch.zeros(self._scores[name], dtype=dtype)
        if name == "score.0.weight":
            rows = self._causal.read([self._head], dtype)[self._head][list(self._label_ids)]
            value[: 2 * len(rows)] = torch.stack([rows, -rows], 1).flatten(0, 1)
        elif name == "score.2.weight":
            for label in range(len(self._label_ids)):
                value[label, 2 * label : 2 * label + 2] = torch.tensor([1.0, -1.0])
        return value
