"""Samples to verdicts: what is right, what never is, and what the audit says of the rest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from factories import question
from s1_core import answers, chat
from s1_core.records import Question
from s1_serve.evaluate import samples
from s1_serve.evaluate.samples import Measured, Sample
from s1_serve.evaluate.settings import Setting

FORMS = (r"So it is \boxed{%s}.", "So it is.\n\nAnswer: %s", "The final answer is $%s$.")
BENCHMARKS = ("math500", "aime24", "gsm8k_test")
ENDLESS = "Wait, " * 5000


def sample(of: Question, answer: str, **fields: Any) -> Sample:
    values: dict[str, Any] = {
        "benchmark": "b", "run": "none", "method": "none", "sample": 0, "seed": 0, "max": None,
        "min": 0, "extends": 0, "extend_with": "", "control": "", "limit": None,
        "used_extends": 0, "tries": 1, "end": "natural", "finish_reason": "stop",
        "thinking_tokens": 9, "output_tokens": 12, "total_tokens": 12, "sequential_tokens": 12,
        "thinking": "Hm.",
        "extracted": None, "is_correct": False, "graded_by": "",
    }  # fmt: skip
    return Sample(question_id=of.id, answer=answer, **(values | fields))


def verdict(answer: str, gold: str) -> bool:
    asked = question(answer=gold)
    (found,) = samples.graded([sample(asked, answer)], [asked], workers=1)
    return found.is_correct


def test_rows_keep_their_order_and_say_what_was_found() -> None:
    asked = [question("What is 1 + 1?", answer="2"), question("And 1 + 2?", answer="3")]
    rows = [
        sample(asked[1], "Answer: 3"),
        sample(asked[0], r"\boxed{3}", is_correct=True),
        sample(asked[1], "Answer: 3", benchmark="c"),
        sample(asked[0], "I do not know,\n\nsorry."),
    ]
    found = samples.graded(rows, [*asked, asked[0]], workers=1)
    assert [row.extracted for row in found] == ["3", "3", "3", None]
    assert [row.is_correct for row in found] == [True, False, True, False]
    assert {row.graded_by for row in found} == {"rules"}
    assert [row.benchmark for row in found] == ["b", "b", "c", "b"]
    assert samples.graded([], asked, workers=1) == []


def test_without_a_gold_answer_nothing_is_right() -> None:
    asked = question(answer=None)
    rows = [sample(asked, text) for text in ("Answer: 3", "", "None")]
    assert not any(row.is_correct for row in samples.graded(rows, [asked], workers=1))


@pytest.mark.parametrize("end", ["budget", "length"])
def test_an_answer_that_rejection_never_took_is_wrong(end: str) -> None:
    asked = question(answer="5")
    rows = [
        sample(asked, "Answer: 5", method=method, end=ended)
        for method, ended in (("rejection", "natural"), ("rejection", end), ("budget", end))
    ]
    found = [row.is_correct for row in samples.graded(rows, [asked], workers=1)]
    assert found == [True, False, True]


@pytest.mark.parametrize(
    "answer",
    ["", "I cannot tell.", "All of them are wrong.", "Answer:", "Answer: E", "A cat", "Answer: B"],
)
def test_no_fallback_makes_a_choice(answer: str) -> None:
    assert not verdict(answer, "A")


def test_a_cut_answer_is_read_as_far_as_it_goes() -> None:
    assert verdict("Answer: 12", "12")
    assert not verdict("Answer: 12", "123")
    assert not verdict(r"\boxed{\frac{1}{2", "1/2")
    assert not verdict("", "12")


def test_an_endless_answer_is_graded_at_all() -> None:
    texts = [
        ENDLESS,
        r"\boxed{" * 4000,
        "Answer: " * 4000,
        f"Answer: 1{' ' * 30000}2",
        "1," * 15000,
    ]
    asked = question(answer="12")
    rows = [sample(asked, text, finish_reason="length") for text in texts]
    found = samples.graded(rows, [asked], workers=1)
    assert not any(row.is_correct for row in found)
    assert samples.audit(found)["cut"] == 1


def test_the_audit_counts_what_has_no_answer_and_where_it_was() -> None:
    asked = question(answer="5")
    marker = f"{chat.TURN_START}1 steps left\n"
    thoughts = [
        "So it is 5.", "", "   \n", "Hm.\n\nAnswer: 5", r"\boxed{5}", ENDLESS,
        "Is the answer 5?", f"{marker}Answer: 5\n{marker}Short.", f"{marker}Short.",
    ]  # fmt: skip
    rows = [sample(asked, "", thinking=text) for text in thoughts]
    rows += [
        sample(asked, "Answer: 5", thinking="Answer: 5"),
        sample(asked, "Answer: 5", finish_reason="length"),
        sample(asked, "long\n\nand winding", thinking=ENDLESS, finish_reason="length"),
    ]
    shares = samples.audit(samples.graded(rows, [asked], workers=1))
    assert shares == {"none": 10 / 12, "thinking_only": 3 / 12, "cut": 2 / 12}
    assert set(samples.audit([]).values()) == {0}


@pytest.mark.skipif("S1_DATA" not in os.environ, reason="needs real gold answers: S1_DATA")
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_real_gold_answer_is_right_however_it_is_said(name: str) -> None:
    file = Path(os.environ["S1_DATA"]) / "eval" / f"{name}.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    golds = sorted({str(row["answer"]) for row in rows})
    for form in FORMS:
        pairs = [(form.replace("%s", gold), gold) for gold in golds]
        found = zip(golds, answers.grade(pairs, workers=1), strict=True)
        assert [gold for gold, is_right in found if not is_right] == [], form


@pytest.mark.parametrize(
    ("changes", "enforced"),
    [
        ({}, True),
        ({"thinking_tokens": 9}, False),
        ({"thinking_tokens": None}, None),
        ({"thinking_tokens": None, "end": "length"}, None),
        ({"thinking_tokens": 2, "min": 3}, False),
        ({"thinking_tokens": 2, "min": 3, "end": "length"}, True),
        ({"thinking_tokens": 99, "max": None}, True),
        ({"thinking_tokens": None, "max": None}, True),
        ({"is_kept": False}, False),
    ],
)
def test_a_budget_is_kept_broken_or_not_to_be_told(
    changes: dict[str, Any], enforced: bool | None
) -> None:
    values = {"max": 8, "thinking_tokens": 8, "end": "budget", **changes}
    measured = Measured(
        Setting(method="budget", max=8), "bank", [sample(question(), "Answer: 1", **values)]
    )
    assert measured.is_enforced is enforced
