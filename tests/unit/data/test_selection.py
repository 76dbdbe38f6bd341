"""Algorithm 1 (App. C.4): domains uniformly, rows by 2^-rank, and never an underflow."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1_data.selection import Candidate, draw_rank, near, select

POOLS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=60).map(
    lambda rows: [
        Candidate(question_id=f"{i:016x}", domain=domain, thinking_tokens=tokens)
        for i, (domain, tokens) in enumerate(rows)
    ]
)


@given(POOLS, st.integers(1, 70), st.integers(0, 2**31 - 1))
def test_draws_distinct_rows_as_many_as_asked_or_all(
    pool: list[Candidate], num_rows: int, seed: int
) -> None:
    chosen = select(pool, num_rows=num_rows, seed=seed).chosen
    assert len(set(chosen)) == len(chosen) == min(num_rows, len(pool))
    assert set(chosen) <= set(range(len(pool)))


@given(POOLS, st.integers(0, 2**31 - 1), st.randoms(use_true_random=False))
def test_the_order_of_the_pool_does_not_matter(
    pool: list[Candidate], seed: int, shuffler: Random
) -> None:
    shuffled = pool.copy()
    shuffler.shuffle(shuffled)
    first = [pool[i] for i in select(pool, num_rows=20, seed=seed).chosen]
    assert first == [shuffled[i] for i in select(shuffled, num_rows=20, seed=seed).chosen]


@given(POOLS, st.integers(0, 2**31 - 1))
def test_no_chosen_row_is_near_an_earlier_one_and_nobody_is_lost(
    pool: list[Candidate], seed: int
) -> None:
    def is_near(index: int, chosen: Sequence[int]) -> bool:
        return any(pool[i].thinking_tokens == pool[index].thinking_tokens for i in chosen)

    drawn = select(pool, num_rows=len(pool) + 1, seed=seed, is_near=is_near)
    lengths = [pool[i].thinking_tokens for i in drawn.chosen]
    assert len(set(lengths)) == len(lengths) == len({c.thinking_tokens for c in pool})
    assert sorted(drawn.chosen + drawn.near_duplicates) == list(range(len(pool)))


@pytest.mark.parametrize("num", [1, 2, 3, 5])
def test_ranks_are_drawn_with_weights_of_two_to_the_minus_rank(num: int) -> None:
    rng, draws = Random(0), 20_000
    counts = Counter(draw_rank(rng, num) for _ in range(draws))
    weights = [2.0**-rank for rank in range(num)]
    for rank, weight in enumerate(weights):
        assert counts[rank] / draws == pytest.approx(weight / sum(weights), abs=0.015)


def test_a_domain_of_ten_thousand_rows_can_be_drawn_to_its_end() -> None:
    pool = [Candidate(question_id=f"{i:016x}", domain=0, thinking_tokens=i) for i in range(10_000)]
    few, everything = (select(pool, num_rows=n, seed=1).chosen for n in (100, 10_000))
    assert min(few) > 9_850  # the longest go first
    assert sorted(everything) == list(range(10_000))
    assert few == everything[:100]


def test_domains_are_drawn_uniformly_however_large_they_are() -> None:
    pool = [
        Candidate(question_id=f"{i:016x}", domain=int(i < 200), thinking_tokens=1)
        for i in range(10_000)
    ]
    chosen = select(pool, num_rows=300, seed=3).chosen
    assert 120 <= sum(i < 200 for i in chosen) <= 180


def test_near_compares_cosines_with_the_chosen_only() -> None:
    vectors = np.array([[1, 0], [0.96, 0.28], [0, 1]], dtype=np.float32)
    is_near = near(vectors, 0.95)
    assert not is_near(1, [])
    assert is_near(1, [0])
    assert not is_near(1, [2])
    assert not near(vectors, None)(1, [0])
