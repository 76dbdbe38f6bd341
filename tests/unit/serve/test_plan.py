"""Budgets resolved to tokens: what fits is computed, what does not is refused with the numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1_core import chat
from s1_core.errors import UserError
from s1_serve.budget.plan import Delimiters, Limits, delimiters, resolve
from s1_serve.config import ThinkingBudget

MARKS = Delimiters(attempt_ids=(1, 2), end=(1, 3), cut=(9, 1, 3, 4), stop_ids=(2,), header=(1, 8))


def by_letter(text):
    return tuple(text.encode())


def resolved(budget, *, prompt_tokens=10, max_tokens=None, context=100, answer_reserve=7):
    limits = Limits(
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        context=context,
        answer_reserve=answer_reserve,
    )
    return resolve(budget, limits, MARKS, by_letter)


@pytest.mark.parametrize("unset", [None, -1])
def test_no_maximum_is_what_the_delimiters_and_the_answer_leave(unset):
    assert resolved(ThinkingBudget(max=unset)).maximum == 100 - 10 - 2 - 4 - 7
    assert resolved(ThinkingBudget(max=unset), max_tokens=40).maximum == 40 - 2 - 4 - 7
    assert resolved(ThinkingBudget(max=unset), max_tokens=40, context=None).maximum == 27


def test_an_explicit_maximum_is_kept_or_refused_with_the_numbers_never_shortened():
    assert resolved(ThinkingBudget(max=83)).maximum == 83
    with pytest.raises(UserError, match=r"84 thinking tokens, 6 of .* 91 .* 90.* 83"):
        resolved(ThinkingBudget(max=84))
    with pytest.raises(UserError, match="room for 20; lower the maximum to at most 13"):
        resolved(ThinkingBudget(max=14), max_tokens=20)


@given(st.integers(-1, 60), st.integers(0, 60), st.integers(1, 80), st.integers(1, 120))
def test_a_resolved_budget_always_leaves_room_for_an_answer(maximum, minimum, max_tokens, context):
    try:
        budget = ThinkingBudget(max=maximum, min=minimum)
        plan = resolved(budget, max_tokens=max_tokens, context=context)
    except UserError:
        return
    assert plan.room == min(max_tokens, context - 10)
    assert plan.minimum <= plan.maximum
    assert plan.maximum + len(MARKS.header) + len(MARKS.cut) + 1 <= plan.room
    assert maximum == -1 or plan.maximum == maximum


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt_tokens": 100}, "the prompt has 100 tokens, the context 100"),
        ({"context": None}, "give max_tokens"),
        ({"max_tokens": 12}, "leave -1 for thinking"),
    ],
)
def test_no_room_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        resolved(ThinkingBudget(), **change)


def test_a_minimum_above_the_maximum_that_fits_is_refused():
    with pytest.raises(UserError, match=r"leave 77 for thinking.*minimum is 78"):
        resolved(ThinkingBudget(min=78))


def test_extend_strings_become_ids_alone_or_as_a_list():
    assert resolved(ThinkingBudget(extend_with="ab")).extend_with == ((97, 98),)
    assert resolved(ThinkingBudget(extend_with=["a", ""])).extend_with == ((97,), ())
    assert resolved(ThinkingBudget(extend_with="")).extend_with == ((),)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max": -2}, "max is -2"),
        ({"min": -1}, "min is -1"),
        ({"extends": -1}, "extends is -1"),
        ({"max": 3, "min": 4}, "min is 4 and max is 3"),
        ({"max": 0, "min": 1}, "min is 1 and max is 0"),
        ({"extend_with": []}, "empty list"),
    ],
)
def test_contradicting_budgets_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        ThinkingBudget(**values)


@pytest.mark.parametrize("name", ["s1", "think"])
def test_delimiters_are_the_format_s_own_strings(name):
    fmt = chat.FORMATS[name]
    marks = delimiters(fmt, by_letter, stop_ids=(500,))
    assert bytes(marks.cut).decode() == "\n" + chat.end_string(fmt) + "\nFinal Answer:"
    assert bytes(marks.end).decode() == chat.end_string(fmt)
    assert marks.attempt_ids == (marks.end[0], 500)


def test_a_format_whose_steps_open_like_its_end_is_refused():
    with pytest.raises(UserError, match="s1-steps"):
        delimiters(chat.FORMATS["s1-steps"], by_letter, stop_ids=(500,))
