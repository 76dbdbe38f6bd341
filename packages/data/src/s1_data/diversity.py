"""Turns questions into vectors (hashed TF-IDF + SVD) and says how near they lie.

Deterministic on one machine: every library runs on one thread, every seed is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from s1_data.config import DiversityConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]  # (N, D), rows of length 1

WORD = r"(?u)\\?\w+"  # keeps the backslash of a LaTeX command
NUMBER = re.compile(r"\d+")
CHUNK = 1024


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS, OpenMP and FAISS to one thread, so that sums have one order."""
    import faiss
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    before = faiss.omp_get_max_threads()
    with threadpool_limits(limits=1):
        faiss.omp_set_num_threads(1)
        yield
    faiss.omp_set_num_threads(before)


def embed(texts: Sequence[str], config: DiversityConfig, seed: int) -> Vectors:
    """Return one unit vector a text; cosine near 1 means nearly the same words."""
    import numpy as np
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    hashing = HashingVectorizer(
        n_features=config.num_features,
        preprocessor=_without_numbers,
        ngram_range=(1, 2),
        token_pattern=WORD,
        alternate_sign=False,
        norm=None,
    )
    with one_thread():
        weights = TfidfTransformer(sublinear_tf=True).fit_transform(hashing.transform(texts))
        size = min(config.num_dimensions, config.num_features - 1, max(1, len(texts) - 1))
        svd = TruncatedSVD(n_components=size, n_iter=4, random_state=seed)
        dense = svd.fit_transform(weights.astype(np.float32))
    lengths = np.linalg.norm(dense, axis=1, keepdims=True)
    return np.ascontiguousarray(dense / np.maximum(lengths, 1e-12), dtype=np.float32)


def nearest(vectors: Vectors) -> NDArray[np.float32]:
    """Return each vector's cosine to its nearest other vector."""
    import faiss
    import numpy as np

    with one_thread():
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        blocks = [
            index.search(vectors[start : start + CHUNK], 2)[0][:, 1]
            for start in range(0, len(vectors), CHUNK)
        ]
    return np.concatenate(blocks)


def _without_numbers(text: str) -> str:
    """Write every number alike: which one it is says nothing of what a question is about."""
    return NUMBER.sub("0", text.lower())
