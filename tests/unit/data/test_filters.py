"""Quality, difficulty and grades: one rule a row, and nothing lost on the way."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import attempt, question, trace
from s1_core import artifacts
from s1_core.errors import UserError
from s1_data.card.text import STAGES
from s1_data.config import BuildConfig
from s1_data.endpoint.config import TeacherConfig
from s1_data.filters import difficulty, grades, quality
from s1_data.filters.grades import Grade
from s1_data.funnel import KNOBS, Funnel
from s1_data.sources.config import SourcesConfig
from s1_data.stages import s1k, traces


def config(out: Path) -> BuildConfig:
    return BuildConfig(
        out=str(out),
        workers=1,
        sources=SourcesConfig(kind="bank"),
        teacher=TeacherConfig(kind="bank"),
    )


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
        ("***1***", "bold number"),
        ("1****2", None),
        ("a**b**c1**", "bold number"),
        ("*" * 100_000, None),
        ("a" * 100_000, None),
    ],
)
def test_string_patterns_of_the_notebook(text: str, rule: str | None) -> None:
    assert quality.pattern(question(text)) == rule


def test_aime_rows_are_kept_whatever_they_hold() -> None:
    text = "[asy] **1** p1."
    assert quality.pattern(question(text, source_type="qq8933/AIME_1983_2024")) is None
    assert quality.pattern(question(text, source_type="AI-MO/NuminaMath-CoT/amc_aime")) == "[asy]"


def test_null_features_leave() -> None:
    fine, mute, wordless = question("a"), question("b"), question("c")
    proof, lost = question("d", answer=None), question("e", answer=None, solution=None)
    rows = [
        (fine, trace(fine)),
        (mute, trace(mute, " ")),
        (wordless, trace(wordless, attempt=" ")),
        (proof, trace(proof, attempt="Hence.")),
        (lost, trace(lost, attempt="5")),
    ]
    assert quality.flaws(rows) == [None, "no thinking", "no answer", None, "no reference"]


def test_unusable_questions_are_named_and_the_first_of_equals_stays() -> None:
    pool = [question(text) for text in ("a", " \n", "a", "b\0c", "b", "x" * 11)]
    rules = quality.unusable(pool, 10)
    assert rules == [None, "empty", None, "NUL byte", None, "longer than 10 characters"]
    assert quality.repeated(pool) == [None, None, "duplicate", None, None, None]


def test_questions_leave_when_any_model_is_right_or_any_left_them_out() -> None:
    names = ("easy", "hard", "unseen", "half", "untold", "sampled")
    rows = [(q, trace(q)) for q in (question(name) for name in names)]
    easy, hard, _, half, untold, sampled = (row[0].id for row in rows)
    verdicts = [
        ("small", easy, "wrong"), ("large", easy, "right"),
        ("small", hard, "wrong"), ("large", hard, "wrong"),
        ("small", half, "wrong"),
        ("small", untold, "wrong"), ("large", untold, "none"),
        ("small", sampled, "right"), ("small", sampled, "wrong"), ("large", sampled, "wrong"),
    ]  # fmt: skip
    found = [Grade(model=m, question_id=q, verdict=v) for m, q, v in verdicts]
    rules = [
        "solved by large", None, "no attempt by large", "no attempt by large",
        "no verdict on large", "solved by small",
    ]  # fmt: skip
    assert difficulty.solved(rows, found, {"small", "large"}) == rules
    assert difficulty.solved(rows, found[::-1], {"large", "small"}) == rules
    unseen = difficulty.solved(rows, found, {"small", "large", "absent"})
    assert unseen[1] == "no attempt by absent"


def test_attempts_are_graded_against_the_reference_and_strangers_passed_over(
    tmp_path: Path,
) -> None:
    one, open_ = question("one"), question("open", answer=None)
    asked = [
        attempt(one, "I think. Answer: 5", model="large"),
        attempt(one, "Answer: 6"),
        attempt(open_, "Answer: 6"),
        attempt(question("never asked for")),
    ]
    found = grades.grade(asked, [one, open_], config(tmp_path / "out"))
    assert {(grade.model, grade.question_id): grade.verdict for grade in found} == {
        ("large", one.id): "right", ("base", one.id): "wrong", ("base", open_.id): "none",
    }  # fmt: skip
    assert grades.grade(asked[::-1], [open_, one], config(tmp_path / "out")) == found


def test_the_lowest_levels_leave_and_rows_without_one_are_counted_apart() -> None:
    metadata = ['{"level": "Level 5"}', '{"level": 1}', '{"level": 2.5}', "{}", '{"level": "nan"}']
    rows = [(q, trace(q)) for q in (question(str(n), metadata=m) for n, m in enumerate(metadata))]
    assert difficulty.easiest(rows, "level", 0.5) == [
        None, "low level", None, "no level in the metadata", "no level in the metadata",
    ]  # fmt: skip


BOLD = re.compile(r"\*\*[^\s\]]*\d[^\s\]]*\*\*")  # the rule as the notebook writes it


@given(st.text(alphabet="*1a] ", max_size=14))
def test_bold_numbers_are_those_of_the_notebooks_expression(text: str) -> None:
    assert (quality.pattern(question(text)) == "bold number") == bool(BOLD.search(text))


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


def test_thinking_is_counted_in_words_or_by_the_named_tokenizer(tmp_path: Path) -> None:
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
    made = traces.human(question("a", solution=" So 5. ", answer="5"))
    assert (made.thinking, made.attempt, made.model) == ("So 5.", "5", "human")


@settings(max_examples=20, deadline=None)  # each example is synced to the disk
@given(st.lists(st.sampled_from([None, "x", "y"]), max_size=20))
def test_the_funnel_counts_every_row_once_and_survives_the_disk(rules: list[str | None]) -> None:
    funnel = Funnel()
    rows = [question(str(i)) for i in range(len(rules))]
    kept = funnel.apply("quality", rows, rules)
    step = funnel.steps[0]
    assert len(kept) == step.after == step.before - sum(step.rules.values())
    assert {q.id for q in kept} | {r.question_id for r in funnel.rejections} == {q.id for q in rows}
    with tempfile.TemporaryDirectory() as folder:
        with artifacts.create(Path(folder) / "out", kind="questions", config={}) as draft:
            funnel.write(draft)
        found = Funnel.load(artifacts.load(Path(folder) / "out"))
    assert (found.steps, found.rejections) == (funnel.steps, funnel.rejections)


def test_every_stage_has_a_knob_and_a_line_in_the_card() -> None:
    code = "".join(path.read_text() for path in Path(s1k.__file__).parent.glob("*.py"))
    stages = set(re.findall(r"funnel\.apply\(\s*\"([a-z-]+)\"", code))
    assert stages == set(KNOBS) == set(STAGES)


def test_the_funnel_names_the_knob_of_the_dearest_stage() -> None:
    funnel = Funnel()
    rows = [question(str(i)) for i in range(5)]
    rows = funnel.apply("collect", rows, [None, None, None, None, "empty"])
    funnel.apply("difficulty", rows, ["short solution"] * 3 + [None])
    assert "difficulty" in funnel.knob()
    assert str(funnel) == "5 collected > collect 4 > difficulty 1"
