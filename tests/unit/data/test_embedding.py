"""Hashed vectors put like texts together and are the same every time; neighbours are exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from s1_data.config import DiversityConfig
from s1_data.embedding import neighbours, vectors
from s1_data.embedding.neighbours import NearDuplicates

if TYPE_CHECKING:
    from s1_data.embedding.vectors import Vectors

TOPICS = {
    "apples": "Anna buys {} apples and {} pears at the market; how many fruits has she?",
    "circle": r"A circle of radius {} touches a triangle with $\angle B = {}$; find its area.",
    "train": "A train drives {} miles in {} hours; what is its speed per hour?",
}
TEXTS = [TOPICS[topic].format(i + 2, 3 * i + 5) for i in range(12) for topic in TOPICS]
CONFIG = DiversityConfig(num_features=2**12, num_dimensions=8)


@pytest.fixture(scope="module")
def rows() -> Vectors:
    return vectors.embed(TEXTS, CONFIG, 0)


def gaussian(num: int, width: int, seed: int = 0) -> Vectors:
    found = np.random.default_rng(seed).normal(size=(num, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_vectors_have_length_one_and_like_texts_lie_near(rows: Vectors) -> None:
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    assert rows[0] @ rows[3] > 0.6 > 0.3 > rows[0] @ rows[1]


def test_the_same_seed_gives_the_same_bits(rows: Vectors) -> None:
    assert vectors.embed(TEXTS, CONFIG, 0).tobytes() == rows.tobytes()


def test_numbers_are_written_alike_and_latex_commands_are_not_words() -> None:
    texts = ["Add 17 and 4 quickly", "Add 99 and 123 quickly", r"\add and quickly", "other words"]
    found = vectors.embed(texts, CONFIG, 0)
    assert found[0] @ found[1] == pytest.approx(1, abs=1e-5)
    assert found[0] @ found[2] < 0.9


def test_pools_smaller_than_the_sizes_asked_for_are_embedded() -> None:
    assert vectors.embed(["one text", "another text"], DiversityConfig(), 0).shape == (2, 1)
    assert vectors.embed(["one text"], DiversityConfig(), 0).shape == (1, 1)


def test_a_text_without_a_word_gives_a_row_that_is_like_nothing() -> None:
    found = vectors.embed(["?!", "?", *TEXTS[:4]], CONFIG, 0)
    assert np.isfinite(found).all()
    assert np.abs(found[:2] @ found.T).max() < 1e-6


def test_the_hashed_embedder_has_no_parents() -> None:
    assert vectors.parents(CONFIG) == {}


def test_nearest_rows_are_those_that_all_pairs_would_give() -> None:
    rows, queries = gaussian(300, 9), gaussian(40, 9, seed=1)
    cosines, indices = neighbours.search(queries, rows, 3)
    pairs = queries @ rows.T
    assert indices.tolist() == np.argsort(-pairs, axis=1)[:, :3].tolist()
    assert cosines == pytest.approx(-np.sort(-pairs, axis=1)[:, :3], abs=1e-5)
    pairs = rows @ rows.T
    np.fill_diagonal(pairs, -1)
    assert neighbours.nearest(rows) == pytest.approx(pairs.max(axis=1), abs=1e-5)


def test_the_gate_compares_with_all_rows_let_in_and_with_no_other() -> None:
    rows, cosine = gaussian(400, 4), 0.9
    inside: list[int] = []
    for index in range(len(rows)):
        if all(rows[index] @ rows[other] < cosine for other in inside):
            inside.append(index)
    gate = NearDuplicates(vectors=rows, cosine=cosine).gate()
    assert [index for index in range(len(rows)) if gate.admits(index)] == inside
    assert 64 < len(inside) < 300


def test_a_copy_is_near_at_a_cosine_of_one_and_never_without_a_threshold() -> None:
    rows = np.repeat(gaussian(1, 384), 2, axis=0)
    for cosine, admitted in ((1.0, [True, False]), (None, [True, True])):
        gate = NearDuplicates(vectors=rows, cosine=cosine).gate()
        assert [gate.admits(0), gate.admits(1)] == admitted
