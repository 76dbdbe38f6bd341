"""From samples to report: grading, votes, comparisons, statements, figures and the page."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from s1_core.errors import UserError
from s1_core.records import Question
from s1_serve.evaluate import figures, page, samples, sources, summary
from s1_serve.evaluate.config import EvaluateConfig
from s1_serve.evaluate.samples import Sample
from s1_serve.evaluate.settings import Setting, settings
from s1_serve.evaluate.summary import Measured

QUESTIONS = [
    Question(
        id=str(n),
        question=f"What is <{n}> + 1?",
        solution=None,
        answer=str(n + 1),
        cot_type="math",
        source_type="test",
        metadata="{}",
    )
    for n in range(40)
]


def a_config(**changes):
    return EvaluateConfig(model="m", benchmark="b", out="o", **changes)


def a_sample(setting, question, number, answer, **changes):
    values = {
        "method": setting.method,
        "extends": setting.extends,
        "extend_with": setting.extend_with,
        "question_id": question.id,
        "sample": number,
        "seed": 0,
        "max": 99 if setting.max == -1 else setting.max,
        "used_extends": setting.extends,
        "end": "natural",
        "finish_reason": "stop",
        "thinking_tokens": 10 + setting.extends if setting.max == -1 else min(setting.max, 10),
        "output_tokens": 20,
        "thinking": "First 1. Wait, then 2.",
        "answer": answer,
        "extracted": None,
        "is_correct": False,
    }
    return Sample(**{**values, **changes})


def measured(setting, num_right, **changes):
    """A run that answers the first `num_right` questions right and the others with a wrong 0."""
    rows = [
        a_sample(setting, question, number, f"Answer: {n + 1 if n < num_right else 0}", **changes)
        for n, question in enumerate(QUESTIONS)
        for number in range(setting.num_samples)
    ]
    return Measured(setting, samples.graded(rows, QUESTIONS, workers=1))


def everything(right_by_extends, config=None):
    """All settings; budgets rise, extends have the given numbers right, samples 30 of 40."""
    config = config or a_config(budgets=[0, 4, 16], extends=[0, 1, 2], votes=[1, 3])
    right = {"budget": lambda s: 5 + s.max, "samples": lambda s: 30}
    right["extends"] = lambda s: right_by_extends[s.extends] if s.extend_with == "Wait" else 20
    return config, [measured(s, right[s.method](s)) for s in settings(config)]


def test_settings_list_every_run_once_with_the_longest_greedy_one_first():
    config = a_config(budgets=[8, 0], extends=[0, 2, 1], control_arms=["", "Hmm"], votes=[4, 2])
    found = settings(config)
    assert len({*found}) == len(found)
    assert [(s.max, s.extends) for s in found][:3] == [(-1, 0), (8, 0), (0, 0)]
    assert [(s.extend_with, s.extends) for s in found if s.extends] == [
        (string, extends) for string in ("Wait", "", "Hmm") for extends in (1, 2)
    ]
    assert found[-1].num_samples == 4 and found[-1].temperature == config.temperature


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extends": [1, 2]}, "0 among them"),
        ({"budgets": []}, "budgets are"),
        ({"budgets": [4, 4]}, "every value once"),
        ({"control_arms": ["Wait"]}, "keep one"),
        ({"votes": [0]}, "votes are"),
        ({"temperature": 0.0}, "equal samples cannot vote"),
        ({"num_questions": 0}, "num_questions is 0"),
    ],
)
def test_grids_that_measure_nothing_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        a_config(**changes)


def test_a_run_counts_accuracy_tokens_and_how_answers_were_found():
    setting = Setting(method="budget", max=8)
    one = measured(setting, 10)
    (row,) = summary.runs([one], "bank", a_config())
    assert row["accuracy"] == 25.0
    assert row["interval"][0] < 25.0 < row["interval"][1]
    assert (row["mean_thinking_tokens"], row["control_ok"]) == (8.0, True)
    assert (row["num_questions"], row["samples_per_question"]) == (40, 1)
    assert row["extraction"] == {"none": 0.0, "thinking_only": 0.0, "cut": 0.0}


def test_a_run_beyond_its_maximum_is_out_of_control():
    one = measured(Setting(method="budget", max=8), 10, thinking_tokens=9)
    assert summary.runs([one], "bank", a_config())[0]["control_ok"] is False


def test_the_audit_tells_no_answer_from_one_in_the_thinking_and_a_cut_one():
    setting = Setting(method="budget", max=8)
    rows = [
        a_sample(setting, QUESTIONS[0], 0, ""),
        a_sample(setting, QUESTIONS[1], 0, "", thinking="It is \\boxed{2}."),
        a_sample(setting, QUESTIONS[2], 0, "Answer: 3", finish_reason="length"),
        a_sample(setting, QUESTIONS[3], 0, "Answer: 4"),
    ]
    graded = samples.graded(rows, QUESTIONS, workers=1)
    assert samples.audit(graded) == {"none": 0.5, "thinking_only": 0.25, "cut": 0.25}
    assert [sample.is_correct for sample in graded] == [False, False, True, True]


def test_votes_share_the_credit_of_a_tie_and_use_the_first_samples():
    setting = Setting(method="samples", max=-1, num_samples=4, temperature=1.0)
    answers = ["Answer: 1", "Answer: 7", "Answer: 7", "no", "Answer: 2", "Answer: 2", "", "9"]
    rows = [a_sample(setting, QUESTIONS[n // 4], n % 4, answer) for n, answer in enumerate(answers)]
    one = Measured(setting, samples.graded(rows, QUESTIONS, workers=1))
    by_size = {
        row["samples_per_question"]: row
        for row in summary.runs([one], "bank", a_config(votes=[1, 2, 3]))
    }
    assert [by_size[size]["accuracy"] for size in (1, 2, 3)] == [100.0, 75.0, 50.0]
    assert [by_size[size]["mean_total_tokens"] for size in (1, 2, 3)] == [20.0, 40.0, 60.0]
    assert by_size[3]["method"] == "majority@3"


def test_extends_are_compared_to_none_question_by_question():
    _, ms = everything({0: 20, 1: 30, 2: 10})
    found = {(r["extend_with"], r["extends"]): r for r in summary.comparisons(ms, "Wait", 0)}
    gain, loss, control = found["Wait", 1], found["Wait", 2], found["", 1]
    assert (gain["wrong_to_right"], gain["right_to_wrong"]) == (10, 0)
    assert (loss["wrong_to_right"], loss["right_to_wrong"]) == (0, 10)
    assert gain["difference"]["mean"] == pytest.approx(25.0)
    assert gain["difference"]["lo"] > 0 > loss["difference"]["hi"]
    verdicts = [row["verdict"] for row in (gain, loss, control)]
    assert verdicts == ["better", "worse", "unclear"]
    assert gain["against_test_string"] is None
    assert control["against_test_string"]["mean"] == pytest.approx(25.0)


def test_the_scores_are_those_of_budget_forcing_not_of_control_arms():
    config, ms = everything({0: 20, 1: 22, 2: 24})
    ms[-1:] = [measured(Setting(method="extends", max=-1, extends=9, extend_with="Hmm"), 40)]
    found = summary.scores(summary.runs(ms, "bank", config), "Wait")
    assert found["control"] == 100.0
    assert found["performance"] == pytest.approx(100 * 24 / 40)
    assert found["scaling"] > 0


def told(right_by_extends, **changes):
    config, ms = everything(right_by_extends, a_config(**changes) if changes else None)
    rows = summary.runs(ms, "bank", config)
    return " ".join(summary.statements(rows, summary.comparisons(ms, "Wait", 0), "Wait"))


def test_a_gain_and_a_loss_are_said_in_words():
    text = told({0: 20, 1: 30, 2: 10})
    assert '"Wait" x 1: +25.0 points' in text and "a gain; 10 wrong answers became right" in text
    assert '"Wait" x 2: -25.0 points' in text and "a loss; 0 wrong" in text
    assert "The empty string x 1: +0.0 points [+0.0, +0.0], not" in text
    assert '"Wait" less this: +25.0 points' in text
    assert "It never falls." in text


def test_an_extend_that_was_never_used_is_not_called_without_effect():
    _, ms = everything({0: 20, 1: 20, 2: 20})
    (row, *_) = summary.comparisons(ms, "Wait", 0)
    said = summary.statements([], [row | {"mean_used_extends": 0.0}], "Wait")
    assert any("was never used" in line for line in said)


def test_what_the_training_data_says_of_itself_is_repeated():
    said = summary.training_statements({"slip_rate": 0.125, "note": "By construction."})
    assert "planted slip: 12.5 %" in said[0] and said[1] == "By construction."
    silent = summary.training_statements({"slip_rate": None, "note": None})
    assert len(silent) == 1 and "unknown" in silent[0]


def test_a_gain_is_traced_to_its_source():
    """The extends gain 10 of 40: all of them lie in the second source, none in the first."""
    _, ms = everything({0: 20, 1: 30, 2: 10})
    asked = [
        replace(question, source_type="first" if number < 20 else "second")
        for number, question in enumerate(QUESTIONS)
    ]
    rows = sources.by_source(ms, asked, "Wait")
    assert [(r["source"], r["free"], r["extended"]) for r in rows] == [
        ("second", 0.0, 50.0),
        ("first", 100.0, 100.0),
    ]
    assert {row["extends"] for row in rows} == {1}
    assert "1 of 2 sources: second (0 to 50 %)" in sources.statements(rows, "Wait")[0]


def test_a_falling_curve_is_said_to_fall():
    config = a_config(budgets=[0, 4, 16], extends=[0], votes=[])
    right = {0: 30, 4: 20, 16: 25}
    ms = [measured(s, right.get(s.max, 25)) for s in settings(config)]
    (line, *_) = summary.statements(summary.runs(ms, "bank", config), [], "Wait")
    assert "at most 75.0 %, reached at 0" in line
    assert "falls from 0 to 4 (-25.0 points)" in line


def a_report(rows, compared):
    return {
        "model": {"manifest_sha256": "ab" * 32, "format": "s1"},
        "engine": {"name": "vllm", "version": "0", "dtype": "float32", "device": "cpu"},
        "benchmark": {"name": "a <b>", "num_questions": 40},
        "runs": rows,
        "extends": compared,
        "metrics": {"control": 100.0, "scaling": None, "performance": 60.0},
        "statements": ["It falls."],
        "sources": [
            {
                "source": "a <b>",
                "num_questions": 40,
                "extends": 1,
                "at_once": None,
                "free": 50.0,
                "extended": 75.0,
            }
        ],
    }


def test_the_page_holds_everything_and_no_markup_of_a_question():
    config, ms = everything({0: 20, 1: 30, 2: 10})
    rows, compared = summary.runs(ms, "bank", config), summary.comparisons(ms, "Wait", 0)
    drawn = {"Thinking": figures.thinking(rows, "Wait")}
    rows_shown = [sample for one in ms for sample in one.samples]
    text = page.page(a_report(rows, compared), drawn, rows_shown, QUESTIONS)
    assert "http" not in text.replace("http://www.w3.org/", "")
    assert "<svg" in text and "It falls." in text and "<mark>Wait</mark>" in text
    assert "What is &lt;20&gt; + 1?" in text and "a <b>" not in text
    assert '"Wait" x 2' in text.replace("&quot;", '"') and "not defined" in text


def test_figures_are_svg_and_the_same_each_time():
    config, ms = everything({0: 20, 1: 30, 2: 10})
    rows, compared = summary.runs(ms, "bank", config), summary.comparisons(ms, "Wait", 0)
    for draw in (
        lambda: figures.thinking(rows, "Wait"),
        lambda: figures.extends(compared, rows),
        lambda: figures.parallel(rows, "Wait"),
    ):
        first = draw()
        assert ET.fromstring(first).tag.endswith("svg")
        assert first == draw()
