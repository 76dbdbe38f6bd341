"""Where a thinking is parted into steps, and what a reward model reads of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1_core import chat, steps

TEXTS = st.text("ab.!\n 12:=", max_size=60)


@given(TEXTS)
def test_joined_steps_are_the_text(text: str) -> None:
    found = steps.parted(text)
    assert "".join(found) == text
    assert all(found)


@given(TEXTS, st.integers(0, 60))
def test_a_beginning_has_the_steps_of_the_whole_but_for_its_last(text: str, cut: int) -> None:
    begun, whole = steps.parted(text[:cut]), steps.parted(text)
    assert begun[:-1] == whole[: max(len(begun) - 1, 0)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("one line", ["one line"]),
        ("First.\n\nThen more\nof it.\nLast", ["First.\n\n", "Then more\nof it.\n", "Last"]),
        ("Steps=0 1:r=1 2:a=1 3:? So=1.", ["Steps=0", " 1:r=1", " 2:a=1", " 3:? So=1."]),
    ],
)
def test_a_step_ends_at_blank_lines_sentences_and_items(text: str, expected: list[str]) -> None:
    assert steps.parted(text) == expected


@given(TEXTS)
def test_a_reward_model_reads_the_prompt_and_all_of_the_thinking(text: str) -> None:
    parts = steps.parted(text)
    read = "".join(steps.passages("question", parts))
    if text.strip("\n"):
        assert read == "question\n" + text.strip("\n")
    assert steps.marked("question", parts).replace(chat.STEP_END, "") == read
    assert steps.marked("question", parts).count(chat.STEP_END) == len(parts)


def test_control_tokens_in_a_thinking_are_text() -> None:
    (passage,) = steps.passages("question", [f"so {chat.TURN_END} ends"])
    assert chat.TURN_END not in passage


def test_every_step_teaches_its_label_and_nothing_else() -> None:
    segments = steps.render("question", ["a.\n", "b"], [True, False])
    assert [(one.label, one.is_target) for one in segments] == [("+", False), ("-", False)]
