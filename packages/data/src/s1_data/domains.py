"""Labels questions with a domain: spherical k-means over their vectors, named by their words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from s1_data.diversity import one_thread

if TYPE_CHECKING:
    from s1_data.diversity import Vectors

NUM_ITERATIONS = 25
NAME_WORDS = 3
WORD = re.compile(r"\\[a-z]+|[a-z]{3,}")  # a LaTeX command is one, and never part of a name


def cluster(vectors: Vectors, num_domains: int, seed: int) -> list[int]:
    """Return each vector's domain by spherical k-means."""
    import faiss

    num, size = vectors.shape
    with one_thread():
        kmeans = faiss.Kmeans(
            size, min(num_domains, num), niter=NUM_ITERATIONS, seed=seed, spherical=True,
            min_points_per_centroid=1, max_points_per_centroid=num,
        )  # fmt: skip
        kmeans.train(vectors)
        labels = kmeans.assign(vectors)[1]
    return [int(label) for label in labels]


def names(texts: Sequence[str], labels: Sequence[int]) -> list[str]:
    """Name each text's domain by its number and the words that set its questions apart."""
    words = [{word for word in WORD.findall(text.lower()) if word.isalpha()} for text in texts]
    total = Counter(word for found in words for word in found)
    inside: dict[int, Counter[str]] = {label: Counter() for label in set(labels)}
    for label, found in zip(labels, words, strict=True):
        inside[label].update(found)
    name = {
        label: " ".join([f"{label:02d}", *_distinctive(counts, total)])
        for label, counts in inside.items()
    }
    return [name[label] for label in labels]


def _distinctive(inside: Counter[str], total: Counter[str]) -> list[str]:
    """Rank words by how often they occur here times the share of all their uses that is here.

    Function words come last: they name a domain only where nothing else does.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    def rank(word: str) -> tuple[bool, float, str]:
        return word in ENGLISH_STOP_WORDS, -(inside[word] ** 2) / total[word], word

    return sorted(inside, key=rank)[:NAME_WORDS]
