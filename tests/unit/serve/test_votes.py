"""Votes: tie rules by hand, and many choices at once against a slow reference of every rule."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_core.errors import UserError
from s1_serve.evaluate import votes
from s1_serve.evaluate.config import TIES
from s1_serve.evaluate.votes import Pool, Rule, vote

Sampled = tuple[str | None, int]
SAMPLES = st.lists(
    st.tuples(st.sampled_from(["1", "1.0", "2", "3", None]), st.integers(1, 6)),
    min_size=1,
    max_size=6,
)
patient = settings(deadline=None)  # cores are shared
RULES = st.sampled_from(
    ["maj@{k}", "pass@{k}", "coverage@{k}", "shortest-{m}@{k}", "longest-{m}@{k}"]
)


def graded(samples: Sequence[Sampled]) -> tuple[list[str | None], list[bool], list[int]]:
    """Part samples into answers, verdicts (1 is right) and lengths."""
    answers = [answer for answer, _ in samples]
    return answers, [a in ("1", "1.0") for a in answers], [length for _, length in samples]


def slow(samples: Sequence[Sampled], rule: Rule, tie: str) -> tuple[float, float, float]:
    """Give credit, total and sequential tokens of one choice of samples, by the definitions."""
    valid = sorted(length for answer, length in samples if answer is not None)
    end, lower = max(length for _, length in samples), 0
    cutoff = end
    if rule.kind == "shortest" and len(valid) >= rule.num_voters:
        cutoff = valid[rule.num_voters - 1]
    if rule.kind == "longest" and len(valid) >= rule.num_voters:
        lower = valid[-rule.num_voters]
    total = sum(min(length, cutoff) for _, length in samples)
    if rule.kind in ("pass", "coverage"):
        return float(any(graded(samples)[1])), total, cutoff
    voters = [one for one in samples if lower <= one[1] <= cutoff]
    return vote(*graded(voters), tie), total, cutoff


@pytest.mark.parametrize(
    ("answers", "fractional", "first", "shortest"),
    [
        (["1", "1", "2"], 1, 1, 1),
        (["2", "2", "1"], 0, 0, 0),
        (["1", "2"], 1 / 2, 1, 0),
        (["2", "1", "3", None, None, None], 1 / 3, 0, 0),
        (["1.0", "01", "2", "2"], 1 / 2, 1, 0),
        ([None, None], 0, 0, 0),
        ([], 0, 0, 0),
    ],
)
def test_tie_rules(
    answers: list[str | None], fractional: float, first: float, shortest: float
) -> None:
    right = [answer in ("1", "1.0", "01") for answer in answers]
    falling = list(range(len(answers), 0, -1))
    wanted = zip(TIES, (fractional, first, shortest), strict=True)
    for tie, credit in wanted:
        assert vote(answers, right, falling, tie) == pytest.approx(credit)


def test_the_shortest_trace_decides_between_leaders_only() -> None:
    answers, right = ["1", "1", "2", "2", "3"], [True, True, False, False, False]
    assert vote(answers, right, [5, 9, 6, 7, 1], "shortest") == 1
    assert vote(answers, right, [6, 9, 5, 7, 1], "shortest") == 0
    assert vote(answers, right, [5, 9, 5, 7, 1], "shortest") == 1  # of equal ones the first


def test_spellings_graded_apart_earn_their_share() -> None:
    assert vote(["1/2", "0.5", "3"], [True, False, False], [1, 1, 1], "first") == 0.5


@patient
@given(SAMPLES, st.randoms())
def test_a_shared_tie_does_not_depend_on_order(samples: list[Sampled], random: object) -> None:
    shuffled = list(samples)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    credits = [vote(*graded(each), "fractional") for each in (samples, shuffled)]
    assert credits[0] == pytest.approx(credits[1])


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("maj@8", Rule("maj", 8)),
        ("pass@80", Rule("pass", 80)),
        ("coverage@1", Rule("coverage", 1)),
        ("shortest-3@8", Rule("shortest", 8, 3)),
        ("longest-1@8", Rule("longest", 8, 1)),
    ],
)
def test_a_rule_reads_what_it_is_called(name: str, rule: Rule) -> None:
    assert Rule.parse(name) == rule and rule.name == name
    assert rule.family == name.split("@")[0] + "@k"


@pytest.mark.parametrize("name", ["best@8", "maj", "maj@", "maj-2@8", "shortest@8", "maj@8 "])
def test_an_unknown_rule_lists_the_valid_ones(name: str) -> None:
    with pytest.raises(UserError, match=r"valid are maj@k, pass@k, coverage@k, shortest-m@k"):
        Rule.parse(name)


@pytest.mark.parametrize("name", ["maj@0", "shortest-0@4", "shortest-5@4", "longest-9@8"])
def test_a_rule_that_chooses_nothing_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="1 <= m <= k"):
        Rule.parse(name)


@patient
@given(SAMPLES, RULES, st.sampled_from(TIES), st.data())
def test_many_choices_at_once_equal_the_definitions(
    samples: list[Sampled], name: str, tie: str, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(samples)))
    rule = Rule.parse(name.format(k=k, m=data.draw(st.integers(1, k))))
    chosen = votes.subsets(len(samples), k, "any", 99, (0,))
    assert len(chosen) == len(list(itertools.combinations(samples, k)))
    found = votes.choose(Pool(*graded(samples)), rule, chosen, tie)
    wanted = [slow(choice, rule, tie) for choice in itertools.combinations(samples, k)]
    for value, each in zip(
        (found.credit, found.total_tokens, found.sequential_tokens),
        zip(*wanted, strict=True),
        strict=True,
    ):
        assert value == pytest.approx(fmean(each))


def test_the_shortest_are_charged_to_the_moment_they_vote() -> None:
    samples = [("1", 4), (None, 2), ("2", 4), ("1", 9), ("3", 20)]
    pool, every = Pool(*graded(samples)), np.ones((1, 5), dtype=bool)
    one = votes.choose(pool, Rule.parse("shortest-1@5"), every, "fractional")
    assert (one.sequential_tokens, one.total_tokens) == (4, 4 + 2 + 4 + 4 + 4)
    assert one.credit == 0.5  # both that are complete at the cutoff vote
    few = votes.choose(pool, Rule.parse("shortest-5@5"), every, "fractional")
    assert (few.sequential_tokens, few.total_tokens) == (20, 39)
    last = votes.choose(pool, Rule.parse("longest-1@5"), every, "fractional")
    assert (last.credit, last.sequential_tokens, last.total_tokens) == (0, 20, 39)


def test_choices_are_seeded_nested_and_of_k() -> None:
    two, five = (votes.subsets(20, k, "any", 50, (3, 1)) for k in (2, 5))
    assert two.shape == (50, 20) and {*two.sum(1)} == {2} and {*five.sum(1)} == {5}
    assert (two <= five).all()
    assert (two == votes.subsets(20, 2, "any", 50, (3, 1))).all()
    assert (two != votes.subsets(20, 2, "any", 50, (3, 2))).any()
    assert votes.subsets(20, 20, "any", 50, (0,)).tolist() == [[True] * 20]
    assert votes.subsets(4, 2, "first", 50, (0,)).tolist() == [[True, True, False, False]]


def test_drawn_choices_come_close_to_all_of_them() -> None:
    samples = [(str(n * n % 5), 1 + 37 * n % 61) for n in range(16)]
    pool, rule = Pool(*graded(samples)), Rule.parse("shortest-3@5")
    exact, drawn = (
        votes.choose(pool, rule, votes.subsets(16, 5, "any", num, (0,)), "fractional")
        for num in (5000, 4000)
    )
    assert drawn.credit == pytest.approx(exact.credit, abs=0.03)
    assert drawn.total_tokens == pytest.approx(exact.total_tokens, rel=0.03)


@patient
@given(SAMPLES, st.randoms(), st.sampled_from(["maj@3", "shortest-2@3", "longest-1@3"]))
def test_over_all_choices_the_order_of_the_pool_is_nothing(
    samples: list[Sampled], random: object, name: str
) -> None:
    samples = [*samples, ("2", 3), (None, 4)]
    shuffled = list(samples)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    chosen = votes.subsets(len(samples), 3, "any", 99, (0,))
    one, other = (
        votes.choose(Pool(*graded(each)), Rule.parse(name), chosen, "fractional")
        for each in (samples, shuffled)
    )
    assert one.credit == pytest.approx(other.credit)
    assert one.total_tokens == pytest.approx(other.total_tokens)
