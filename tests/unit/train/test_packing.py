"""Rows, steps and shares: nothing lost, nothing twice, nothing over budget, whoever computes it."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from s1_train.packing import OPEN_ROWS, Plan, balance, deal, micro_batches, pack, tokens

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=80)


def plan(mode: Literal["paper", "packed"], **fields: int) -> Plan:
    return Plan(**({"batch_size": 4, "block_size": 50, "epochs": 2, "seed": 1} | fields), mode=mode)


@given(LENGTHS)
def test_every_epoch_takes_every_sample_once(lengths: list[int]) -> None:
    for mode in ("paper", "packed"):
        for epoch in (0, 1):
            steps = [step for step in plan(mode).steps(lengths) if step.epoch == epoch]
            seen = [sample for step in steps for sample in step.samples]
            assert sorted(seen) == list(range(len(lengths)))


@given(LENGTHS, st.integers(50, 120))
def test_packed_rows_keep_to_the_budget_and_are_filled(lengths: list[int], budget: int) -> None:
    rows = pack(range(len(lengths)), lengths, budget)
    loads = [tokens(row, lengths) for row in rows]
    assert max(loads) <= budget
    closed = loads[:-OPEN_ROWS]
    assert all(load > budget - 50 for load in closed), "a row is left only when it is nearly full"


def test_a_sample_longer_than_a_row_is_our_bug() -> None:
    try:
        pack([0], [11], 10)
    except AssertionError as error:
        assert "sample 0" in str(error)
    else:
        raise AssertionError("nothing was said")


def test_the_paper_takes_315_steps() -> None:
    steps = Plan(mode="paper", batch_size=16, block_size=32768, epochs=5, seed=42).steps([9] * 1000)
    assert len(steps) == 315
    assert [len(step.rows) for step in steps[:63]] == [16] * 62 + [8]


def test_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = [3] * 30
    assert plan("paper").steps(lengths) == plan("paper").steps(lengths)
    assert plan("paper").steps(lengths) != plan("paper", seed=2).steps(lengths)
    first, second = plan("paper").steps(lengths)[0], plan("paper").steps(lengths)[8]
    assert second.epoch == 1 and first.rows != second.rows
    assert plan("paper", max_steps=3).steps(lengths) == plan("paper").steps(lengths)[:3]


@given(LENGTHS, st.integers(1, 5))
def test_shares_hold_every_row_and_differ_by_one_row_of_tokens(
    lengths: list[int], num_ranks: int
) -> None:
    rows = [(index,) for index in range(len(lengths))]
    shares = deal(rows, lengths, num_ranks)
    assert Counter(row for share in shares for row in share) == Counter(rows)
    loads = [sum(tokens(row, lengths) for row in share) for share in shares]
    assert max(loads) - min(loads) <= max(lengths)


@given(LENGTHS, st.integers(1, 120))
def test_passes_keep_order_and_budget(lengths: list[int], budget: int) -> None:
    rows = [(index,) for index in range(len(lengths))]
    groups = micro_batches(rows, lengths, budget)
    assert [sample for group in groups for sample in group] == list(range(len(lengths)))
    assert all(len(group) == 1 or tokens(group, lengths) <= budget for group in groups)


def test_balance_is_the_busy_share_of_the_slowest() -> None:
    (step,) = Plan(mode="paper", batch_size=2, block_size=50, epochs=1, seed=1).steps([10, 30])
    assert balance([step], [10, 30], 1) == 1.0
    assert balance([step], [10, 30], 2) == 40 / 60
