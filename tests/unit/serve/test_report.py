"""From graded samples to report: rows, votes, comparisons, tables, statements, figures, page."""

import io
import itertools
import json
import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from rich.console import Console

from s1_core.errors import UserError
from s1_core.records import Question
from s1_serve.evaluate import samples
from s1_serve.evaluate.config import METHODS, EvaluateConfig
from s1_serve.evaluate.report import assembly, comparisons, terminal
from s1_serve.evaluate.report.figures import canvas, labels, panels
from s1_serve.evaluate.report.page import page as page_of
from s1_serve.evaluate.samples import Measured, Sample
from s1_serve.evaluate.settings import Setting, direct, settings

FACTS = {
    "model": {"manifest_sha256": "ab" * 32, "format": "s1"},
    "engine": {"name": "vllm", "version": "0", "dtype": "float32", "device": "cpu"},
    "direct_model": None,
    "benchmarks": [{"name": "bank", "manifest_sha256": "cd" * 32, "num_questions": 40}],
    "training": {"slip_rate": None, "note": None},
    "skipped": [],
    "shortcuts": None,
    "judge": None,
    "seeds": {"samples": 0},
    "notes": [],
}
SMALL = {
    "budgets": [0, 4, 16],
    "extends": [0, 1, 2],
    "control_arms": ["", "Hmm"],
    "token_limits": [8, 16],
    "step_limits": [1, 2],
    "rejection_budgets": [8, 16],
    "class_limit": 8,
    "votes": [1, 3],
}


def asked(number=40):
    return [
        Question(
            id=str(n),
            question=f"What is <{n}> + 1?",
            solution=None,
            answer=str(n + 1),
            cot_type="math",
            source_type="test",
            metadata="{}",
        )
        for n in range(number)
    ]


QUESTIONS = asked()


def a_config(**changes):
    return EvaluateConfig(model="m", benchmark=("b",), out="o", **changes)


def a_sample(setting, question, number, answer, **changes):
    most = 99 if setting.max == -1 else setting.max
    values = {
        "benchmark": "bank",
        "run": setting.label,
        "method": setting.method,
        "question_id": question.id,
        "sample": number,
        "seed": 0,
        "max": most,
        "min": setting.min,
        "extends": setting.extends,
        "extend_with": setting.extend_with,
        "control": setting.control,
        "limit": setting.limit,
        "used_extends": setting.extends,
        "tries": 1,
        "end": "natural",
        "finish_reason": "stop",
        "thinking_tokens": max(
            setting.min, min(99 if most is None else most, 10 + setting.extends)
        ),
        "output_tokens": 20,
        "total_tokens": 20,
        "sequential_tokens": 20,
        "thinking": "First 1. Wait, then 2.",
        "answer": answer,
        "extracted": None,
        "is_correct": False,
        "graded_by": "rules",
    }
    return Sample(**{**values, **changes})


def measured(setting, num_right, questions=QUESTIONS, benchmark="bank", **changes):
    """A run that answers the first `num_right` questions right and the others with a wrong 0."""
    rows = [
        a_sample(
            setting,
            question,
            number,
            f"Answer: {n + 1 if n < num_right else 0}",
            benchmark=benchmark,
            **changes,
        )
        for n, question in enumerate(questions)
        for number in range(setting.num_samples)
    ]
    return Measured(setting, benchmark, samples.graded(rows, questions, workers=1))


def answered(setting, answers, **changes):
    """A run with the given answers, those of a question next to each other."""
    rows = [
        a_sample(setting, QUESTIONS[n // setting.num_samples], n % setting.num_samples, answer)
        for n, answer in enumerate(answers)
    ]
    rows = [replace(row, **{k: v[n] for k, v in changes.items()}) for n, row in enumerate(rows)]
    return Measured(setting, "bank", samples.graded(rows, QUESTIONS, workers=1))


def report_of(ms, config=None, questions=QUESTIONS, **facts):
    config = config or a_config(**SMALL)
    names = dict.fromkeys(one.benchmark for one in ms)
    return assembly.assemble(ms, dict.fromkeys(names, questions), config, FACTS | facts)


def everything(right_by_extends, **changes):
    """The default methods; budgets rise, extends have the given numbers right, samples 30 of 40."""
    config = a_config(**SMALL | changes)
    right = {"none": lambda s: 20, "budget": lambda s: 5 + s.max, "majority": lambda s: 30}
    right["extends"] = lambda s: right_by_extends[s.extends] if s.extend_with == "Wait" else 20
    return config, [measured(s, right[s.method](s)) for s in settings(config)]


@cache
def drawn():
    return panels.draw(gain_and_loss()[1])


@cache
def gain_and_loss():
    config, ms = everything({0: 20, 1: 30, 2: 10})
    return ms, report_of(ms, config)


def by_run(report):
    return {row["run"]: row for row in report["runs"]}


def printed(report):
    out = io.StringIO()
    terminal.show(report, Console(file=out, width=200))
    return out.getvalue()


def test_settings_list_every_run_once_by_a_name_of_its_own():
    config = a_config(**SMALL | {"methods": METHODS})
    found = settings(config)
    assert len({s.label for s in found}) == len({*found}) == len(found)
    assert [(s.extend_with, s.extends) for s in found if s.extends] == [
        (string, extends) for string in ("Wait", "", "Hmm") for extends in (1, 2)
    ]
    assert found[-1].num_samples == 3 and found[-1].temperature == config.temperature


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
        ({"methods": ("budgets",)}, "unknown method 'budgets'; valid are none, budget"),
        ({"methods": ("classes+budget",)}, "--class_limit"),
        ({"tie": "last"}, "fractional, first, shortest"),
    ],
)
def test_grids_that_measure_nothing_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        a_config(**changes)


def test_a_run_counts_accuracy_tokens_and_how_answers_were_found():
    (row,) = report_of([measured(Setting(method="budget", max=16), 10)])["runs"]
    assert row["accuracy"] == 25.0
    assert row["interval"][0] < 25.0 < row["interval"][1]
    assert (row["mean_thinking_tokens"], row["control_ok"], row["enforced"]) == (10.0, True, True)
    assert (row["num_questions"], row["samples_per_question"]) == (40, 1)
    assert row["extraction"] == {"none": 0.0, "thinking_only": 0.0, "cut": 0.0}
    assert row["ends"] == {"natural": 40, "budget": 0, "length": 0}
    assert (row["pass_at_k"], row["coverage"], row["accepted"]) == (None, None, None)
    assert row["accuracy_of_taken"] is None


def test_the_audit_tells_no_answer_from_one_in_the_thinking_and_a_cut_one():
    setting = Setting(method="budget", max=16)
    one = answered(
        setting,
        ["", "", "Answer: 3", "Answer: 4"],
        thinking=["", "It is \\boxed{2}.", "", ""],
        finish_reason=["stop", "stop", "length", "stop"],
    )
    assert samples.audit(one.samples) == {"none": 0.5, "thinking_only": 0.25, "cut": 0.25}
    assert one.correct == [False, False, True, True]


def test_a_run_beyond_its_maximum_is_not_scored_and_takes_part_in_nothing():
    config, ms = everything({0: 20, 1: 30, 2: 10})
    at = [m.setting.label for m in ms].index("budget 16")
    others = [*ms[:at], *ms[at + 1 :]]
    broken = [replace(s, thinking_tokens=21) for s in ms[at].samples]
    report = report_of([*others, Measured(ms[at].setting, "bank", broken)], config)
    row = by_run(report)["budget 16"]
    assert (row["accuracy"], row["interval"], row["enforced"]) == (None, None, False)
    assert (row["control_ok"], row["mean_thinking_tokens"]) == (False, 21.0)
    said = "budget 16: budget not enforced (thought up to 21 tokens where 16 were allowed)"
    assert f"{said}: not scored." in report["statements"]
    assert "not enforced" in printed(report)
    whole = report_of(others, config)
    for part in ("metrics", "tables", "extends", "sources"):
        assert report[part] == whole[part]
    assert [line for line in report["statements"] if said not in line] == whole["statements"]


def test_a_run_that_is_not_scored_is_in_no_figure():
    ms = [measured(Setting(method="budget", max=m), 10) for m in (4, 16)]
    broken = replace(ms[1], samples=[replace(s, thinking_tokens=21) for s in ms[1].samples])
    assert panels.draw(report_of([ms[0], broken])) == panels.draw(report_of(ms[:1]))


def test_an_extend_without_its_minimum_is_not_scored_either():
    one = measured(Setting(method="classes+budget", control="long", min=8), 4, thinking_tokens=3)
    report = report_of([one], a_config(methods=("classes+budget",), class_limit=8))
    assert "thought 3 tokens where 8 were the least" in " ".join(report["statements"])
    assert report["metrics"][0]["num_runs"] == 0 and report["metrics"][0]["performance"] is None
    assert [*panels.draw(report)] == ["thinking.svg", "thinking.png"]


def test_a_server_that_had_another_budget_in_force_is_named_as_the_reason():
    one = measured(Setting(method="budget", max=16), 10, is_kept=False)
    (line, *_) = report_of([one])["statements"]
    assert line == (
        "budget 16: budget not enforced (the server says that another one was in force): "
        "not scored."
    )


def test_where_nobody_counts_tokens_only_the_unforced_run_is_scored():
    alone = measured(Setting(method="none", max=None), 10, thinking_tokens=None)
    forced = measured(Setting(method="budget", max=16), 20, thinking_tokens=None)
    report = report_of([alone, forced])
    rows = by_run(report)
    assert (rows["none"]["accuracy"], rows["none"]["mean_thinking_tokens"]) == (25.0, None)
    assert (rows["budget 16"]["accuracy"], rows["budget 16"]["enforced"]) == (None, None)
    assert any("cannot be checked" in line for line in report["statements"])


@pytest.mark.parametrize(
    ("tie", "credit"),
    [
        ("fractional", [100, 75, 50]),
        ("first", [100, 100, 50]),
        ("shortest", [100, 50, 50]),
    ],
)
def test_votes_break_a_tie_by_the_rule_and_use_the_first_samples(tie, credit):
    """One question is right, then 7, 7; the other 2, 2 and nothing."""
    setting = Setting(method="majority", max=99, num_samples=4, temperature=1.0)
    answers = ["Answer: 1", "Answer: 7", "Answer: 7", "no", "Answer: 2", "Answer: 2", "", "9"]
    lengths = [30, 20, 20, 20, 20, 20, 20, 20]
    one = answered(
        setting, answers, output_tokens=lengths, total_tokens=lengths, sequential_tokens=lengths
    )
    report = report_of([one], a_config(max=99, votes=[1, 2, 3, 4], tie=tie))
    rows = by_run(report)
    found = [rows[f"majority@{k}"] for k in (1, 2, 3)]
    assert [row["accuracy"] for row in found] == credit
    assert [row["samples_per_question"] for row in found] == [1, 2, 3]
    assert [row["mean_total_tokens"] for row in found] == [25.0, 45.0, 65.0]
    assert [row["mean_sequential_tokens"] for row in found] == [25.0, 25.0, 25.0]
    assert [row["coverage"] for row in found] == [100.0, 100.0, 100.0]
    assert rows["majority@1"]["pass_at_k"] == pytest.approx(100 * (1 / 4 + 2 / 4) / 2)
    assert {row["method"] for row in found} == {"majority"} and report["tie"] == tie


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=5))
@given_settings(max_examples=20, deadline=None)
def test_more_samples_never_cover_less(right):
    setting = Setting(method="majority", num_samples=4, temperature=1.0)
    answers = [f"Answer: {n + 1 if ok else 0}" for n, row in enumerate(right) for ok in row]
    config = a_config(votes=[1, 2, 3, 4])
    rows = report_of([answered(setting, answers)], config, QUESTIONS[: len(right)])["runs"]
    for name in ("coverage", "pass_at_k"):
        assert all(a[name] <= b[name] + 1e-9 for a, b in pairwise(rows))
    assert rows[0]["accuracy"] == pytest.approx(rows[0]["coverage"])
    assert all(row["coverage"] >= row["accuracy"] for row in rows)
    assert rows[-1]["pass_at_k"] == pytest.approx(rows[-1]["coverage"])


@pytest.mark.parametrize(
    ("setting", "thinking", "wanted"),
    [
        (Setting(method="budget", max=8), 8, True),
        (Setting(method="extends", extends=1, extend_with="Wait"), 80, None),
        (Setting(method="extends", max=40, extends=1, extend_with="Wait"), 40, True),
        (Setting(method="tokens", control="tokens", limit=8), 8, True),
        (Setting(method="tokens", control="tokens", limit=8), 9, False),
        (Setting(method="tokens+budget", max=8, control="tokens", limit=8), 8, True),
        (Setting(method="steps", control="steps", limit=1), 99, True),
        (Setting(method="steps", control="steps", limit=1), 101, False),
        (Setting(method="steps+budget", control="steps", limit=1), 101, False),
        (Setting(method="classes", control="short"), 9, True),
        (Setting(method="classes", control="short"), 10, False),
        (Setting(method="classes", control="long"), 10, False),
        (Setting(method="classes", control="long"), 11, True),
        (Setting(method="rejection", max=8, tries=2), 7, True),
    ],
)
def test_a_run_keeps_its_limit_by_the_rules_of_the_paper(setting, thinking, wanted):
    """Without forcing the model thinks 10 tokens; equality keeps a limit, but is no class."""
    none = measured(Setting(method="none", max=None), 10)
    one = measured(
        setting, 10, thinking_tokens=thinking, max=200 if setting.max == -1 else setting.max
    )
    config = a_config(
        methods=METHODS, class_limit=8, max=setting.max if setting.method == "extends" else -1,
        budgets=[8], token_limits=[8], step_limits=[1], rejection_budgets=[8], extends=[0, 1],
    )  # fmt: skip
    report = report_of([none, one], config)
    assert by_run(report)[setting.label]["control_ok"] is wanted
    (score,) = (row for row in report["metrics"] if row["num_runs"])
    assert score["control"] == (None if wanted is None else 100.0 * wanted)


def test_a_class_is_held_against_no_extend_where_nothing_ran_unforced():
    short = measured(Setting(method="classes", control="short"), 10, thinking_tokens=9)
    config = a_config(methods=("extends", "classes"), extends=[0])
    assert by_run(report_of([short], config))["classes short"]["control_ok"] is None
    none = measured(Setting(method="extends", extend_with="Wait"), 10)
    assert by_run(report_of([short, none], config))["classes short"]["control_ok"] is True


def test_the_published_row_of_token_control_comes_out():
    """Table 12 and Table 3: Control 40, Scaling -24, Performance 40.0 over 5 runs."""
    points = {
        1024: (7939, 8),
        2048: (7158, 9),
        4096: (8263, 10),
        8192: (7108, 10),
        16384: (7500, 12),
    }
    ms = [
        measured(
            Setting(method="tokens", control="tokens", limit=limit),
            right,
            QUESTIONS[:30],
            thinking_tokens=tokens,
            max=30000,
        )
        for limit, (tokens, right) in points.items()
    ]  # fmt: skip
    report = report_of(ms, a_config(methods=("tokens",)), QUESTIONS[:30])
    (row,) = report["tables"]["table3"]
    assert (row["control"], row["performance"], row["num_runs"]) == (40.0, 40.0, 5)
    assert row["scaling"] == pytest.approx(-23.77, abs=0.01)
    assert row["scaling_per_1000_tokens"] == pytest.approx(-4.82, abs=0.01)
    assert row["name"] == "token-conditional"


def test_the_scores_are_those_of_budget_forcing_not_of_control_arms():
    config, ms = everything({0: 20, 1: 22, 2: 24}, methods=("budget", "extends"))
    arm = Setting(method="extends", extends=2, extend_with="Hmm")
    report = report_of([*(m for m in ms if m.setting != arm), measured(arm, 40)], config)
    (row,) = report["metrics"]
    assert (row["method"], row["control"], row["num_runs"]) == ("budget", 100.0, 6)
    assert row["performance"] == pytest.approx(100 * 24 / 40)
    assert row["scaling"] > 0


def test_scaling_is_over_all_pairs_of_budgets_and_extends():
    """Two maxima beyond what the model thinks are two points; the one of no thinking is none."""
    points = {"budget 0": (0, 4), "budget 4": (4, 8), "budget 16": (8, 16), "budget 32": (8, 16)}
    points |= {"extends 0": (8, 16), "extends 1 'Wait'": (16, 30)}
    config = a_config(methods=("budget", "extends"), budgets=[0, 4, 16, 32], extends=[0, 1],
        control_arms=[])  # fmt: skip
    ms = [
        measured(s, points[s.label][1], thinking_tokens=points[s.label][0], max=99)
        for s in settings(config)
    ]
    (row,) = report_of(ms, config)["metrics"]
    by_doubling = [(math.log2(x), 2.5 * y) for x, y in points.values() if x]
    by_1000 = [(x / 1000, 2.5 * y) for x, y in points.values()]
    for name, those in (("scaling", by_doubling), ("scaling_per_1000_tokens", by_1000)):
        pairs = itertools.combinations(those, 2)
        slopes = [(d - b) / (c - a) for (a, b), (c, d) in pairs if a != c]
        assert row[name] == pytest.approx(sum(slopes) / len(slopes))
    assert (row["num_runs"], row["performance"]) == (6, 75.0)
    assert "as at maximum 0" in page_of(report_of(ms, config), {}, [], {})


def test_extends_are_compared_to_none_question_by_question():
    _, report = gain_and_loss()
    found = {(r["extend_with"], r["extends"]): r for r in report["extends"]}
    gain, loss, control = found["Wait", 1], found["Wait", 2], found["", 1]
    assert (gain["wrong_to_right"], gain["right_to_wrong"]) == (10, 0)
    assert (loss["wrong_to_right"], loss["right_to_wrong"]) == (0, 10)
    assert gain["difference"]["mean"] == pytest.approx(25.0)
    assert gain["difference"]["lo"] > 0 > loss["difference"]["hi"]
    verdicts = [row["verdict"] for row in (gain, loss, control)]
    assert verdicts == ["better", "worse", "not distinguishable"]
    assert gain["against_test_string"] is None
    assert control["against_test_string"]["mean"] == pytest.approx(25.0)
    assert {row["benchmark"] for row in report["extends"]} == {"bank"}


def test_a_gain_and_a_loss_are_said_in_words():
    text = " ".join(gain_and_loss()[1]["statements"])
    assert '"Wait" x 1: +25.0 points' in text
    assert "better than no extend; 10 wrong answers became right, 0 right ones wrong." in text
    assert '"Wait" x 2: -25.0 points' in text and "worse than no extend; 0 wrong" in text
    assert "The empty string x 1: graded the same on every question as no extend. " in text
    assert '"Wait" less this: +25.0 points' in text
    assert "It never falls." in text


def test_noise_is_never_called_a_gain():
    text = " ".join(report_of(everything({0: 20, 1: 21, 2: 22})[1])["statements"])
    assert '"Wait" x 1: +2.5 points [+0.0, +7.5], not distinguishable from no extend' in text
    assert "1 wrong answer became right, 0 right ones wrong." in text
    assert "better than no extend" not in text


@pytest.mark.parametrize(
    ("gained", "lost", "same", "verdict"),
    [
        (4, 0, 26, "not distinguishable"),
        (1, 0, 0, "not distinguishable"),
        (5, 0, 0, "not distinguishable"),
        (6, 0, 24, "better"),
        (0, 6, 24, "worse"),
        (7, 1, 22, "not distinguishable"),
        (9, 1, 20, "better"),
        (0, 0, 30, "not distinguishable"),
    ],
)
def test_a_verdict_needs_the_interval_and_the_sign_test(gained, lost, same, verdict):
    before = [0.0] * gained + [1.0] * (lost + same)
    after = [1.0] * gained + [0.5] * lost + [1.0] * same
    assert comparisons.compare(after, before, 0)["verdict"] == verdict


def test_a_sign_test_without_an_interval_is_no_verdict():
    """Six small gains and one whole loss: the flips are uneven, the credit is not."""
    found = comparisons.compare([0.1] * 9 + [0.0], [0.0] * 9 + [1.0], 0)
    assert comparisons.sign_test(9, 1) < comparisons.LEVEL
    assert found["difference"]["lo"] < 0 < found["difference"]["hi"]
    assert found["verdict"] == "not distinguishable"


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_sign_test_counts_what_is_as_uneven(gained, lost):
    n = gained + lost
    as_uneven = [k for k in range(n + 1) if abs(2 * k - n) >= abs(gained - lost)]
    p = sum(math.comb(n, k) for k in as_uneven) / 2**n
    assert comparisons.sign_test(gained, lost) == pytest.approx(p)
    assert comparisons.sign_test(gained, lost) == comparisons.sign_test(lost, gained)


def test_extends_of_which_the_same_is_said_are_said_once():
    config, ms = everything({0: 20, 1: 30, 2: 30, 4: 30, 6: 20}, extends=[0, 1, 2, 4, 6])
    lines = [line for line in report_of(ms, config)["statements"] if line.startswith('"Wait"')]
    assert len(lines) == 2 and lines[0].startswith('"Wait" x 1, 2 and 4: +25.0 points [')
    assert lines[1] == '"Wait" x 6: graded the same on every question as no extend.'


def test_where_nothing_is_right_one_sentence_and_one_bound_say_so():
    config = a_config(**SMALL)
    ms = [measured(s, 0, QUESTIONS[:30]) for s in settings(config)]
    parted = [replace(q, source_type=f"s{n % 3}") for n, q in enumerate(QUESTIONS[:30])]
    report = report_of(ms, config, parted)
    assert report["statements"] == ["No run answers any of 30 questions right."]
    said = (
        "0 of 30 right: the bootstrap cannot see more than was drawn; the true rate may be up to "
        "9.5 % (exact 95 % bound)."
    )
    for text in (page_of(report, {}, ms, {"bank": parted}), printed(report)):
        assert text.count(said) == 1


def test_an_interval_of_no_width_is_bounded_for_each_benchmark_that_has_one():
    budgets = [Setting(method="budget", max=n) for n in (4, 16)]
    ms = [measured(s, 40 * (s.max == 16)) for s in budgets]
    ms += [measured(budgets[0], 1, QUESTIONS[:4], "aime")]
    questions = {"bank": QUESTIONS, "aime": QUESTIONS[:4]}
    text = printed(assembly.assemble(ms, questions, a_config(**SMALL), FACTS))
    assert "- bank: 0 of 40 or 40 of 40 right: the bootstrap" in text
    assert "the true rate may be up to 7.2 % or down to 92.8 % (exact 95 % bound)." in text
    assert "- aime: " not in text and text.count("the bootstrap cannot see") == 1


def test_an_extend_that_was_never_used_is_not_called_without_effect():
    config, ms = everything({0: 20, 1: 20, 2: 20})
    unused = [replace(m, samples=[replace(s, used_extends=0) for s in m.samples]) for m in ms]
    said = report_of(unused, config)["statements"]
    assert any('"Wait" x 1 and 2 was never used' in line for line in said)


def test_a_falling_curve_is_said_to_fall():
    right = {0: 30, 4: 20, 16: 19}
    ms = [measured(Setting(method="budget", max=m), k) for m, k in right.items()]
    (line, *_) = report_of(ms)["statements"]
    assert "75.0 % at a maximum of 0 thinking tokens and 47.5 % at 16 (-27.5 points" in line
    assert "worse); at most 75.0 %, reached at 0. It falls from 0 to 4 (-25.0 points" in line
    assert "from 4 to 16 (-2.5 points [-7.5, +0.0], not distinguishable)" in line


def test_what_rejection_took_is_said():
    one = measured(Setting(method="rejection", max=8, tries=2), 40, tries=2)
    refused = [replace(s, end="budget", is_correct=False) for s in one.samples[:10]]
    rows = [*refused, *one.samples[10:]]
    config = a_config(**SMALL | {"methods": ("rejection",)})
    report = report_of([Measured(one.setting, "bank", rows)], config)
    row = by_run(report)["rejection 8"]
    assert (row["accepted"], row["accuracy"], row["mean_tries"]) == (0.75, 75.0, 2.0)
    assert row["accuracy_of_taken"] == 100.0
    said = "took: 75.0 % at 8 (100.0 % of these right; 2.0 tries)"
    assert any(said in line for line in report["statements"])


@pytest.mark.parametrize("num_taken", [0, 30, 40])
def test_rejection_scales_only_where_every_answer_was_taken(num_taken):
    config = a_config(**SMALL | {"methods": ("rejection",)})
    all_taken = measured(Setting(method="rejection", max=16, tries=2), 40, thinking_tokens=16)
    few = measured(Setting(method="rejection", max=8, tries=2), 20, thinking_tokens=8)
    ends = ["natural" if n < num_taken else "budget" for n in range(40)]
    rows = [
        replace(s, end=end, is_correct=s.is_correct and end == "natural")
        for s, end in zip(few.samples, ends, strict=True)
    ]
    report = report_of([Measured(few.setting, "bank", rows), all_taken], config)
    (score,), (line, _) = report["metrics"], report["statements"]
    slopes = [score["scaling"], score["scaling_per_1000_tokens"]]
    page = page_of(report, {}, [], {})
    taken = by_run(report)["rejection 8"]["accuracy_of_taken"]
    assert taken == (pytest.approx(100 * 20 / num_taken) if num_taken else None)
    if num_taken == 40:
        assert slopes == [50.0, 6250.0] and "better" in line
        assert "No Scaling of rejection" not in page
    else:
        assert slopes == [None, None] and score["performance"] == 100.0
        assert "better" not in line and line.endswith("not taken count as wrong.")
        assert "No Scaling of rejection sampling" in page


def test_what_the_training_data_says_of_itself_is_repeated():
    ms = [measured(Setting(method="budget", max=16), 10)]
    said = report_of(ms, training={"slip_rate": 0.125, "note": "By design."})["statements"]
    assert "planted slip: 12.5 %" in said[-2] and said[-1] == "By design."
    noted = report_of(ms, training={"slip_rate": None, "note": "By design."})["statements"]
    assert "unknown" in noted[-2] and noted[-1] == "By design."
    assert not any("slip" in line for line in report_of(ms)["statements"])


def test_a_gain_is_traced_to_its_source():
    """The extends gain 10 of 40: all of them lie in the second source, none in the first."""
    parted = [
        replace(question, source_type="first" if number < 20 else "second")
        for number, question in enumerate(QUESTIONS)
    ]
    report = report_of(gain_and_loss()[0], questions=parted)
    rows = report["sources"]
    assert [(r["source"], r["free"], r["extended"], r["verdict"]) for r in rows] == [
        ("second", 0.0, 50.0, "better"),
        ("first", 100.0, 100.0, "not distinguishable"),
    ]
    assert {(row["benchmark"], row["extends"]) for row in rows} == {("bank", 1)}
    assert "in 1 of 2 sources (by chance alone at most 0.1): second (0 to 50 %)." in " ".join(
        report["statements"]
    )


def test_the_tables_of_the_paper():
    _, report = gain_and_loss()
    (one,) = report["tables"]["table1"]
    assert (one["without"]["run"], one["without"]["accuracy"]) == ("none", 50.0)
    assert (one["best"]["run"], one["best"]["accuracy"]) == ("extends 1 'Wait'", 75.0)
    assert one["difference"]["mean"] == pytest.approx(25.0) and "verdict" not in one
    four = report["tables"]["table4"]
    assert four["extends"] == 2
    cells = {row["extend_with"]: row["cells"]["bank"] for row in four["rows"]}
    assert [*cells] == [None, "", "Hmm", "Wait"]
    assert (cells[None]["accuracy"], cells["Wait"]["accuracy"]) == (50.0, 25.0)
    for text in (printed(report), "".join(page_of(report, {}, [], {}))):
        assert all(f"(Table {n})" in text for n in (1, 3, 4))


def test_strings_are_compared_at_the_smallest_count_where_2_was_not_run():
    config, ms = everything({0: 20, 4: 30, 6: 10}, extends=[0, 6, 4])
    assert report_of(ms, config)["tables"]["table4"]["extends"] == 4


def test_several_benchmarks_are_named_and_kept_apart():
    config, ms = everything({0: 20, 1: 30, 2: 10})
    other = [measured(m.setting, 3, QUESTIONS[:4], "aime") for m in ms]
    facts = FACTS | {"benchmarks": [{"name": n, "num_questions": 4} for n in ("bank", "aime")]}
    questions = {"bank": QUESTIONS, "aime": QUESTIONS[:4]}
    report = assembly.assemble([*other, *ms], questions, config, facts)
    alone = report_of(ms, config)
    assert [row for row in report["runs"] if row["benchmark"] == "bank"] == alone["runs"]
    assert [row for row in report["metrics"] if row["benchmark"] == "bank"] == alone["metrics"]
    assert [row["benchmark"] for row in report["tables"]["table1"]] == ["aime", "bank"]
    assert [*report["tables"]["table4"]["rows"][0]["cells"]] == ["aime", "bank"]
    named = [line for line in report["statements"] if line.startswith(("bank: ", "aime: "))]
    assert len(named) == len(report["statements"])
    assert [f"bank: {line}" for line in alone["statements"]] == [
        line for line in named if line.startswith("bank: ")
    ]
    page = page_of(report, {}, [*other, *ms], questions)
    assert "<h3>aime</h3>" in page and "<h3>bank</h3>" in page and "<li>bank: " not in page
    assert printed(report).count("accuracy in %, tokens and seconds an answer") == 2


@given(
    st.lists(st.sampled_from(METHODS), min_size=1, max_size=4, unique=True),
    st.integers(1, 2),
    st.integers(0, 2),
    st.booleans(),
)
@given_settings(max_examples=6, deadline=None)
def test_any_methods_any_accuracy_make_a_whole_report(methods, num_questions, num_right, is_direct):
    questions = asked(num_questions)
    config = a_config(**SMALL | {"methods": tuple(methods), "extends": [0, 1]})
    runs = [*([direct()] if is_direct else []), *settings(config)]
    ms = [measured(s, num_right, questions) for s in runs]
    report = report_of(ms, config, questions)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert {row["run"] for row in report["runs"] if row["method"] != "majority"} == {
        s.label for s in runs if s.method != "majority"
    }
    assert report["schema_version"] == 4 and report["model"] == FACTS["model"]
    figures = panels.draw(report)
    assert "thinking.png" in figures and ("parallel.svg" in figures) == ("majority" in methods)
    assert ("extends.png" in figures) == ("extends" in methods)
    page = page_of(report, figures, ms, {"bank": questions})
    assert page.count("<svg") * 2 == len(figures)
    assert "bank" in printed(report)


def test_every_method_alone_makes_a_report_with_its_score():
    scored = {*METHODS} - {"none", "majority"}
    for method in METHODS:
        config = a_config(**SMALL | {"methods": (method,)})
        ms = [measured(s, 2, QUESTIONS[:5]) for s in settings(config)]
        report = report_of(ms, config, QUESTIONS[:5])
        wanted = "budget" if method == "extends" else method
        assert [row["method"] for row in report["metrics"]] == [wanted] * (method in scored)
        assert report["runs"] and printed(report)
        assert page_of(report, {}, ms, {"bank": QUESTIONS[:5]})


def test_what_a_reader_must_know_stands_on_page_and_terminal():
    facts = {
        "skipped": [{"method": "budget", "reason": "the endpoint <only> chats"}],
        "shortcuts": {"shared": 50, "checked": 3, "differing": 1},
        "judge": {"name": "judge-1", "asked": 7},
        "notes": ["Not batch invariant."],
        "model": {"endpoint": "http://here", "name": "m<1>", "format": "s1"},
        "engine": None,
        "without_room": 2,
    }
    one = measured(Setting(method="budget", max=16), 10)
    report = report_of([one], **facts)
    assert {name: report[name] for name in facts} == facts
    page = page_of(report, {}, [one], {"bank": QUESTIONS})
    for text in (page.replace("&lt;", "<").replace("&gt;", ">"), printed(report)):
        assert "Skipped budget: the endpoint <only> chats" in text
        assert "50 greedy answers could share work with others; of 3 made again alone, 1" in text
        assert "came out different: the runs they are of were answered alone." in text
        assert "without room in the context, counted as wrong: 2." in text
        assert "judge-1" in text and "Not batch invariant." in text
    assert "m&lt;1&gt; at http://here (format s1); its engine is not known" in page


def test_the_page_holds_everything_and_no_markup_of_a_question():
    ms, report = gain_and_loss()
    text = page_of(report, drawn(), ms, {"bank": QUESTIONS})
    assert "http" not in text.replace("http://www.w3.org/", "")
    assert text.count("<svg") == 3 and "It never falls." in text and "<mark>Wait</mark>" in text
    assert "What is &lt;20&gt; + 1?" in text and "<20>" not in text
    assert "extends 2 &#x27;Wait&#x27;" in text and "width=device-width" in text


def test_nothing_of_a_benchmark_that_is_not_republished_stands_on_the_page():
    ms, report = gain_and_loss()
    told = [{**report["benchmarks"][0], "is_published": False}]
    text = page_of({**report, "benchmarks": told}, drawn(), ms, {"bank": QUESTIONS})
    assert "bank: not shown: this benchmark's questions are not republished." in text.replace(
        "&#x27;", "'"
    )
    assert "What is" not in text and "gold" not in text and "<pre>" not in text
    shown = [{**report["benchmarks"][0], "is_published": True}]
    text = page_of({**report, "benchmarks": shown}, drawn(), ms, {"bank": QUESTIONS})
    assert "What is" in text and "not shown" not in text


def test_a_long_trace_is_shortened_on_the_page():
    config, ms = everything({0: 20, 1: 30, 2: 10})
    long = [replace(m, samples=[replace(s, thinking="x" * 9000) for s in m.samples]) for m in ms]
    text = page_of(report_of(ms, config), {}, long, {"bank": QUESTIONS})
    assert "[... 5000 characters ...]" in text and "x" * 3000 not in text


def test_figures_are_svg_and_png_and_the_same_each_time():
    figures = drawn()
    assert {*figures} == {
        f"{name}.{form}" for name in ("thinking", "parallel", "extends") for form in ("svg", "png")
    }
    assert figures == panels.draw(gain_and_loss()[1])
    for name, content in figures.items():
        if name.endswith("svg"):
            assert ET.fromstring(content).tag.endswith("svg")
        else:
            assert content.startswith(b"\x89PNG")


def test_a_name_with_dollars_is_no_mathematics():
    ms = [measured(Setting(method="budget", max=16), 10, benchmark="a $x$ \\frac")]
    assert panels.draw(report_of(ms))["thinking.svg"]


def written(points, **changes):
    """The names that a panel with one series writes, by text, with what they cover."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [{"x": p.x, "accuracy": p.y, "interval": p.interval} for p in points]
    figure = Figure(figsize=(canvas.WIDTH, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    canvas.curve(axes, rows, "x", canvas.Look("", "blue", "o"))
    canvas.token_axis(axes, [p.x for p in points], "tokens")
    canvas.accuracy_axis(axes, [end for p in points for end in p.interval])
    figure.draw_without_rendering()
    labels.place(axes, [labels.Names(points, "blue", **changes)])
    marks = [axes.transData.transform((p.x, p.y)) for p in points]
    return {text.get_text(): text.get_window_extent() for text in axes.texts}, marks


@given(
    st.lists(
        st.tuples(st.integers(1, 1 << 15), st.integers(5, 95), st.integers(0, 5)),
        min_size=1,
        max_size=12,
        unique_by=lambda p: p[0],
    ),
    st.sampled_from(["", "×", "k="]),
    st.booleans(),
)
@given_settings(max_examples=30, deadline=None)
def test_names_cover_no_other_name_and_no_point(drawn, prefix, is_below):
    points = [labels.Point(x, y, (y - w, y + w), str(x)) for x, y, w in sorted(drawn)]
    found, marks = written(points, prefix=prefix, is_below=is_below)
    for one, other in itertools.combinations(found.values(), 2):
        assert not one.overlaps(other)
    assert not any(box.contains(*mark) for box in found.values() for mark in marks)
    assert {*"".join(found).replace(", ", "")} <= {*"0123456789–", *prefix}
    assert len(points) > 1 or [*found] == [prefix + points[0].name]


def test_only_points_that_coincide_share_a_name():
    places = {"48": (37, 50), "64": (40, 85), "96": (40.2, 85), "128": (40.2, 85)}
    points = [labels.Point(x, y, (y - 4, y + 4), name) for name, (x, y) in places.items()]
    first = labels.Point(4.0, 10.0, (8.0, 12.0), "4")
    assert {*written([first, *points])[0]} == {"4", "48", "64–128"}
    assert {*written([first, *points[1:3]])[0]} == {"4", "64, 96"}
    far = labels.Point(9.0, 20.0, (18.0, 22.0), "80")
    assert {*written([first, *points[1:2], far, *points[2:]])[0]} == {"4", "80", "64, 96, 128"}


def test_a_name_without_room_is_left_out():
    crowd = [labels.Point(100 + n, 50 + 6 * (n % 9), (40, 99), str(n)) for n in range(60)]
    ends = [labels.Point(x, 50, (40, 60), "end") for x in (10, 1000)]
    found, _ = written([ends[0], *crowd, ends[1]])
    assert len(found) < 30


def test_the_points_of_other_controls_are_named_by_what_was_asked():
    from matplotlib.figure import Figure

    methods = ("budget", "tokens", "steps+budget", "classes", "rejection")
    config = a_config(**SMALL | {"methods": methods})
    rows = report_of([measured(s, 20) for s in settings(config)], config)["runs"]
    found = {}
    for panel in panels._controls("bank", rows, "Wait"):
        *own, behind = panel.draw(Figure().subplots())
        found[panel.title] = [[point.name for point in names.points] for names in own]
        assert [point.name for point in behind.points] == ["4", "16"]
    assert found == {
        "bank: tokens": [["8", "16"], []],
        "bank: steps": [[], ["1", "2"]],
        "bank: short or long": [["short", "long"], []],
        "bank: rejection": [["8", "16"]],
    }
