"""The judge against a real server: strict verdicts, bounded asking, nothing sent in vain."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from factories import question
from integration.data.teacher_server import TeacherServer
from s1_core.errors import UserError
from s1_data.classes import DomainClass
from s1_data.endpoint import judge
from s1_data.endpoint.config import JudgeConfig
from s1_data.endpoint.judge import Case

TEXTS = [f"Question {number:02d}?" for number in range(6)]
YES, NO = "say It fits.\nYes", "say It does not.\n\nNo \n"
CLASSES = [
    DomainClass(code="05", title="Combinatorics", topics=("Graph theory",)),
    DomainClass(code="11", title="Number theory", topics=("Primes", "Forms")),
]


def config(server: TeacherServer, **options: object) -> JudgeConfig:
    base = JudgeConfig(
        url=server.url, model="judge", api_key_env="S1_TEST_KEY", max_tokens=50, max_retries=2,
        backoff_s=0.01, concurrency=2,
    )  # fmt: skip
    return replace(base, **options)  # type: ignore[arg-type]


def case(text: str, attempt: str = "It is 5.", reference: str | None = "5") -> Case:
    return Case(question_id=question(text).id, question=text, attempt=attempt, reference=reference)


def test_verdicts_follow_the_last_line_alone(tmp_path: Path) -> None:
    script = {
        TEXTS[0]: [YES],
        TEXTS[1]: [NO],
        TEXTS[2]: ["say Yes, it does.", "say Yes\nor so", "503", YES],
        TEXTS[3]: ["say **Yes**", "say yes", "say No."],
    }
    cases = [case(text) for text in TEXTS[:4]]
    cases += [case(TEXTS[4], reference=None), case(TEXTS[5], reference=" \n")]
    with TeacherServer(TEXTS, script) as server:
        wanted = config(server)
        assert judge.plan_grades(cases, wanted, tmp_path).num_calls == 4
        verdicts = [True, False, True, None, None, None]
        assert judge.grade(cases, wanted, tmp_path) == verdicts
        counts = Counter({TEXTS[0]: 1, TEXTS[1]: 1, TEXTS[2]: 4, TEXTS[3]: 3})
        assert server.calls == counts
        assert judge.grade(cases, wanted, tmp_path) == verdicts
        assert judge.plan_grades(cases, wanted, tmp_path).num_calls == 0
        assert server.calls == counts
        server.script[TEXTS[3]] = [NO]
        assert judge.grade(cases, replace(wanted, max_retries=3), tmp_path)[3] is False
        assert server.calls == counts + Counter({TEXTS[3]: 1})


def test_the_judge_sees_problem_attempt_and_reference(tmp_path: Path) -> None:
    with TeacherServer(TEXTS, {TEXTS[0]: [YES]}) as server:
        judge.grade([case(TEXTS[0], "It is {5}.", "5, {really}")], config(server), tmp_path)
    system, user = server.bodies[0]["messages"]
    assert (system["role"], user["role"]) == ("system", "user")
    assert system["content"] == judge.GRADING
    assert user["content"].split("\n\n") == [
        "# Problem", TEXTS[0], "# Attempt", "It is {5}.", "# Correct answer", "5, {really}",
    ]  # fmt: skip
    assert server.bodies[0]["temperature"] == 0.0


def test_equal_attempts_of_two_models_are_judged_once(tmp_path: Path) -> None:
    cases = [case(TEXTS[0]), case(TEXTS[0]), case(TEXTS[0], "It is 6.")]
    with TeacherServer(TEXTS, {TEXTS[0]: [YES]}) as server:
        assert judge.grade(cases, config(server), tmp_path) == [True, True, True]
    assert server.calls.total() == 2


def test_a_question_gets_the_class_its_reply_ends_with(tmp_path: Path) -> None:
    script = {
        TEXTS[0]: ["say 05"],
        TEXTS[1]: ["say Its primes make it 11\n"],
        TEXTS[2]: ["say 12", "say number theory (11)", "say 11"],
        TEXTS[3]: ["say I cannot tell."],
    }
    questions = [question(text) for text in TEXTS[:4]]
    with TeacherServer(TEXTS, script) as server:
        found = judge.classify(questions, CLASSES, config(server), tmp_path)
        assert judge.plan_classes(questions, CLASSES, config(server), tmp_path).num_calls == 0
    assert found == [0, 1, 1, None]
    assert server.calls == Counter({TEXTS[0]: 1, TEXTS[1]: 1, TEXTS[2]: 3, TEXTS[3]: 3})
    (message,) = server.bodies[0]["messages"]
    assert "05 Combinatorics: Graph theory\n\n11 Number theory: Primes; Forms" in message["content"]


def test_a_judge_that_never_gives_a_verdict_is_not_asked_to_the_end(tmp_path: Path) -> None:
    texts = [f"Question {number:03d}?" for number in range(60)]
    with (
        TeacherServer(texts, {text: ["say Perhaps."] for text in texts}) as server,
        pytest.raises(UserError, match=r"neither Yes nor No; check --judge\.model"),
    ):
        judge.grade([case(text) for text in texts], config(server), tmp_path)
    assert server.calls.total() <= 22 * 3


def test_a_judge_without_a_url_is_a_wish_that_names_the_flag(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"wanted --judge\.url and --judge\.model"):
        judge.grade([case(TEXTS[0])], JudgeConfig(), tmp_path)
