"""Example -> TokenizedExample, and its form on disk. Owns IGNORE_INDEX and what carries loss.

The rule follows the segments that core.chat rendered, never a search in the text or the ids.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from s1_core import chat

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IGNORE_INDEX = -100
_BATCH = 2048


@dataclass(frozen=True)
class TokenizedExample:
    """Token ids of one sample and which of them are to be predicted."""

    id: str
    token_ids: NDArray[np.int32]
    is_target: NDArray[np.bool_]

    @property
    def input_ids(self) -> NDArray[np.int32]:
        """What the model reads: all but the last token."""
        return self.token_ids[:-1]

    @property
    def labels(self) -> NDArray[np.int32]:
        """What each position of input_ids predicts: the next token, or IGNORE_INDEX."""
        following = np.where(self.is_target[1:], self.token_ids[1:], IGNORE_INDEX)
        return following.astype(np.int32)

    @property
    def num_targets(self) -> int:
        """How many positions carry loss."""
        return int(self.is_target[1:].sum())


class Samples(Sequence[TokenizedExample]):
    """Tokenized examples in four flat files, mapped into memory."""

    def __init__(self, folder: Path) -> None:
        self._token_ids = np.load(folder / "token_ids.npy", mmap_mode="r")
        self._is_target = np.load(folder / "is_target.npy", mmap_mode="r")
        self._ends = np.load(folder / "ends.npy")
        self._names = (folder / "ids.txt").read_text().splitlines()
        starts = np.concatenate([[0], self._ends[:-1]])
        self.lengths: list[int] = (self._ends - starts - 1).tolist()
        """inputs of each sample: one less than its tokens"""
        self.num_targets: list[int] = [sample.num_targets for sample in self]

    @staticmethod
    def write(samples: Iterable[TokenizedExample], folder: Path) -> None:
        """Lay samples out in `folder`."""
        samples = list(samples)
        _save(folder / "token_ids.npy", np.concatenate([s.token_ids for s in samples]))
        _save(folder / "is_target.npy", np.concatenate([s.is_target for s in samples]))
        _save(folder / "ends.npy", np.cumsum([len(s.token_ids) for s in samples]))
        (folder / "ids.txt").write_text("".join(f"{s.id}\n" for s in samples))

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: Any) -> Any:
        end = int(self._ends[index])
        part = slice(end - self.lengths[index] - 1, end)
        return TokenizedExample(self._names[index], self._token_ids[part], self._is_target[part])


def _save(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write an array; by way of bytes, because numpy's own error on a full disk has no errno."""
    content = io.BytesIO()
    np.save(content, array)
    path.write_bytes(content.getbuffer())


def encode(
    samples: Sequence[tuple[str, Sequence[chat.Segment]]],
    tokenizer: Tokenizer,
    *,
    all_targets: bool = False,
) -> Iterator[TokenizedExample]:
    """Tokenize (id, segments) pairs; what follows the last target is left out.

    Segments are tokenized one by one: they meet at special tokens, so that the ids are those of
    the whole text.
    """
    for start in range(0, len(samples), _BATCH):
        group = samples[start : start + _BATCH]
        texts = [segment.text for _, segments in group for segment in segments]
        encoded = iter(tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        for name, segments in group:
            ids = [next(encoded).ids for _ in segments]
            marks = [
                [all_targets or segment.is_target] * len(part)
                for segment, part in zip(segments, ids, strict=True)
            ]
            yield _trimmed(name, list(chain(*ids)), list(chain(*marks)))


def _trimmed(name: str, ids: list[int], marks: list[bool]) -> TokenizedExample:
    is_target = np.asarray(marks, dtype=np.bool_)
    targets = np.flatnonzero(is_target)
    end = int(targets[-1]) + 1 if len(targets) else len(ids)
    return TokenizedExample(name, np.asarray(ids[:end], dtype=np.int32), is_target[:end])
