"""Vectors put like texts together and are the same every time; clusters follow them."""

from __future__ import annotations

import numpy as np
import pytest

from s1_data import diversity, domains
from s1_data.config import DiversityConfig

TOPICS = {
    "apples": "Anna buys {} apples and {} pears at the market; how many fruits has she?",
    "circle": r"A circle of radius {} touches a triangle with $\angle B = {}$; find its area.",
    "train": "A train drives {} miles in {} hours; what is its speed per hour?",
}
TEXTS = [TOPICS[topic].format(i + 2, 3 * i + 5) for i in range(12) for topic in TOPICS]
CONFIG = DiversityConfig(num_features=2**12, num_dimensions=8)


@pytest.fixture(scope="module")
def vectors() -> diversity.Vectors:
    return diversity.embed(TEXTS, CONFIG, 0)


def test_vectors_have_length_one_and_like_texts_lie_near(vectors: diversity.Vectors) -> None:
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    assert vectors[0] @ vectors[3] > 0.6 > 0.3 > vectors[0] @ vectors[1]
    assert diversity.nearest(vectors) == pytest.approx(_brute_nearest(vectors), abs=1e-5)


def test_the_same_seed_gives_the_same_bits(vectors: diversity.Vectors) -> None:
    assert diversity.embed(TEXTS, CONFIG, 0).tobytes() == vectors.tobytes()
    assert domains.cluster(vectors, 3, 0) == domains.cluster(vectors, 3, 0)


def test_domains_follow_the_topics_and_bear_their_words(vectors: diversity.Vectors) -> None:
    labels = domains.cluster(vectors, 3, 0)
    assert labels == labels[:3] * 12
    names = domains.names(TEXTS, labels)
    assert {"apples", "buys", "pears"} & set(names[0].split())
    assert "angle" not in names[1]  # a LaTeX command is no word
    assert len(set(names)) == 3


def test_pools_smaller_than_the_sizes_asked_for_are_embedded() -> None:
    vectors = diversity.embed(["one text", "another text"], DiversityConfig(), 0)
    assert vectors.shape == (2, 1)
    assert len(domains.cluster(vectors, 50, 0)) == 2


def _brute_nearest(vectors: diversity.Vectors) -> diversity.Vectors:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    return cosines.max(axis=1)
