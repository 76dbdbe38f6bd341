"""Questions as hashed TF-IDF vectors, narrowed by an SVD: the embedder that needs no model.

It sees which words two questions share, not what they mean. Every number is written alike.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from s1_core import cli
from s1_data.config import DiversityConfig
from s1_data.embedding.threads import one_thread

if TYPE_CHECKING:
    from s1_data.embedding.vectors import Vectors

WORD = r"(?u)\\?\w+"  # keeps the backslash of a LaTeX command
NUMBER = re.compile(r"\d+")
NUM_ITERATIONS = 4


def identity(config: DiversityConfig) -> tuple[str | int, ...]:
    """Name all that shapes a row besides the texts and the seed."""
    version = importlib.metadata.version("scikit-learn")
    return "hashed", version, config.num_features, config.num_dimensions, NUM_ITERATIONS


def embed(texts: Sequence[str], config: DiversityConfig, seed: int) -> Vectors:
    """Return one row a text, by the words and pairs of words it holds.

    The width is `num_dimensions`, or less for fewer texts than that; a text without a word gives
    a row of zeros.
    """
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
        dtype=np.float32,
    )
    # The share of variance explained of a single text divides by zero.
    told = cli.working(f"embedding {len(texts):,} texts")
    with told, one_thread(), np.errstate(invalid="ignore", divide="ignore"):
        counts = hashing.transform(texts)
        weights = TfidfTransformer(sublinear_tf=True).fit(counts).transform(counts, copy=False)
        size = min(config.num_dimensions, config.num_features - 1, max(1, len(texts) - 1))
        svd = TruncatedSVD(n_components=size, n_iter=NUM_ITERATIONS, random_state=seed)
        dense = svd.fit_transform(weights)
    lengths = np.linalg.norm(dense, axis=1, keepdims=True)
    return np.ascontiguousarray(dense / np.maximum(lengths, 1e-12), dtype=np.float32)


def _without_numbers(text: str) -> str:
    """Write every number alike: which one it is says nothing of what a question is about."""
    return NUMBER.sub("0", text.lower())
