"""Each measure against what it must be on rows whose diversity is plain to see."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_data.embedding import measures

if TYPE_CHECKING:
    from s1_data.embedding.vectors import Vectors


def gaussian(num: int, width: int, seed: int = 0) -> Vectors:
    found = np.random.default_rng(seed).normal(size=(num, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_the_vendi_score_counts_rows_with_nothing_in_common() -> None:
    basis = np.eye(5, 8, dtype=np.float32)
    assert measures.vendi(basis) == pytest.approx(5)
    assert measures.vendi(basis[[0] * 7]) == pytest.approx(1)
    assert measures.vendi(basis[[0, 0, 0, 1, 1, 1]]) == pytest.approx(2)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31 - 1))
def test_the_vendi_score_is_the_entropy_of_the_kernel_whichever_matrix_is_smaller(
    num: int, width: int, seed: int
) -> None:
    rows = gaussian(num, width, seed)
    found = np.linalg.eigvalsh(rows.astype(float) @ rows.T.astype(float) / num)
    shares = found[found > 1e-12]
    assert measures.vendi(rows) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-5)
    assert 1 - 1e-6 <= measures.vendi(rows) <= min(num, width) + 1e-6
    assert measures.vendi(rows[::-1]) == pytest.approx(measures.vendi(rows))


def test_distance_coverage_and_entropy_of_plain_cases() -> None:
    basis = np.eye(4, dtype=np.float32)
    assert measures.neighbour_distance(basis) == pytest.approx(1)
    assert measures.neighbour_distance(basis[[0, 0, 1]]) == pytest.approx(1 / 3)
    assert measures.neighbour_distance(basis[:1]) == 0
    assert measures.coverage(basis, basis) == pytest.approx(1)
    assert measures.coverage(basis, basis[:1]) == pytest.approx(1 / 4)
    assert measures.entropy([1, 2, 3, 4]) == pytest.approx(math.log(4))
    assert measures.entropy([7, 7, 7]) == 0


def test_a_lump_is_less_diverse_than_any_random_selection() -> None:
    pool = gaussian(500, 16)
    lump = np.argsort(-(pool @ pool[0]))[:20].tolist()
    found = measures.compare(pool, lump, num_domains=4, seed=3)
    assert [measure.name for measure in found] == [
        "Vendi score", "nearest-neighbour distance", "coverage", "domain entropy",
    ]  # fmt: skip
    for measure in found:
        assert measure.value < measure.random_low <= measure.random_mean <= measure.random_high
    assert "9 clusters made for this measure alone" in found[3].meaning


def test_the_whole_pool_is_as_diverse_as_a_random_selection_of_its_size() -> None:
    pool = gaussian(60, 8)
    for measure in measures.compare(pool, range(60), num_domains=5, seed=0):
        assert measure.value == pytest.approx(measure.random_mean, rel=1e-6)


def test_the_same_selection_measures_the_same_bits() -> None:
    pool = gaussian(200, 8)
    first = measures.compare(pool, range(50), num_domains=5, seed=0)
    assert measures.compare(pool.copy(), range(50), num_domains=5, seed=0) == first
