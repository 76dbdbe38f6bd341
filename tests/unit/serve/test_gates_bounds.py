"""The bounds behind the gates: how often they promote what is worse, by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from s1_core import metrics
from s1_core.metrics import Resampling

HOW = Resampling(confidence=0.95, num_resamples=1000, seed=0)
QUICK = Resampling(confidence=0.95, num_resamples=400, seed=0)
NUM_TRIALS = 400
MOST = 0.05 + 3 * (0.05 * 0.95 / NUM_TRIALS) ** 0.5
"""of true 5 %, what 400 trials show in 999 of 1000 cases"""


def bounds(values, reach=(-1.0, 1.0), how=HOW):
    worst, best = ([end] for end in reach)
    rows = [[value] for value in values]
    return metrics.one_sided(rows, worst, best, lambda means: 100 * means[:, 0], how)


def flipping(rng, num, lost, gained):
    """Draw questions that are lost, gained or neither."""
    drawn = rng.random(num)
    return np.where(drawn < lost, -1.0, np.where(drawn < lost + gained, 1.0, 0.0))


def sampled(rng, num, lost, _):
    """Draw means of 16 samples; a share of the questions is lost whole, the others stay."""
    before = rng.beta(0.5, 0.5, num)
    after = np.where(rng.random(num) < 2 * lost, 0.0, before)
    return rng.binomial(16, after) / 16 - rng.binomial(16, before) / 16


@pytest.mark.parametrize(
    ("num", "draw", "margin", "gained"),
    [
        (60, flipping, 0.05, 0.0),
        (60, flipping, 0.05, 0.1),
        (60, flipping, 0.10, 0.02),
        (500, flipping, 0.03, 0.0),
        (500, flipping, 0.03, 0.1),
        (60, sampled, 0.05, 0.0),
        (500, sampled, 0.03, 0.0),
    ],
)
def test_what_is_worse_by_the_margin_passes_at_most_one_time_in_twenty(num, draw, margin, gained):
    rng = np.random.default_rng(num)
    lost = margin + gained
    found = [bounds(draw(rng, num, lost, gained), how=QUICK) for _ in range(NUM_TRIALS)]
    passed = np.mean([one.lo > -100 * margin for one in found])
    failed = np.mean([one.hi < -100 * margin for one in found])
    assert passed <= MOST and failed <= MOST


def test_without_the_imagined_question_noise_would_be_promoted():
    """Of candidates that lose one question in twenty whole, 30 questions show none in a fifth."""
    rng = np.random.default_rng(0)
    trials = [flipping(rng, 30, 0.05, 0.0) for _ in range(NUM_TRIALS)]
    plain = [metrics.paired_bootstrap(d, 0 * d, seed=0, num_resamples=400).lo for d in trials]
    assert np.mean(np.asarray(plain) > -5) > 0.15
    assert not any(bounds(d, how=QUICK).lo > -5 for d in trials)


@pytest.mark.parametrize("num", [30, 60, 500])
def test_no_flips_at_all_leave_what_the_rule_of_three_leaves(num):
    found = bounds([0.0] * num)
    assert found.mean == 0 and found.lo == pytest.approx(-300 / (num + 1))
    assert found.hi == pytest.approx(300 / (num + 1))


@pytest.mark.parametrize(("lost", "exact"), [(1, 7.7), (3, 12.4), (10, 26.5)])
def test_a_bound_of_losses_is_about_the_exact_one(lost, exact):
    """Clopper and Pearson's one-sided bounds for 1, 3 and 10 of 60, in percent."""
    found = bounds([-1.0] * lost + [0.0] * (60 - lost))
    assert -found.lo == pytest.approx(exact, abs=1.2)


def test_the_bounds_mirror_each_other_and_hold_what_they_are_for():
    rng = np.random.default_rng(1)
    gains = flipping(rng, 80, 0.1, 0.2)
    one, other = bounds(gains), bounds(-gains)
    assert (one.mean, one.lo, one.hi) == pytest.approx((-other.mean, -other.hi, -other.lo), abs=0.7)
    assert one.lo < one.mean < one.hi and one == bounds(gains)
    surer = bounds(gains, how=Resampling(confidence=0.99, num_resamples=1000, seed=0))
    assert surer.lo < one.lo and surer.hi > one.hi


def test_a_statistic_that_a_draw_does_not_have_widens_the_bound():
    rows = [[1.0]] * 5 + [[0.0]] * 5
    found = metrics.one_sided(rows, [0.0], [0.0], lambda m: 1 / np.where(m > 0.5, m, np.nan)[:, 0],
                              HOW)  # fmt: skip
    assert found.lo == -np.inf or found.lo < -1e300
