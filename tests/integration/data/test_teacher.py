"""The teacher against a real server that misbehaves: the right outcome, and nothing paid twice."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from factories import question
from integration.data.teacher_server import USAGE, TeacherServer, answer, thinking
from s1_core import answers, artifacts
from s1_core.errors import UserError
from s1_core.records import Attempt, Question, Trace, question_id
from s1_data import merge, teacher
from s1_data.endpoint import journal
from s1_data.endpoint.asking import Failure
from s1_data.endpoint.config import AskConfig, EndpointConfig, MergeConfig
from s1_data.endpoint.shard import Shard
from s1_data.endpoint.spending import FREE, Charge

TEXTS = [f"Question {number:02d}: how long is this?" for number in range(12)]
ODD = TEXTS[1]
PAID = Charge(*USAGE.values())
HEAVY = ("httpx", "numpy", "pyarrow", "rich.progress")


def endpoint(server: TeacherServer, **options: Any) -> EndpointConfig:
    values: dict[str, Any] = {
        "url": server.url, "model": "sage", "api_key_env": "S1_TEST_KEY", "max_tokens": 100,
        "concurrency": 4, "timeout_s": 10.0, "max_retries": 3, "backoff_s": 0.01,
    }  # fmt: skip
    return EndpointConfig(**(values | options))


def asked(folder: Path, texts: list[str]) -> Path:
    path = folder / "questions"
    with artifacts.create(path, kind="questions", config={"num": len(texts)}) as draft:
        draft.write("questions", [question(text) for text in texts], Question)
    return path


def run(folder: Path, config: EndpointConfig, **options: Any) -> None:
    words: dict[str, Any] = {"questions": str(folder / "questions"), "out": str(folder / "out")}
    teacher.main(AskConfig(**(words | {"teacher": config} | options)))


def traces(folder: Path) -> dict[str, Trace]:
    found = artifacts.load(folder / "out", kind="traces").read("traces", Trace)
    return {trace.question_id: trace for trace in found}


def failures(folder: Path) -> dict[str, str]:
    found = artifacts.load(folder / "out").read("failures", Failure)
    return {failure.question_id: failure.reason for failure in found}


def calls_folder(folder: Path) -> Path:
    return folder / "cache" / "out" / "calls"


def spent(folder: Path) -> Charge:
    return sum((found.spent for found in journal.read(calls_folder(folder)).values()), FREE)


def flags(folder: Path, config: EndpointConfig, *more: object) -> list[str]:
    names = ("url", "model", "max_tokens", "concurrency", "max_retries", "backoff_s", "timeout_s")
    words = [f"--teacher.{name}={getattr(config, name)}" for name in names]
    places = ["--questions", folder / "questions", "--out", folder / "out"]
    return [*map(str, places), *words, *map(str, more)]


def command(*words: object, module: str = "s1_data.teacher") -> list[str]:
    return [sys.executable, "-m", module, *map(str, words)]


def finished(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def test_traces_come_in_full_and_equal_runs_are_equal(tmp_path: Path) -> None:
    manifests = []
    for name in ("one", "other"):
        asked(tmp_path / name, TEXTS)
        with TeacherServer(TEXTS) as server:
            run(tmp_path / name, endpoint(server, concurrency=4 if name == "one" else 1))
        assert server.calls == Counter(TEXTS)
        assert server.most_at_once <= 4
        manifests.append((tmp_path / name / "out" / "manifest.json").read_bytes())
    assert manifests[0] == manifests[1]
    found = traces(tmp_path / "one")
    for text in TEXTS:
        trace = found[question_id(text)]
        assert (trace.thinking, trace.attempt, trace.model) == (
            thinking(text), answer(text), "sage",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "charged"),
    [
        (["well"], "usage"),
        (["reasoning_content"], "usage"),
        (["tags"], "usage"),
        (["unopened"], "usage"),
        (["no usage"], "worst"),
        (["429", "500", "503", "well"], "usage"),
        (["hang", "well"], "usage and worst"),
        (["drop", "well"], "usage and worst"),
        (["half", "well"], "usage and worst"),
        (["html", "well"], "usage and worst"),
        (["no choice", "empty", "well"], "3 usages"),
    ],
)
def test_every_misbehaviour_ends_in_the_right_trace(
    tmp_path: Path, words: list[str], charged: str
) -> None:
    asked(tmp_path, TEXTS[:3])
    with TeacherServer(TEXTS, {ODD: words}) as server:
        run(tmp_path, endpoint(server, timeout_s=0.5 if "hang" in words else 10.0))
    assert server.calls == Counter(TEXTS[:3]) + Counter({ODD: len(words) - 1})
    assert traces(tmp_path)[question_id(ODD)].thinking == thinking(ODD)
    assert traces(tmp_path)[question_id(ODD)].attempt == answer(ODD)
    assert failures(tmp_path) == {}
    rest = spent(tmp_path) - PAID - PAID
    if charged == "3 usages":
        assert rest == PAID + PAID + PAID
    else:
        usage = PAID if "usage" in charged else FREE
        worst = (rest - usage).completion_tokens
        assert worst == (100 if "worst" in charged else 0)
        assert (rest - usage).prompt_tokens >= (len(ODD) if worst else 0)


@pytest.mark.parametrize(
    ("word", "num_calls", "reason"),
    [
        ("length", 1, "cut at max_tokens"),
        ("400", 1, "HTTP 400: sorry, 400"),
        ("plain", 1, "a reply without thinking"),
        ("500", 4, "no usable reply in 4 tries, the last: HTTP 500: sorry, 500"),
        ("empty", 4, "no usable reply in 4 tries, the last: the reply is empty"),
    ],
)
def test_a_question_without_a_trace_is_a_failure_with_its_reason(
    tmp_path: Path, word: str, num_calls: int, reason: str
) -> None:
    asked(tmp_path, TEXTS[:3])
    with TeacherServer(TEXTS, {ODD: [word]}) as server:
        run(tmp_path, endpoint(server))
        assert server.calls[ODD] == num_calls
        assert failures(tmp_path) == {question_id(ODD): reason}
        assert len(traces(tmp_path)) == 2
        run(tmp_path, endpoint(server))
        assert server.calls.total() == num_calls + 2


def test_what_was_cut_is_kept_and_never_paid_again(tmp_path: Path) -> None:
    asked(tmp_path, TEXTS[:3])
    with TeacherServer(TEXTS, {ODD: ["length"]}) as server:
        run(tmp_path, endpoint(server))
        run(tmp_path, endpoint(server), out=str(tmp_path / "out"), task="attempts")
    assert server.calls == Counter(TEXTS[:3])
    rows = artifacts.load(tmp_path / "out", kind="attempts").read("attempts", Attempt)
    found = {row.question_id: row for row in rows}
    assert found[question_id(ODD)].finish_reason == "length"
    assert {row.num_tokens for row in rows} == {USAGE["completion_tokens"]}
    assert answers.extract(found[question_id(TEXTS[0])].text) == str(len(TEXTS[0]))


def test_attempts_need_no_thinking(tmp_path: Path) -> None:
    asked(tmp_path, [ODD])
    with TeacherServer(TEXTS, {ODD: ["plain"]}) as server:
        run(tmp_path, endpoint(server, temperature=0.05, system="Be brief."), task="attempts")
    (row,) = artifacts.load(tmp_path / "out").read("attempts", Attempt)
    assert (row.text, row.model, row.finish_reason) == (answer(ODD), "sage", "stop")
    assert server.bodies == [
        {
            "model": "sage",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": ODD},
            ],
            "temperature": 0.05,
            "max_tokens": 100,
        }
    ]


@pytest.mark.parametrize("wait", ["0.6", "date"])
def test_retry_after_is_honoured(tmp_path: Path, wait: str) -> None:
    asked(tmp_path, [ODD])
    with TeacherServer(TEXTS, {ODD: [f"429 after {wait}", "well"]}) as server:
        run(tmp_path, endpoint(server, backoff_s=0.0))
    first, second = server.times
    assert 0.5 <= second - first < 5  # a date has whole seconds: 2 of them are at least 1
    assert len(traces(tmp_path)) == 1


def test_a_wrong_key_stops_at_once_and_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(tmp_path, TEXTS)
    monkeypatch.setenv("S1_TEST_KEY", "wrong-secret")
    with TeacherServer(TEXTS, key="right-secret") as server:
        with pytest.raises(UserError) as caught:
            run(tmp_path, endpoint(server))
        assert server.calls.total() <= 4
        for part in (server.url, "sage", "S1_TEST_KEY, which is set", "HTTP 401", "***"):
            assert part in str(caught.value)
        assert "wrong-secret" not in str(caught.value)
        assert not (tmp_path / "out").exists()
        assert spent(tmp_path) == FREE
        monkeypatch.setenv("S1_TEST_KEY", "right-secret")
        run(tmp_path, endpoint(server))
    assert len(traces(tmp_path)) == len(TEXTS)


def test_a_server_that_refuses_everything_is_not_asked_to_the_end(tmp_path: Path) -> None:
    texts = [f"Question {number:03d}?" for number in range(100)]
    asked(tmp_path, texts)
    with (
        TeacherServer(texts, {text: ["400"] for text in texts}) as server,
        pytest.raises(UserError, match=r"first 20 questions all failed.*sorry, 400"),
    ):
        run(tmp_path, endpoint(server))
    assert 20 <= server.calls.total() < 30
    assert not (tmp_path / "out").exists()


def test_a_server_that_went_away_costs_nothing_done(tmp_path: Path) -> None:
    texts = [f"Question {number:03d}?" for number in range(60)]
    asked(tmp_path, texts)
    with TeacherServer(texts, {text: ["503"] for text in texts[10:]}) as server:
        config = endpoint(server, max_retries=1, concurrency=1)
        with pytest.raises(UserError, match=r"20 questions in a row.*10 of 60 .* kept"):
            run(tmp_path, config)
        server.script.clear()
        run(tmp_path, config)
    assert server.answered == Counter(texts)
    assert len(traces(tmp_path)) == 60


def test_nobody_there_is_one_line(tmp_path: Path) -> None:
    asked(tmp_path, TEXTS[:2])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    config = EndpointConfig(url=url, model="sage", max_retries=1, backoff_s=0.01)
    with pytest.raises(UserError, match=r"no question got a reply, the last: .*no connection"):
        run(tmp_path, config)
    assert spent(tmp_path) == FREE


@pytest.mark.parametrize(
    ("option", "low", "high"), [("max_tokens_total", 400, 4000), ("max_cost_usd", 0.0006, 1.0)]
)
def test_a_cap_stops_cleanly_and_a_raised_one_goes_on(
    tmp_path: Path, option: str, low: float, high: float
) -> None:
    asked(tmp_path, TEXTS)
    prices = {"usd_per_million_input": 1.0, "usd_per_million_output": 2.0}
    with TeacherServer(TEXTS) as server:
        config = endpoint(server, **prices)
        with pytest.raises(UserError) as caught:
            run(tmp_path, replace(config, **{option: low}))
        num_done = server.answered.total()
        assert 1 <= num_done < 12
        assert f"--teacher.{option} {low} has no room" in str(caught.value)
        assert f"{num_done} of 12 have a reply, which is kept" in str(caught.value)
        used = spent(tmp_path)
        assert used.tokens == server.paid_tokens == num_done * PAID.tokens
        assert (used.tokens if option == "max_tokens_total" else used.usd) <= low
        run(tmp_path, replace(config, **{option: high}))
    assert server.calls == Counter(TEXTS)
    assert len(traces(tmp_path)) == 12


def test_shards_share_a_cap_and_merge_to_the_bytes_of_one_run(tmp_path: Path) -> None:
    script = {ODD: ["400"], TEXTS[2]: ["length"]}
    for name in ("whole", "parts"):
        asked(tmp_path / name, TEXTS)
    parts = tmp_path / "parts"
    with TeacherServer(TEXTS, script) as server:
        run(tmp_path / "whole", endpoint(server))
        for index in range(3):
            with pytest.raises(UserError, match=r"max_tokens_total 480 / 3 shards has no room"):
                run(parts, endpoint(server, max_tokens_total=480), shard=f"{index}/3")
        assert spent(parts).tokens <= 480
        run(parts, endpoint(server), shard="0/3")
        run(parts, endpoint(server), shard="2/3")
        with pytest.raises(UserError, match=r"shard 1/3 of .*out is missing; .*--shard 1/3"):
            merge.main(MergeConfig(out=str(parts / "out")))
        run(parts, endpoint(server), shard="1/3")
    assert server.answered == Counter(TEXTS) + Counter(TEXTS) - Counter({ODD: 2})
    with pytest.raises(UserError, match="wanted 'traces'"):
        artifacts.load(parts / "out.shard-0-of-3", kind="traces")
    for _ in range(2):
        merge.main(MergeConfig(out=str(parts / "out")))
        whole, merged = (
            (path / "out" / "manifest.json").read_bytes() for path in (tmp_path / "whole", parts)
        )
        assert merged == whole


@pytest.mark.parametrize("word", ["length", "400"])
def test_a_shard_of_which_every_question_fails_is_merged_like_the_others(
    tmp_path: Path, word: str
) -> None:
    asked(tmp_path / "whole", TEXTS)
    asked(tmp_path / "parts", TEXTS)
    first, *others = [int(question_id(text), 16) for text in TEXTS]
    count = next(n for n in range(2, 99) if all(first % n != other % n for other in others))
    with TeacherServer(TEXTS, {TEXTS[0]: [word]}) as server:
        run(tmp_path / "whole", endpoint(server))
        questions = artifacts.load(tmp_path / "parts" / "questions")
        for shard in (Shard(n, count) for n in range(count)):
            job = teacher.Job(
                questions=questions, config=endpoint(server), out=tmp_path / "parts" / "out",
                shard=shard,
            )  # fmt: skip
            teacher.ensure(job)
    merge.main(MergeConfig(out=str(tmp_path / "parts" / "out")))
    manifests = [(tmp_path / n / "out" / "manifest.json").read_bytes() for n in ("whole", "parts")]
    assert manifests[0] == manifests[1]
    assert failures(tmp_path / "parts").keys() == {question_id(TEXTS[0])}


def test_shards_of_two_runs_do_not_merge(tmp_path: Path) -> None:
    asked(tmp_path, TEXTS)
    with TeacherServer(TEXTS) as server:
        run(tmp_path, endpoint(server), shard="0/2")
        run(tmp_path, endpoint(server, model="fool"), shard="1/2")
        with pytest.raises(UserError, match=r"shard-1-of-2 was made with .*fool.* wanted .*sage"):
            merge.main(MergeConfig(out=str(tmp_path / "out")))
        run(tmp_path, endpoint(server), shard="0/3")
        with pytest.raises(UserError, match=r"shards of 2 and of 3"):
            merge.main(MergeConfig(out=str(tmp_path / "out")))


@pytest.mark.multiprocess
@pytest.mark.parametrize(("stop", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 75)])
def test_a_run_stopped_in_the_middle_goes_on_and_ends_the_same(
    tmp_path: Path, stop: signal.Signals, code: int
) -> None:
    for name in ("calm", "stopped"):
        asked(tmp_path / name, TEXTS)
    with TeacherServer(TEXTS) as server:
        run(tmp_path / "calm", endpoint(server))
    folder = tmp_path / "stopped"
    with TeacherServer(TEXTS, hold_after=5) as server:
        config = endpoint(server, concurrency=2)
        running = subprocess.Popen(command(*flags(folder, config)), stderr=subprocess.DEVNULL)
        # A slot starts a call once its last one is on disk: both hold one, so five are.
        server.wait_until_held(2)
        completed = Counter(list(server.answered.elements()))
        assert completed.total() == 5
        running.send_signal(stop)
        assert running.wait(timeout=20) == code
        assert not (folder / "out").exists()
        assert spent(folder).completion_tokens == 5 * PAID.completion_tokens + 2 * 100
        server.release()
        done = finished(command(*flags(folder, config)))
        assert done.returncode == 0, done.stderr
    assert all(server.calls[text] == 1 for text in completed)
    manifests = [(tmp_path / n / "out" / "manifest.json").read_bytes() for n in ("calm", "stopped")]
    assert manifests[0] == manifests[1]


@pytest.mark.multiprocess
def test_shards_run_side_by_side_and_the_same_one_twice_does_not(tmp_path: Path) -> None:
    asked(tmp_path, TEXTS)
    with TeacherServer(TEXTS, hold_after=0) as server:
        words = flags(tmp_path, endpoint(server, concurrency=1))
        shards = [
            subprocess.Popen(command(*words, "--shard", f"{i}/2"), stderr=subprocess.DEVNULL)
            for i in range(2)
        ]
        server.wait_until_held(2)
        again = finished(command(*words, "--shard", "0/2"))
        assert (again.returncode, len(again.stderr.splitlines())) == (2, 1), again.stderr
        assert "another run is writing" in again.stderr
        server.release()
        assert [shard.wait(timeout=30) for shard in shards] == [0, 0]
    assert server.calls == Counter(TEXTS)
    done = finished(command("--out", tmp_path / "out", module="s1_data.merge"))
    assert done.stderr.splitlines() == [f"12 traces, from 2 shards: {tmp_path / 'out'}"]


def test_a_dry_run_tells_what_is_left_and_calls_nobody(tmp_path: Path) -> None:
    asked(tmp_path, TEXTS)
    with TeacherServer(TEXTS) as server:
        config = endpoint(server, usd_per_million_input=1.0, usd_per_million_output=2.0)
        questions, out = artifacts.load(tmp_path / "questions"), tmp_path / "out"
        plan = teacher.plan_traces(questions, config, out)
        assert (plan.num_prompts, plan.num_calls, plan.spent) == (12, 12, FREE)
        assert plan.expected.completion_tokens == 12 * 100  # no reply is longer than max_tokens
        assert not (tmp_path / "cache").exists()
        with pytest.raises(UserError, match="no room"):
            run(tmp_path, replace(config, max_tokens_total=400))
        num_done = server.calls.total()
        plan = teacher.plan_traces(questions, config, out)
        assert (plan.num_calls, plan.spent.tokens) == (12 - num_done, num_done * PAID.tokens)
        assert plan.expected.completion_tokens == (12 - num_done) * PAID.completion_tokens
        assert server.calls.total() == num_done
        run(tmp_path, config)
        assert teacher.plan_traces(questions, config, out).num_calls == 0
    done = finished(command(*flags(tmp_path, endpoint(server, model="other")), "--dry_run"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"by other: 12 of 12 left to ask, about \d+ prompt and 240", done.stderr)


def test_a_rerun_is_up_to_date_without_the_server_and_loads_nothing_heavy(tmp_path: Path) -> None:
    asked(tmp_path, TEXTS)
    with TeacherServer(TEXTS) as server:
        run(tmp_path, endpoint(server))
    script = (
        "import runpy, sys\n"
        "try: runpy.run_module('s1_data.teacher', run_name='__main__', alter_sys=True)\n"
        f"finally: print('loaded:', *[m for m in {HEAVY} if m in sys.modules])"
    )
    words = [sys.executable, "-c", script, *flags(tmp_path, endpoint(server))]
    done = finished(words)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [f"up to date: {tmp_path / 'out'}"]
    assert done.stdout.split() == ["loaded:"]


def test_a_faulty_wish_is_one_line_and_exit_2(tmp_path: Path) -> None:
    asked(tmp_path, TEXTS[:1])
    with TeacherServer(TEXTS) as server:
        config = endpoint(server)
    words = flags(tmp_path, config, "--teacher.max_tokens_total", 50)
    environment = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"}
    done = subprocess.run(command(*words), capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--teacher.max_tokens_total 50 has no room" in done.stderr
    assert "0 of 1 have a reply" in done.stderr
