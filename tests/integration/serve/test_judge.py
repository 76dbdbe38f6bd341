"""The judge of an evaluation against real servers: strict verdicts, kept, and never asked twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from factories import question
from integration.data.teacher_server import TeacherServer
from integration.serve.server import Server
from s1_core.errors import UserError
from s1_serve.evaluate import judge, samples
from s1_serve.evaluate.judge import Case, Judge
from unit.serve.test_grades import sample

TEXTS = [f"Question {number:02d}?" for number in range(30)]
YES, NO = "say They agree.\nYes", "say They do not.\n\nNo \n"
ALL_YES = {text: [YES] for text in TEXTS}
PROGRAM = """
import sys
from pathlib import Path
from s1_serve.evaluate.judge import Case, Judge
texts = sys.argv[3:]
cases = [Case(question=text, answer="It is V.", gold="5") for text in texts]
Judge(sys.argv[1], "j", Path(sys.argv[2])).verdicts(cases)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "BACKOFF_S", 0.01)
    monkeypatch.delenv(judge.KEY_VARIABLE, raising=False)


def case(text: str, answer: str = "It is V.", gold: str = "5") -> Case:
    return Case(question=text, answer=answer, gold=gold)


def test_verdicts_follow_the_last_line_alone_and_are_kept(tmp_path: Path) -> None:
    script = {
        TEXTS[0]: [YES],
        TEXTS[1]: [NO],
        TEXTS[2]: ["503", "429 after 0", "drop", YES],
        TEXTS[3]: ["say Yes, it does."],
        TEXTS[4]: ["say **Yes**"],
        TEXTS[5]: ["no choice"],
        TEXTS[6]: ["empty"],
    }
    cases = [case(text) for text in TEXTS[:7]]
    verdicts = [True, False, True, None, None, None, None]
    facts = {"model": "j", "asked": 7, "yes": 2, "no": 1, "undecided": 4}
    with TeacherServer(TEXTS, script) as server:
        first = Judge(server.url, "j", tmp_path)
        assert first.verdicts(cases) == verdicts
        assert first.verdicts(cases[::-1]) == verdicts[::-1]
        assert first.facts() == facts
        num_calls = server.calls.total()
        assert num_calls == 7 + 3
        again = Judge(f"{server.url}/v1/", "j", tmp_path)
        assert again.verdicts(cases) == verdicts
        assert again.facts() == facts
        assert server.calls.total() == num_calls
        Judge(server.url, "another", tmp_path).verdicts(cases[:1])
        assert server.calls.total() == num_calls + 1


def test_a_reply_that_breaks_off_is_no_verdict() -> None:
    reply = {"choices": [{"message": {"content": "Yes"}, "finish_reason": "length"}]}
    assert judge._verdict(reply) == (None, "Yes")


def test_the_judge_sees_problem_answer_and_gold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(judge.KEY_VARIABLE, " secret ")
    long = "x" * 20000 + " so {V}."
    with TeacherServer(TEXTS, ALL_YES, key="secret") as server:
        assert Judge(server.url, "j", tmp_path).verdicts([case(TEXTS[0], long, "{5}")]) == [True]
    (body,) = server.bodies
    system, user = body["messages"]
    assert (body["model"], body["temperature"]) == ("j", 0)
    assert (system["role"], system["content"]) == ("system", judge.PROMPT)
    parts = user["content"].split("\n\n")
    assert parts[:3] == ["# Problem", TEXTS[0], "# Answer"]
    assert parts[4:] == ["# Correct answer", "{5}"]
    assert parts[3].endswith("so {V}.") and len(parts[3]) == judge.SHOWN_CHARACTERS


def test_equal_cases_are_asked_once_and_a_few_at_a_time(tmp_path: Path) -> None:
    cases = [case(text) for text in TEXTS * 2] + [case(TEXTS[0], "It is 6.")]
    with TeacherServer(TEXTS, ALL_YES) as server:
        assert Judge(server.url, "j", tmp_path).verdicts(cases) == [True] * 61
        assert server.calls.total() == 31
        assert 1 < server.most_at_once <= judge.AT_ONCE
        assert Judge(server.url, "j", tmp_path).verdicts([]) == []


def test_a_case_without_a_reply_leaves_the_rules_and_is_asked_again(tmp_path: Path) -> None:
    with TeacherServer(TEXTS, ALL_YES | {TEXTS[1]: ["500"], TEXTS[2]: ["400"]}) as server:
        first = Judge(server.url, "j", tmp_path)
        assert first.verdicts([case(text) for text in TEXTS[:3]]) == [True, None, None]
        assert first.facts() == {"model": "j", "asked": 3, "yes": 1, "no": 0, "undecided": 2}
        assert (server.calls[TEXTS[1]], server.calls[TEXTS[2]]) == (judge.TRIES, 1)
        server.script[TEXTS[1]] = [NO]
        again = Judge(server.url, "j", tmp_path)
        assert again.verdicts([case(text) for text in TEXTS[:2]]) == [True, False]
        assert server.calls[TEXTS[0]] == 1


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("html", "no JSON: is --judge an API server"),
        ("401", "HTTP 401.*key in S1_JUDGE_API_KEY, which is set"),
        ("404", "HTTP 404.*check --judge, --judge_model"),
        ("503", "cases in a row without a reply, the last: HTTP 503"),
    ],
)
def test_an_endpoint_that_is_none_is_one_line(
    word: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(judge.KEY_VARIABLE, "sorry")  # what the server's message quotes
    with (
        TeacherServer(TEXTS, {text: [word] for text in TEXTS}) as server,
        pytest.raises(UserError, match=complaint) as raised,
    ):
        Judge(server.url, "j", tmp_path).verdicts([case(text) for text in TEXTS])
    assert "\n" not in str(raised.value) and "sorry" not in str(raised.value)


def test_an_endpoint_that_is_not_there_is_one_line(tmp_path: Path, unused_port: int) -> None:
    for url in (f"http://127.0.0.1:{unused_port}", "localhost:1", "http://[", "nothing"):
        with pytest.raises(UserError, match=r"no judge at .*: check --judge"):
            Judge(url, "j", tmp_path).verdicts([case(TEXTS[0])])
    with TeacherServer() as server, pytest.raises(UserError, match="lists no model"):
        Judge(server.url, None, tmp_path)  # this server knows no GET


@pytest.mark.multiprocess
def test_a_killed_run_repeats_nothing(tmp_path: Path) -> None:
    with TeacherServer(TEXTS, ALL_YES, hold_after=12) as server:
        command = [sys.executable, "-c", PROGRAM, server.url, str(tmp_path), *TEXTS]
        process = subprocess.Popen(command)
        server.wait_until_held(judge.AT_ONCE)
        process.send_signal(signal.SIGKILL)
        process.wait()
        server.release()
        journal = tmp_path / "judge.jsonl"
        kept = [json.loads(line)["verdict"] for line in journal.read_text().splitlines()]
        assert kept == [True] * 12
        journal.write_bytes(journal.read_bytes() + b'{"key": "torn')
        before = server.calls.copy()
        assert Judge(server.url, "j", tmp_path).verdicts([case(t) for t in TEXTS]) == [True] * 30
        assert (server.calls - before).total() == 18
    assert len(list(map(json.loads, journal.read_text().splitlines()))) == 30


def test_only_answers_that_the_rules_call_wrong_are_judged(tmp_path: Path) -> None:
    asked = [question(text, answer="5") for text in TEXTS[:4]]
    rows = [
        sample(asked[0], "Answer: 5"),
        sample(asked[0], "Answer: V"),
        sample(asked[0], "Answer: V", run="another"),
        sample(asked[1], "Answer: V"),
        sample(asked[2], " \n"),
        sample(asked[2], "Answer: V", method="rejection", end="budget"),
        sample(asked[3], "I think\n\nthat V fits."),
    ]
    script = ALL_YES | {TEXTS[1]: [NO], TEXTS[3]: ["say Perhaps."]}
    with TeacherServer(TEXTS, script) as server:
        found = samples.graded(rows, asked, 1, Judge(server.url, "j", tmp_path))
    assert [row.is_correct for row in found] == [True, True, True, False, False, False, False]
    assert [row.graded_by for row in found] == ["rules", "judge", "judge"] + ["rules"] * 4
    assert server.calls == {TEXTS[0]: 1, TEXTS[1]: 1, TEXTS[3]: 1}


@pytest.mark.engine
@pytest.mark.multiprocess
def test_our_own_service_can_be_asked(service: Server, tmp_path: Path) -> None:
    judging = Judge(service.url, None, tmp_path)
    assert judging.verdicts([case(TEXTS[0])]) == [None]
    assert judging.facts() == {"model": "tiny", "asked": 1, "yes": 0, "no": 0, "undecided": 1}
    (line,) = (tmp_path / "judge.jsonl").read_text().splitlines()
    assert json.loads(line)["verdict"] is None
