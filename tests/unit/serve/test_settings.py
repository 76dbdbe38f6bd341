"""The runs of every method, byte for byte as they ask, and the configurations that are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import question
from s1_core.errors import UserError
from s1_serve.config import ThinkingBudget
from s1_serve.evaluate.config import METHODS, EvaluateConfig
from s1_serve.evaluate.run.policies import first
from s1_serve.evaluate.settings import direct, settings

# Spec 4, from the authors' harness.
TOKENS_16 = "q\n\nThink for up to 16 tokens."
TOKENS_32 = "q\n\nThink for up to 32 tokens."
STEPS_4 = "q\n\nThink for up to 4 steps."
SHORT = (
    "q\n\nAnswer after a short amount of thinking. Do not spend excessive time double-checking "
    "your work."
)
LONG = (
    "q\n\nAnswer after a long amount of thinking. If you feel like you are finished early, spend "
    "the extra time trying to double-check your work until you are absolutely sure that you have "
    "the correct answer."
)


def config(**changes):
    values = {
        "model": "m", "benchmark": ("b",), "out": "o", "class_limit": 12, "budgets": [8, 0],
        "extends": [2, 0, 1], "control_arms": ["", "Hmm"], "token_limits": [32, 16],
        "step_limits": [4], "rejection_budgets": [20, 10], "votes": [1, 4], "max": 40,
    }  # fmt: skip
    return EvaluateConfig(**{**values, **changes})


def budget(most=-1, fewest=0, extends=0, string=""):
    return ThinkingBudget(max=most, min=fewest, extends=extends, extend_with=string)


WANTED = {
    "none": [("none", "q", None)],
    "budget": [("budget 0", "q", budget(0)), ("budget 8", "q", budget(8))],
    "extends": [
        ("extends 0", "q", budget(40, string="Wait")),
        ("extends 1 'Wait'", "q", budget(40, extends=1, string="Wait")),
        ("extends 2 'Wait'", "q", budget(40, extends=2, string="Wait")),
        ("extends 1 ''", "q", budget(40, extends=1)),
        ("extends 2 ''", "q", budget(40, extends=2)),
        ("extends 1 'Hmm'", "q", budget(40, extends=1, string="Hmm")),
        ("extends 2 'Hmm'", "q", budget(40, extends=2, string="Hmm")),
    ],
    "tokens": [("tokens 16", TOKENS_16, budget()), ("tokens 32", TOKENS_32, budget())],
    "tokens+budget": [
        ("tokens+budget 16", TOKENS_16, budget(16)),
        ("tokens+budget 32", TOKENS_32, budget(32)),
    ],
    "steps": [("steps 4", STEPS_4, budget())],
    "steps+budget": [("steps+budget 4", STEPS_4, budget())],
    "classes": [("classes short", SHORT, budget()), ("classes long", LONG, budget())],
    "classes+budget": [
        ("classes+budget short", SHORT, budget(12)),
        ("classes+budget long", LONG, budget(fewest=12)),
    ],
    "rejection": [("rejection 10", "q", budget(10)), ("rejection 20", "q", budget(20))],
    "majority": [("samples", "q", budget(40))],
}


@pytest.mark.parametrize("method", METHODS)
def test_the_runs_of_a_method(method):
    found = settings(config(methods=(method,)))
    asks = [first(setting, question("q"), 0) for setting in found]
    labels = [setting.label for setting in found]
    assert WANTED[method] == [
        (label, ask.question, ask.budget) for label, ask in zip(labels, asks, strict=True)
    ]
    assert {ask.max_steps for ask in asks} == {4 if method == "steps+budget" else None}
    is_sampled = method in ("rejection", "majority")
    assert {s.temperature for s in found} == {0.7 if is_sampled else 0.0}
    assert {s.tries for s in found} == {8 if method == "rejection" else 1}
    assert {s.num_samples for s in found} == {4 if method == "majority" else 1}


def test_runs_come_in_the_order_of_the_methods():
    found = settings(config(methods=("majority", "none", "budget")))
    assert [one.label for one in found] == ["samples", "none", "budget 0", "budget 8"]


def test_answering_at_once_cuts_before_the_first_token():
    assert (direct().label, direct().budget) == ("direct", budget(0))


def grids(least):
    return st.lists(st.integers(least, 300), min_size=1, max_size=4, unique=True)


STRINGS = st.text(alphabet="Wait' 0\n", max_size=4).filter(lambda text: text != "Wait")


@given(
    st.permutations(METHODS),
    st.fixed_dictionaries(
        {
            "budgets": grids(0),
            "extends": grids(1).map(lambda counts: [0, *counts]),
            "control_arms": st.lists(STRINGS, max_size=3, unique=True),
            **{n: grids(1) for n in ("token_limits", "step_limits", "rejection_budgets", "votes")},
            "class_limit": st.integers(1, 300),
        }
    ),
)
def test_no_two_runs_have_the_same_name(methods, changes):
    found = [*settings(config(methods=methods, **changes)), direct()]
    assert len({one.label for one in found}) == len(found)
    assert len({*found}) == len(found)
    assert all(one.budget is None or one.budget.max >= -1 for one in found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("none", "beam")}, "unknown method 'beam'; valid are " + ", ".join(METHODS)),
        ({"methods": ()}, "no method: give some of none, budget"),
        ({"endpoint": "http://x"}, "either --model .* or --endpoint"),
        ({"model": None}, "either --model .* or --endpoint"),
        ({"model": None, "endpoint": "http://x", "direct_model": "m"}, "leave it out"),
        ({"benchmark": ()}, "no benchmark: give --benchmark"),
        ({"methods": ("classes+budget",), "class_limit": None}, "give --class_limit"),
        ({"tie": "longest"}, "tie is 'longest': give one of fractional, first, shortest"),
        ({"too_long": "skip"}, "too_long is 'skip': give one of refuse, wrong"),
        ({"budgets": [8, 8]}, r"budgets are \[8, 8\]: give every value once"),
        ({"budgets": []}, "budgets are .*: give counts from 0"),
        ({"budgets": [-1]}, "budgets are .*: give counts from 0"),
        ({"extends": [1, 2]}, "0 among them"),
        ({"extends": [0, 1, 1]}, "every value once"),
        ({"votes": [0, 1]}, "votes are .*: give counts from 1"),
        ({"token_limits": [0]}, "token_limits are .*: give counts from 1"),
        ({"step_limits": [4, 4]}, "step_limits are .*every value once"),
        ({"rejection_budgets": [0]}, "rejection_budgets are .*: give counts from 1"),
        ({"methods": ("none", "none")}, "methods are .*every value once"),
        ({"benchmark": ("b", "b")}, "benchmark are .*every value once"),
        ({"control_arms": ["", ""]}, "control_arms are .*every value once"),
        ({"control_arms": ["Wait"]}, "'Wait' is extend_with and a control arm: keep one"),
        ({"methods": ("rejection",), "temperature": 0.0}, "equal samples cannot vote"),
        ({"methods": ("majority",), "temperature": 0.0}, "equal samples cannot vote"),
        ({"tries": 0}, "tries must be at least 1"),
        ({"answer_tokens": 0}, "must be at least 1"),
        ({"num_questions": 0}, "num_questions is 0: give a count from 1"),
    ],
)
def test_what_contradicts_itself_is_refused(changes, message):
    with pytest.raises(UserError, match=message.replace("+", r"\+")):
        config(**changes)


def test_what_is_not_run_may_be_left_open():
    assert config(methods=("classes",), class_limit=None).class_limit is None
    assert config(methods=("budget",), temperature=0.0).temperature == 0.0
