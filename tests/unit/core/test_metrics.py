"""Metrics: the paper's published table, intervals on known data, and the tie rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1_core import metrics

TCC = ((7939, 8), (7158, 9), (8263, 10), (7108, 10), (7500, 12))
TCC_BF = ((1024, 1), (2048, 9), (4031, 10), (5664, 10), (6330, 12))
SCC = ((7252, 10), (6277, 7), (5396, 10), (5552, 11), (7551, 10))
INSTRUCTED = (1024, 2048, 4096, 8192, 16384)
BOOLS = st.lists(st.booleans(), min_size=1, max_size=30)


def aime(rows: tuple[tuple[int, int], ...]) -> list[metrics.Point]:
    """Turn (tokens, right answers of 30) into points with exact accuracies."""
    return [(tokens, 100 * right / 30) for tokens, right in rows]


@pytest.mark.parametrize(
    ("rows", "slope"), [(TCC, -23.77), (TCC_BF, 13.16), (SCC, 2.93)], ids=["TCC", "TCC+BF", "SCC"]
)
def test_scaling_is_the_published_table(rows: tuple[tuple[int, int], ...], slope: float) -> None:
    assert metrics.scaling(aime(rows)) == pytest.approx(slope, abs=0.005)
    assert metrics.scaling(aime(rows)[::-1]) == metrics.scaling(aime(rows))


def test_scaling_is_points_per_doubling() -> None:
    assert metrics.scaling([(512, 10), (1024, 15), (2048, 20)]) == pytest.approx(5)
    assert metrics.scaling([(0, 5), (512, 10), (1024, 15)]) == pytest.approx(5)
    assert metrics.scaling([(512, 10), (512, 20)]) is None
    assert metrics.scaling([(512, 10)]) is None


def test_control_is_the_published_table() -> None:
    assert metrics.control([tokens for tokens, _ in TCC], INSTRUCTED) == 40
    assert metrics.control([tokens for tokens, _ in TCC_BF], INSTRUCTED) == 100
    steps = [1600, 3200, 6400, 12800, 25600]
    assert metrics.control([tokens for tokens, _ in SCC], steps) == 60
    assert metrics.control([7000, 6500], [(None, 6109), (6109, None)]) == 50
    with pytest.raises(ValueError, match="2 runs but 1 limits"):
        metrics.control([1, 2], [3])


def test_performance_is_the_best_run() -> None:
    assert metrics.performance(aime(TCC)) == 40


def test_intervals_on_known_data() -> None:
    assert metrics.interval([1] * 20, seed=0) == (100, 100)
    lo, hi = metrics.interval([1] * 200 + [0] * 200, seed=0)
    assert lo == pytest.approx(50 - 4.9, abs=0.5) and hi == pytest.approx(50 + 4.9, abs=0.5)
    aime24 = metrics.interval([1] * 15 + [0] * 15, seed=1)
    assert [round(end * 30 / 100, 6) % 1 for end in aime24] == [0, 0]
    with pytest.raises(ValueError, match="at least one question"):
        metrics.interval([], seed=0)


@given(BOOLS, st.integers(0, 9))
def test_a_seed_decides_the_interval(correct: list[bool], seed: int) -> None:
    lo, hi = metrics.interval(correct, seed=seed, num_resamples=200)
    assert (lo, hi) == metrics.interval(correct, seed=seed, num_resamples=200)
    assert 0 <= lo <= hi <= 100


def test_paired_bootstrap_on_known_data() -> None:
    same = [True, False] * 50
    assert metrics.paired_bootstrap(same, same, seed=0) == metrics.Difference(0, 0, 0)
    better = [True] * 60 + [False] * 40
    worse = [True] * 50 + [False] * 50
    found = metrics.paired_bootstrap(better, worse, seed=0)
    assert found.mean == pytest.approx(10)
    # Ten discordant pairs of one sign: standard error 100 * sqrt(0.1 * 0.9 / 100) = 3.
    assert found.lo == pytest.approx(10 - 5.9, abs=1) and found.hi == pytest.approx(15.9, abs=1)
    mirrored = metrics.paired_bootstrap(worse, better, seed=0)
    assert (mirrored.mean, mirrored.lo, mirrored.hi) == (-found.mean, -found.hi, -found.lo)
    with pytest.raises(ValueError, match="2 and 1 results"):
        metrics.paired_bootstrap([1, 0], [1], seed=0)


@pytest.mark.parametrize(
    ("votes", "credit"),
    [
        (["3", "3", "4"], 1.0),
        (["4", "4", "3"], 0.0),
        (["3", "4"], 0.5),
        (["4", "3", "5", None, None, None], 1 / 3),
        (["3.0", "03", "4", "4"], 0.5),
        ([None], 0.0),
        ([], 0.0),
    ],
)
def test_vote_credit(votes: list[str | None], credit: float) -> None:
    assert metrics.vote_credit(votes, lambda answer: float(answer) == 3) == pytest.approx(credit)


@given(st.lists(st.sampled_from(["1", "2", "3", None]), max_size=12), st.randoms())
def test_a_vote_does_not_depend_on_order(votes: list[str | None], random: object) -> None:
    shuffled = list(votes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    right = "1".__eq__
    assert metrics.vote_credit(votes, right) == metrics.vote_credit(shuffled, right)


@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_flips_explain_the_change(pairs: list[tuple[bool, bool]]) -> None:
    before, after = [b for b, _ in pairs], [a for _, a in pairs]
    gained, lost = metrics.flips(before, after)
    assert gained - lost == sum(after) - sum(before)
    assert metrics.flips(after, before) == (lost, gained)
