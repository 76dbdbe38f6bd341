"""Metrics: the paper's published table, repeated sampling, and intervals on known data."""

from __future__ import annotations

import itertools
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_core import metrics

TCC = ((7939, 8), (7158, 9), (8263, 10), (7108, 10), (7500, 12))
TCC_BF = ((1024, 1), (2048, 9), (4031, 10), (5664, 10), (6330, 12))
SCC = ((7252, 10), (6277, 7), (5396, 10), (5552, 11), (7551, 10))
INSTRUCTED = (1024, 2048, 4096, 8192, 16384)
patient = settings(deadline=None)  # cores are shared
BOOLS = st.lists(st.booleans(), min_size=1, max_size=30)
CREDITS = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=30)
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30)
POINTS = st.lists(
    st.tuples(st.integers(1, 40_000), st.integers(0, 30).map(lambda right: 100 * right / 30)),
    max_size=6,
)


def aime(rows: tuple[tuple[int, int], ...]) -> list[metrics.Point]:
    """Turn (tokens, right answers of 30) into points with exact accuracies."""
    return [(tokens, 100 * right / 30) for tokens, right in rows]


@pytest.mark.parametrize(
    ("rows", "slope"), [(TCC, -23.77), (TCC_BF, 13.16), (SCC, 2.93)], ids=["TCC", "TCC+BF", "SCC"]
)
def test_scaling_is_the_published_table(rows: tuple[tuple[int, int], ...], slope: float) -> None:
    assert metrics.scaling(aime(rows)) == pytest.approx(slope, abs=0.005)
    assert metrics.scaling(aime(rows)[::-1]) == metrics.scaling(aime(rows))


@pytest.mark.parametrize(
    ("rows", "slope"), [(TCC, -4.82), (TCC_BF, 6.72), (SCC, 0.61)], ids=["TCC", "TCC+BF", "SCC"]
)
def test_scaling_per_1000_tokens_is_the_linear_reading_of_that_table(
    rows: tuple[tuple[int, int], ...], slope: float
) -> None:
    assert metrics.scaling_per_1000(aime(rows)) == pytest.approx(slope, abs=0.005)


def test_scaling_per_1000_tokens_has_a_place_for_no_thinking() -> None:
    assert metrics.scaling_per_1000([(0, 10), (500, 12)]) == pytest.approx(4)
    assert metrics.scaling_per_1000([(500, 10), (500, 12)]) is None


@patient
@given(POINTS, st.randoms())
def test_scaling_does_not_depend_on_order(points: list[metrics.Point], random: object) -> None:
    shuffled = list(points)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert metrics.scaling(shuffled) == metrics.scaling(points)
    assert metrics.scaling_per_1000(shuffled) == metrics.scaling_per_1000(points)


@patient
@given(POINTS)
def test_twice_the_tokens_halve_the_linear_slope_only(points: list[metrics.Point]) -> None:
    twice = [(2 * tokens, accuracy) for tokens, accuracy in points]
    slope, linear = metrics.scaling(points), metrics.scaling_per_1000(points)
    if slope is None or linear is None:
        assert metrics.scaling(twice) is None and metrics.scaling_per_1000(twice) is None
        return
    assert metrics.scaling(twice) == pytest.approx(slope, rel=1e-6, abs=1e-6)
    assert metrics.scaling_per_1000(twice) == pytest.approx(linear / 2, rel=1e-9, abs=1e-9)


@patient
@given(POINTS, st.floats(-10, 10))
def test_a_line_has_its_own_slope(points: list[metrics.Point], slope: float) -> None:
    line = [(tokens, slope * tokens / 1000) for tokens, _ in points]
    found = metrics.scaling_per_1000(line)
    assert found is None or found == pytest.approx(slope, abs=1e-6)


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
    for rows, best in ((TCC, 40.0), (TCC_BF, 40.0), (SCC, 36.7)):
        assert len(rows) == 5
        assert metrics.performance(aime(rows)) == pytest.approx(best, abs=0.05)


def test_pass_at_k_on_known_data() -> None:
    assert metrics.pass_at_k(10, 3, 1) == pytest.approx(0.3)
    assert metrics.pass_at_k(10, 3, 5) == pytest.approx(1 - 21 / 252)
    assert metrics.pass_at_k(10, 3, 8) == 1
    assert metrics.pass_at_k(10, 0, 10) == 0
    assert metrics.pass_at_k(100_000, 1, 5000) == pytest.approx(0.05)
    for faulty in ((10, 11, 1), (10, -1, 1), (10, 1, 11), (10, 1, 0)):
        with pytest.raises(ValueError, match="wanted k from 1"):
            metrics.pass_at_k(*faulty)


@patient
@given(st.lists(st.booleans(), min_size=1, max_size=7), st.data())
def test_pass_at_k_is_the_share_of_all_choices(right: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(right)))
    choices = [any(choice) for choice in itertools.combinations(right, k)]
    assert metrics.pass_at_k(len(right), sum(right), k) == pytest.approx(fmean(choices))


def test_coverage_counts_questions_with_a_right_sample() -> None:
    assert metrics.coverage([[False, True], [True, True], [False, False], []]) == 50
    with pytest.raises(ValueError, match="at least one"):
        metrics.coverage([])


def test_intervals_on_known_data() -> None:
    assert metrics.interval([1] * 20, seed=0) == (100, 100)
    lo, hi = metrics.interval([1] * 200 + [0] * 200, seed=0)
    assert lo == pytest.approx(50 - 4.9, abs=0.5) and hi == pytest.approx(50 + 4.9, abs=0.5)
    aime24 = metrics.interval([1] * 15 + [0] * 15, seed=1)
    assert [round(end * 30 / 100, 6) % 1 for end in aime24] == [0, 0]
    with pytest.raises(ValueError, match="at least one question"):
        metrics.interval([], seed=0)


@patient
@given(BOOLS, st.integers(0, 9))
def test_a_seed_decides_the_interval(correct: list[bool], seed: int) -> None:
    lo, hi = metrics.interval(correct, seed=seed, num_resamples=200)
    assert (lo, hi) == metrics.interval(correct, seed=seed, num_resamples=200)
    assert 0 <= lo <= hi <= 100


@patient
@given(CREDITS, st.integers(0, 3))
def test_an_interval_has_the_range_of_its_values(credits: list[float], seed: int) -> None:
    lo, hi = metrics.interval(credits, seed=seed, num_resamples=200)
    assert 100 * min(credits) - 1e-9 <= lo <= hi <= 100 * max(credits) + 1e-9


@patient
@given(st.integers(1, 400), st.integers(0, 400), st.integers(0, 3))
def test_an_interval_holds_the_accuracy(num: int, num_right: int, seed: int) -> None:
    right = [at < num_right for at in range(num)]
    lo, hi = metrics.interval(right, seed=seed, num_resamples=500)
    assert lo <= 100 * fmean(right) <= hi


@patient
@given(PAIRS, st.integers(0, 9))
def test_a_paired_difference_turns_its_sign_with_the_pair(
    pairs: list[tuple[bool, bool]], seed: int
) -> None:
    a, b = zip(*pairs, strict=True)
    one = metrics.paired_bootstrap(a, b, seed=seed, num_resamples=200)
    other = metrics.paired_bootstrap(b, a, seed=seed, num_resamples=200)
    assert (other.mean, other.lo, other.hi) == pytest.approx((-one.mean, -one.hi, -one.lo))
    assert one == metrics.paired_bootstrap(a, b, seed=seed, num_resamples=200)


@patient
@given(PAIRS)
def test_against_always_wrong_a_difference_is_the_accuracy(pairs: list[tuple[bool, bool]]) -> None:
    right = [one for one, _ in pairs]
    found = metrics.paired_bootstrap(right, [0.0] * len(right), seed=1, num_resamples=200)
    assert (found.lo, found.hi) == metrics.interval(right, seed=1, num_resamples=200)


def test_more_draws_than_a_block_are_as_many_as_asked_for() -> None:
    right = [True, False] * 400
    lo, hi = metrics.interval(right, seed=0, num_resamples=1001)
    assert 46 < lo < 50 < hi < 54


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


@patient
@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_flips_explain_the_change(pairs: list[tuple[bool, bool]]) -> None:
    before, after = [b for b, _ in pairs], [a for _, a in pairs]
    gained, lost = metrics.flips(before, after)
    assert gained - lost == sum(after) - sum(before)
    assert metrics.flips(after, before) == (lost, gained)
