"""Finds nearest rows, exactly (FAISS), and tells near-duplicates from what was chosen before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from s1_data.embedding.threads import one_thread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from s1_data.embedding.vectors import Vectors

ROUNDING = 1e-6  # a text and its copy have a cosine this near 1 in float32


def search(
    queries: Vectors, rows: Vectors, num: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return cosines and indices, each (len(queries), num), of the nearest rows, nearest first."""
    import faiss

    with one_thread():
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(rows)
        cosines, indices = index.search(queries, num)
    return cosines, indices


def nearest(vectors: Vectors) -> NDArray[np.float32]:
    """Return each row's cosine to its nearest other row; wants two rows or more."""
    return search(vectors, vectors, 2)[0][:, 1]


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """Rows count as one from a cosine of `cosine` on; None: never."""

    vectors: Vectors
    cosine: float | None

    def gate(self) -> Gate:
        """Return a gate that has let nobody in yet."""
        return Gate(self)


class Gate:
    """Lets in rows that are no near-duplicates of those let in before.

    A test costs one pass over the rows let in, whatever the size of the pool.
    """

    def __init__(self, rule: NearDuplicates) -> None:
        import numpy as np

        self._rule = rule
        self._inside = np.empty((64, rule.vectors.shape[1]), dtype=np.float32)
        self._num = 0

    def admits(self, index: int) -> bool:
        """Say whether row `index` may come in, and if so, let it in."""
        import numpy as np

        if self._rule.cosine is None:
            return True
        row = self._rule.vectors[index]
        # einsum sums each row in one order whatever the number of threads and rows
        cosines = np.einsum("nd,d->n", self._inside[: self._num], row)
        if cosines.max(initial=-1.0) >= self._rule.cosine - ROUNDING:
            return False
        if self._num == len(self._inside):
            self._inside = np.concatenate([self._inside, np.empty_like(self._inside)])
        self._inside[self._num] = row
        self._num += 1
        return True
