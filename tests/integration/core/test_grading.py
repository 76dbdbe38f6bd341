"""Grading in processes: what would never end is killed, and the rest goes on."""

from __future__ import annotations

import time

import pytest

from s1_core import answers

ENDLESS = "9^{9^{9^{9}}}"
TOWER = r"\sum_{k=1}^{10^{9}} \sin(k^{k})"


@pytest.mark.multiprocess
def test_a_pathological_expression_is_wrong_and_costs_its_time_alone() -> None:
    pairs = [
        (r"2\sqrt{2}", r"\sqrt{8}"),
        (ENDLESS, "x+1"),
        ("x+1", "1+x"),
        (TOWER, r"\pi"),
        ("x+1", "x+2"),
        ("3", "3"),
    ]
    start = time.monotonic()
    assert answers.grade(pairs, workers=2, timeout_s=1) == [True, False, True, False, False, True]
    assert time.monotonic() - start < 30


def test_order_is_kept_and_nothing_is_nothing() -> None:
    golds = [f"x+{n}" for n in range(12)]
    pairs = [(f"{n}+x" if n % 3 else "y", gold) for n, gold in enumerate(golds)]
    assert answers.grade(pairs, workers=1) == [bool(n % 3) for n in range(12)]
    assert answers.grade([]) == []
