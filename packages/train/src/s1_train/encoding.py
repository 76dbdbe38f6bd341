"""Example -> TokenizedExample, and its form on disk. Owns IGNORE_INDEX and what carries loss.

The rule follows the segments that core.chat or core.steps rendered, never a search in the text or
the ids. What a target predicts is the next token, except where a segment bears a label.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from s1_core import chat
from s1_train.tokenizer import single_id

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IGNORE_INDEX = -100
_BATCH = 2048
_TAUGHT = "taught_ids.npy"


@dataclass(frozen=True)
class TokenizedExample:
    """Token ids of one sample and which of them are to be predicted.

    Where there are `taught_ids`, a target is one of them instead of the token that is read there.
    """

    id: str
    token_ids: NDArray[np.int32]
    is_target: NDArray[np.bool_]
    taught_ids: NDArray[np.int32] | None = None

    @property
    def input_ids(self) -> NDArray[np.int32]:
        """What the model reads: all but the last token."""
        return self.token_ids[:-1]

    @property
    def labels(self) -> NDArray[np.int32]:
        """What each position of input_ids predicts: the next target, or IGNORE_INDEX."""
        taught_ids = self.token_ids if self.taught_ids is None else self.taught_ids
        following = np.where(self.is_target[1:], taught_ids[1:], IGNORE_INDEX)
        return following.astype(np.int32)

    @property
    def num_targets(self) -> int:
        """How many positions carry loss."""
        return int(self.is_target[1:].sum())


class Samples(Sequence[TokenizedExample]):
    """Tokenized examples in four flat files, five with labels of their own, mapped into memory."""

    def __init__(self, folder: Path) -> None:
        self._token_ids = np.load(folder / "token_ids.npy", mmap_mode="r")
        self._is_target = np.load(folder / "is_target.npy", mmap_mode="r")
        taught = folder / _TAUGHT
        self._taught_ids = np.load(taught, mmap_mode="r") if taught.is_file() else None
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
        taught_ids = [s.taught_ids for s in samples if s.taught_ids is not None]
        if taught_ids:
            assert len(taught_ids) == len(samples), "samples of one kind"
            _save(folder / _TAUGHT, np.concatenate(taught_ids))
        _save(folder / "ends.npy", np.cumsum([len(s.token_ids) for s in samples]))
        (folder / "ids.txt").write_text("".join(f"{s.id}\n" for s in samples))

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: Any) -> Any:
        end = int(self._ends[index])
        part = slice(end - self.lengths[index] - 1, end)
        taught_ids = None if self._taught_ids is None else self._taught_ids[part]
        return TokenizedExample(
            self._names[index], self._token_ids[part], self._is_target[part], taught_ids
        )


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
    the whole text. Where some bear a label, only labels are targets, each at its segment's end.
    """
    for start in range(0, len(samples), _BATCH):
        group = samples[start : start + _BATCH]
        texts = [segment.text for _, segments in group for segment in segments]
        encoded = iter(tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        for name, segments in group:
            ids = [next(encoded).ids for _ in segments]
            if any(segment.label for segment in segments):
                yield _labelled(name, ids, [_label_id(tokenizer, s.label) for s in segments])
                continue
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


def _labelled(name: str, ids: list[list[int]], labels: list[int]) -> TokenizedExample:
    """Teach each segment's last token its label; the token behind all of them is never read."""
    token_ids = np.asarray([*chain(*ids), IGNORE_INDEX], dtype=np.int32)
    taught_ids = np.full_like(token_ids, IGNORE_INDEX)
    taught_ids[list(accumulate(map(len, ids)))] = labels
    return TokenizedExample(name, token_ids, taught_ids != IGNORE_INDEX, taught_ids)


def _label_id(tokenizer: Tokenizer, label: str | None) -> int:
    return IGNORE_INDEX if label is None else single_id(tokenizer, label)
