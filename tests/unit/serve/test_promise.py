"""Whether a response keeps the budget that was asked for, from what it says of its thinking."""

from __future__ import annotations

import pytest

from s1_serve.contract.promise import Promise

ASKED = Promise(maximum=20, minimum=5, extends=2, extend_tokens=1)
KEPT = {"tokens": 12, "end": "natural", "extends": 2, "max": 20, "min": 5}


@pytest.mark.parametrize(
    ("changed", "is_in_force", "is_kept"),
    [
        ({}, True, True),
        ({"tokens": 20, "end": "budget", "extends": 0}, True, True),
        ({"tokens": 19, "extends": 1}, True, True),
        ({"tokens": 2, "end": "length"}, True, True),
        ({"max": 21}, False, False),
        ({"min": 0}, False, False),
        ({"extends": 1}, False, False),
        ({"tokens": 21, "end": "budget"}, True, False),
        ({"tokens": 19, "end": "budget"}, True, False),
        ({"tokens": 4}, True, False),
    ],
)
def test_a_budget_is_in_force_and_kept(changed, is_in_force, is_kept):
    told = KEPT | changed
    assert ASKED.is_in_force(told) == is_in_force
    assert (ASKED.fault(told) is None) == is_kept


def test_silence_keeps_nothing():
    assert not ASKED.is_in_force(None)
    assert ASKED.fault(None) == "nothing is said of the thinking"


def test_a_fault_says_what_was_found():
    assert ASKED.fault(KEPT | {"max": 99}) == (
        "12 tokens, ended by natural, 2 extends, under a maximum of 99 and a minimum of 5"
    )
