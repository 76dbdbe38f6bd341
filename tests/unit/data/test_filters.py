"""Quality, difficulty and reference traces: one rule a row, and nothing lost on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import attempt, question, trace
from s1_core.errors import UserError
from s1_data import difficulty, quality, reference
from s1_data.funnel import Funnel


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Find x.", None),
        ("See [asy] draw(); [/asy].", "[asy]"),
        ("See ![Image](a.png).", "![Image]"),
        ("p1. Find x. p2. Find y.", "p1. to p999."),
        ("p999. Find x.", "p1. to p999."),
        ("p0. p1000 pp. Find x.", None),
        ("**p12** Find x.", "bold number"),
        ("**(3)** Find x.", "bold number"),
        ("**Hint** 3 **bold words** x", None),
        ("**see ]4** x", None),
    ],
)
def test_string_patterns_of_the_notebook(text: str, rule: str | None) -> None:
    assert quality.pattern(question(text)) == rule


def test_aime_rows_are_kept_whatever_they_hold() -> None:
    assert quality.pattern(question("[asy] **1** p1.", source_type="qq/AIME_1983_2024")) is None


def test_null_features_leave() -> None:
    fine, mute, unanswered = question("a"), question("b"), question("c", answer=None)
    rows = [(fine, trace(fine)), (mute, trace(mute, " ")), (unanswered, trace(unanswered))]
    assert quality.flaws(rows) == [None, "no thinking", "no answer"]


def test_unusable_questions_are_named_and_the_first_of_equals_stays() -> None:
    texts = ["a", " \n", "a", "b\0c", "b"]
    rules = quality.unusable([question(text) for text in texts])
    assert rules == [None, "empty", "duplicate", "NUL byte", None]


def test_questions_leave_when_any_model_is_right() -> None:
    easy, hard, unseen = question("easy"), question("hard"), question("unseen")
    rows = [(q, trace(q)) for q in (easy, hard, unseen)]
    attempts = [
        attempt(easy, "Answer: 4"),
        attempt(easy, "I think. Answer: 5", model="large"),
        attempt(hard, "Answer: 6"),
        attempt(question("never asked for")),
    ]
    rules = difficulty.solved(rows, attempts, workers=1)
    assert rules == ["solved by large", None, "no attempt"]


@given(st.lists(st.integers(0, 9), max_size=30), st.floats(0, 0.99))
def test_the_share_that_leaves_is_exact_and_no_longer_than_what_stays(
    lengths: list[int], fraction: float
) -> None:
    rows = [(q, trace(q)) for q in (question(str(i)) for i in range(len(lengths)))]
    num_tokens = {row[0].id: length for row, length in zip(rows, lengths, strict=True)}
    rules = difficulty.shortest(rows, num_tokens, fraction)
    gone = [n for n, rule in zip(lengths, rules, strict=True) if rule]
    kept = [n for n, rule in zip(lengths, rules, strict=True) if not rule]
    assert len(gone) == int(fraction * len(lengths))
    assert not gone or max(gone) <= min(kept)


def test_thinking_is_counted_in_words_or_by_the_named_tokenizer(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    letters.save(str(tmp_path / "tokenizer.json"))
    row = question("q")
    rows = [(row, trace(row, "ab ba"))]
    assert difficulty.thinking_tokens(rows, "words") == {row.id: 2}
    assert difficulty.thinking_tokens(rows, str(tmp_path / "tokenizer.json")) == {row.id: 5}


def test_a_missing_tokenizer_is_named() -> None:
    with pytest.raises(UserError, match=r"no tokenizer at nowhere/t\.json"):
        difficulty.tokenizer_file("nowhere/t.json")


def test_the_human_solution_is_the_trace() -> None:
    solved, open_ = question("a", solution=" So 5. ", answer="5"), question("b", solution=None)
    assert reference.missing([solved, open_]) == [None, "no solution"]
    made = reference.trace(solved)
    assert (made.thinking, made.attempt, made.model) == ("So 5.", "5", "human")


@given(st.lists(st.sampled_from([None, "x", "y"]), max_size=20))
def test_the_funnel_counts_every_row_once_and_survives_json(rules: list[str | None]) -> None:
    funnel = Funnel()
    rows = [question(str(i)) for i in range(len(rules))]
    kept = funnel.apply("quality", rows, rules)
    step = funnel.steps[0]
    assert len(kept) == step.after == step.before - sum(step.rules.values())
    assert {q.id for q in kept} | {r.question_id for r in funnel.rejections} == {q.id for q in rows}
    assert Funnel(funnel.to_json()).steps == funnel.steps


def test_the_funnel_names_the_knob_of_the_dearest_stage() -> None:
    funnel = Funnel()
    rows = [question(str(i)) for i in range(5)]
    rows = funnel.apply("collect", rows, [None, None, None, None, "empty"])
    funnel.apply("difficulty", rows, ["short solution"] * 3 + [None])
    assert "difficulty" in funnel.knob()
    assert str(funnel) == "5 collected > collect 4 > difficulty 1"
