"""Strategies through the service: one request in, the winner out, whatever is in between."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import httpx
import pytest
from openai import OpenAI

from integration.serve.judges import judging
from integration.serve.proxy import proxied
from integration.serve.server import serving
from integration.serve.test_service import CHAT, FORMAT, HI, SCHEMA, asked, events
from s1_core import artifacts
from s1_core.errors import UserError
from s1_serve import client
from s1_serve.config import AskConfig
from s1_serve.contract.api import Dialect, read
from s1_serve.contract.tts_reply import winner
from s1_serve.endpoint import Endpoint
from s1_serve.model import open_model
from s1_serve.strategies import catalogue
from s1_serve.strategies.calls import Step
from s1_serve.strategies.http_driver import Ask, HttpDriver, Route
from s1_serve.strategies.known import Known
from s1_serve.strategies.policy import WAIT, Choice, Decision
from s1_serve.strategies.session import Limits, Session
from s1_serve.strategies.wire.body import Client
from s1_serve.strategies.wire.poster import HttpPoster
from s1_serve.strategies.wire.steps import Voice

pytestmark = [pytest.mark.engine, pytest.mark.multiprocess]

LONG = {"max_tokens": 400, "thinking_token_budget": 300, "min_thinking_tokens": 300}
SMALL = {
    "ab-mcts": {"trials": 4},
    "adaptive": {"n_max": 8},
    "deepconf": {"warmup": 4, "n": 8},
    "rsa": {"n": 4, "rounds": 1},
    "scrutinise": {"n": 4, "votes": 1},
    "pessimistic": {"n": 4, "votes": 1},
}
REWARDS = ("right", "nan", "few", "html")
JUDGES = ("yes", "nonsense", "empty", "refuses", "cut", "mute")
QUESTIONS = ("How many r in raspberry?", "What is 17 * 24?")


@pytest.fixture(scope="module")
def bank(service, tmp_path_factory):
    """A service of the base model, which knows the bank; `service` is its other model."""
    with judging() as url:
        verifiers = [{"kind": "judge"}, {"kind": "judge", "name": "dead", "url": "http://[::1]:9"}]
        verifiers += [{"kind": "judge", "name": kind, "url": f"{url}/{kind}"} for kind in JUDGES]
        verifiers += [{"kind": "reward", "name": kind, "url": f"{url}/{kind}"} for kind in REWARDS]
        flags = ["--name", "bank", "--models", json.dumps({"other": service.url})]
        flags += ["--verifiers", json.dumps(verifiers), "--strategy_slots", "8"]
        folder = tmp_path_factory.mktemp("bank")
        with serving(artifacts.embedded(), folder, *flags) as server:
            yield server


def tried(server, strategy, **fields):
    """Ask with a strategy; give the response."""
    tts = {"strategy": strategy, **fields.pop("tts", {})}
    found = server.post(CHAT, asked(CHAT, **{"temperature": 0.9, "seed": 3} | fields, tts=tts))
    assert found.status_code == 200, found.text
    return found.json()


def voting(n):
    return {"tts": {"strategy": "majority", "n": n}}


def idle(server):
    """Wait until the engine works on nothing."""
    deadline = time.monotonic() + 10
    while server.num_running():
        assert time.monotonic() < deadline, "the engine goes on"
        time.sleep(0.05)


@pytest.mark.parametrize("strategy", catalogue.POLICIES)
def test_every_strategy_answers_bank_questions(bank, strategy):
    for question in QUESTIONS:
        body = asked(CHAT, model="bank", temperature=0.7, seed=5, max_tokens=300)
        body["messages"] = [{"role": "user", "content": question}]
        tts = {"strategy": strategy, "return_candidates": True, **SMALL.get(strategy, {})}
        found = bank.post(CHAT, body | {"tts": tts})
        assert found.status_code == 200, found.text
        said = found.json()
        told, (choice,) = said["tts"], said["choices"]
        assert choice["message"]["content"] and choice["finish_reason"] in ("stop", "length")
        assert choice["thinking"]["tokens"] <= said["usage"]["completion_tokens"]
        assert told["strategy"] == strategy and told["selected"] and told["stopped"]
        assert told["started"] == told["finished"] + told["aborted"] >= 1
        tokens = told["tokens"]
        assert said["usage"]["completion_tokens"] == tokens["total"] >= tokens["sequential"] > 0
        candidates = told["candidates"]
        assert tokens["total"] == tokens["verifier"] + sum(c["tokens"] for c in candidates)
        assert tokens["aborted"] == sum(c["tokens"] for c in candidates if c["state"] == "aborted")
    idle(bank)


def test_a_seed_draws_the_same_samples_and_they_are_those_of_n(service):
    first, second = (tried(service, "majority", tts={"n": 4, "return_candidates": True})
                     for _ in range(2))  # fmt: skip
    assert first["tts"]["candidates"] == second["tts"]["candidates"]
    assert first["choices"] == second["choices"]
    plain = service.post(CHAT, asked(CHAT, temperature=0.9, seed=3, n=4)).json()
    texts = [choice["message"]["content"] or "" for choice in plain["choices"]]
    assert [c["answer"] for c in first["tts"]["candidates"]] == texts
    assert first["usage"]["completion_tokens"] == plain["usage"]["completion_tokens"]
    thought = plain["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert first["usage"]["completion_tokens_details"]["reasoning_tokens"] == thought
    chosen = plain["choices"][int(first["tts"]["selected"])]
    message = first["choices"][0]["message"]
    assert message == {key: chosen["message"][key] for key in message}
    assert first["choices"][0]["thinking"] == chosen["thinking"]


def test_the_models_name_may_ask_for_a_strategy_and_all_that_run_are_listed(service):
    cards = httpx.get(f"{service.url}/v1/models").json()["data"]
    assert cards[0]["id"] == "tiny" and cards[0]["tts"]["strategies"]
    names = {card["id"] for card in cards[1:]}
    assert names == {f"tiny:{name}" for name in cards[0]["tts"]["strategies"]}
    assert "tiny:majority" in names and "tiny:cascade" not in names  # there is no other model
    alias = next(card for card in cards if card["id"] == "tiny:shortest")
    assert alias["root"] == "tiny" and alias["tts"]["parameters"]["n"] == 8
    assert alias["thinking"] == cards[0]["thinking"]
    assert Endpoint(service.url).model == "tiny"
    found = service.post(CHAT, asked(CHAT, model="tiny:shortest", temperature=1)).json()
    assert found["model"] == "tiny:shortest" and found["tts"]["parameters"]["k"] == 1
    wrong = service.post(CHAT, asked(CHAT, model="nobody", tts={"strategy": "majority"}))
    plain = service.post(CHAT, asked(CHAT, model="nobody"))
    assert wrong.status_code == plain.status_code == 404
    assert wrong.json()["error"]["message"] == plain.json()["error"]["message"]


def test_a_stream_parses_as_any_and_shows_how_it_goes(service):
    body = asked(CHAT, temperature=1.0, **LONG, tts={"strategy": "majority", "n": 4})
    chunks = events(service, CHAT, body | {"stream_options": {"include_usage": True}})
    progress = [c["tts"] for c in chunks if not c["choices"] and "tts" in c]
    assert len(progress) > 2 and progress[0]["progress"]["started"] == 4
    tokens = [each["progress"]["tokens"] for each in progress]
    assert tokens == sorted(tokens) and any(each["thinking"] for each in progress)
    assert chunks[-1]["usage"]["completion_tokens"] == chunks[-2]["tts"]["tokens"]["total"]
    assert chunks[-2]["choices"][0]["thinking"]["tokens"] == 300

    openai = OpenAI(base_url=f"{service.url}/v1", api_key="none")
    options = {"extra_body": {"tts": {"strategy": "majority", "n": 3}, "thinking_token_budget": 9}}
    said = {"reasoning": "", "content": ""}
    stream = openai.chat.completions.create(
        model="tiny", messages=HI, stream=True, max_tokens=60, seed=4, **options
    )
    for part in stream:
        for choice in part.choices:
            said["content"] += choice.delta.content or ""
            said["reasoning"] += getattr(choice.delta, "reasoning", None) or ""
    whole = openai.chat.completions.create(
        model="tiny", messages=HI, max_tokens=60, seed=4, **options
    )
    message = whole.choices[0].message
    assert said == {"reasoning": message.reasoning or "", "content": message.content or ""}
    assert whole.tts["started"] == 3


def test_thinking_that_is_left_out_is_left_out_everywhere(service):
    fields = {"reasoning": {"exclude": True}, "tts": {"strategy": "majority", "n": 3}}
    body = asked(CHAT, temperature=1.0, max_tokens=200, thinking_token_budget=150,
                 min_thinking_tokens=150, **fields)  # fmt: skip
    for said in (service.post(CHAT, body).text, json.dumps(events(service, CHAT, body))):
        assert '"reasoning"' not in said and '"reasoning_content"' not in said
        assert '"thinking": "' not in said and '"thinking":"' not in said
        assert '"selected"' in said


TOOL = {"type": "function", "function": {"name": "add", "parameters": SCHEMA, "strict": True}}


@pytest.mark.parametrize("stream", [False, True])
def test_tools_schemas_stops_and_logprobs_are_the_answers(service, stream):
    def said(**fields):
        tts = {"strategy": "majority", "n": 3}
        body = asked(CHAT, temperature=1.0, seed=2, tts=tts, **fields)
        if not stream:
            return service.post(CHAT, body).json()["choices"][0]
        found = {"message": {}, "logprobs": {"content": []}}
        for choice in (c for k in events(service, CHAT, body) for c in k["choices"]):
            for key, value in choice["delta"].items():
                found["message"][key] = found["message"].get(key, type(value)()) + value
            found["logprobs"]["content"] += (choice["logprobs"] or {}).get("content", [])
            found["finish_reason"] = choice["finish_reason"]
        return found

    found = said(tools=[TOOL], tool_choice="required", parallel_tool_calls=False, max_tokens=150,
                 thinking_token_budget=10)  # fmt: skip
    (call, *_) = found["message"]["tool_calls"]
    assert call["function"]["name"] == "add"
    assert json.loads(call["function"]["arguments"])["a"] in ("x", "y")
    assert found["finish_reason"] == "tool_calls" and not found["message"].get("content")
    found = said(response_format=FORMAT, max_tokens=90)
    assert json.loads(found["message"]["content"]) in ("x", "y")
    assert not found["logprobs"] or not found["logprobs"]["content"]
    found = said(logprobs=True, top_logprobs=2, thinking_token_budget=5)
    assert all(len(one["top_logprobs"]) == 2 for one in found["logprobs"]["content"])
    assert len(found["logprobs"]["content"]) > 5


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tts": {"strategy": "votes"}}, "tts"),
        ({"tts": {"strategy": "majority", "n": 10_000}}, "tts.n"),
        ({"tts": {"strategy": "majority", "budget": {"deadline_ms": -1}}},
         "tts.budget.deadline_ms"),
        ({"tts": {"strategy": "majority", "budget": {"total_tokens": 9}}},
         "tts.budget.total_tokens"),
        ({"tts": {"strategy": "cascade"}}, "tts"),
        ({"tts": {"strategy": "majority"}, "n": 2}, "n"),
        ({"tts": {"strategy": "majority"}, "thinking_token_budget": 5, "min_thinking_tokens": 6},
         "min_thinking_tokens"),
        # Only the engine knows of these.
        ({"tts": {"strategy": "majority"}, "max_tokens": 12}, "max_tokens"),
        ({"tts": {"strategy": "majority"}, "thinking_token_budget": 9000}, "thinking"),
        ({"tts": {"strategy": "majority"}, "temperature": -1}, "temperature"),
        ({"tts": {"strategy": "majority"}, "stop_token_ids": [5]}, "stop_token_ids"),
        ({"tts": {"strategy": "majority", "reference": "999"}}, "tts.reference"),
        ({"tts": {"strategy": ""}}, "tts.strategy"),
        ({"tts": {"strategy": "majority", "n": "9" * 100_000}}, "tts.n"),
        # Fields that a strategy reads itself, too, are of the types that vLLM gives them.
        *(({"tts": {"strategy": "majority"}, **each}, next(reversed(each))) for each in (
            {"seed": "x"}, {"seed": [1]}, {"max_tokens": "x"}, {"top_k": "x"},
            {"return_token_ids": "x"}, {"logprobs": "maybe"}, {"top_logprobs": 3},
            {"logprobs": True, "top_logprobs": "3"}, {"logprobs": True, "top_logprobs": -1},
            {"stream_options": "x"}, {"stream_options": [1]}, {"prompt_logprobs": 0},
            {"stream_options": {"include_usage": "x"}}, {"stream": "x"}, {"messages": ["x"]},
            {"tool_choice": "z" * 100_000}, {"tools": [{"type": "function", "function": {}}]},
        )),
    ],
    ids=lambda value: str(value)[:80],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_refused_is_a_400_in_one_line_in_streams_too(service, fields, field, stream):
    found = service.post(CHAT, asked(CHAT, **{"stream": stream} | fields))
    assert found.status_code == 400, found.text
    error = found.json()["error"]
    assert error["param"] is None or field in error["param"]
    assert field.split(".")[-1] in error["message"]
    assert "\n" not in error["message"] and "Traceback" not in error["message"]
    assert len(error["message"]) < 700


def test_values_of_another_type_are_read_as_in_a_plain_request(service):
    for fields in ({"seed": "3"}, {"max_tokens": "40"}, {"stream": "false"}, {"temperature": "0"}):
        said = [service.post(CHAT, asked(CHAT, max_completion_tokens=60, **fields, **tts))
                for tts in ({}, voting(1))]  # fmt: skip
        texts = [one.json()["choices"][0]["message"]["content"] for one in said]
        assert texts[0] == texts[1], fields
    late = asked(CHAT, stream_options={"include_usage": True}, **voting(2))
    found = service.post(CHAT, late)  # which does not stream
    assert found.status_code == 400 and found.json()["error"]["param"] == "stream_options"
    tts = {"strategy": "majority", "n": 2, "budget": {"total_tokens": 500}}
    assert service.post(CHAT, asked(CHAT, max_tokens="100", tts=tts)).status_code == 200


def test_deadlines_and_token_budgets_give_the_best_so_far_or_say_that_there_is_none(service):
    short = {"n": 40, "concurrency": 2, "budget": {"deadline_ms": 700}}
    told = tried(service, "majority", tts=short)["tts"]
    assert told["degraded"] and "deadline" in told["stopped"] and 0 < told["finished"] < 40
    assert told["wall_ms"] < 3000
    never = {"max_tokens": 1500, "thinking_token_budget": 1400, "min_thinking_tokens": 1400}
    tts = {"strategy": "majority", "budget": {"deadline_ms": 300}}
    found = service.post(CHAT, asked(CHAT, **never, tts=tts))
    assert found.status_code == 504 and "deadline" in found.json()["error"]["message"]
    said = tried(service, "majority", tts={"n": 20, "budget": {"total_tokens": 200}}, **{
        "thinking_token_budget": 30, "max_tokens": None})  # fmt: skip
    assert said["usage"]["completion_tokens"] <= 200
    assert said["tts"]["degraded"] and "token budget" in said["tts"]["stopped"]
    idle(service)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_the_engine(service, stream):
    body = asked(CHAT, max_tokens=1800, thinking_token_budget=1700, min_thinking_tokens=1700,
                 stream=stream, tts={"strategy": "majority", "n": 8})  # fmt: skip
    before = service.metric("s1_strategy_aborted_tokens_total")

    def ask():
        with pytest.raises(httpx.TimeoutException):
            httpx.post(f"{service.url}{CHAT}", json=body, timeout=httpx.Timeout(1.0, read=1.0))
            time.sleep(1)

    if stream:
        with httpx.stream("POST", f"{service.url}{CHAT}", json=body, timeout=60) as response:
            assert response.status_code == 200
            lines = response.iter_lines()
            next(lines)
            assert service.num_running() == 8
    else:
        ask()
    left = time.monotonic()
    idle(service)
    assert time.monotonic() - left < 2
    line = [one for one in service.lines() if one.get("strategy") == "majority"][-1]
    assert line["stopped"] == "the client has left" and line["aborted"] == 8
    assert service.metric("s1_strategy_aborted_tokens_total") > before
    assert service.post(CHAT, asked(CHAT)).status_code == 200


@pytest.mark.parametrize("judge", ["dead", *JUDGES])
def test_a_judge_elsewhere_may_be_dead_or_talk_nonsense(bank, judge):
    body = asked(CHAT, model="bank", temperature=0.7, seed=5, max_tokens=100)
    tts = {"strategy": "best-of-n", "n": 3, "verifier": judge, "return_candidates": True}
    said = bank.post(CHAT, body | {"tts": tts}).json()
    assert said["choices"][0]["message"]["content"]
    is_good = judge == "yes"
    assert said["tts"]["degraded"] != is_good
    assert [c["score"] for c in said["tts"]["candidates"]] == [1.0 if is_good else None] * 3


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("strategy", ["best-of-n", "beam"])
def test_a_reward_model_may_answer_nonsense(bank, reward, strategy):
    body = asked(CHAT, model="bank", temperature=0.7, seed=5, max_tokens=100)
    body |= {"min_thinking_tokens": 20, "thinking_token_budget": 30}
    tts = {"strategy": strategy, "n": 4, "verifier": reward}
    said = bank.post(CHAT, body | {"tts": tts}).json()
    assert said["choices"][0]["message"]["content"]
    assert said["tts"]["degraded"] != (reward == "right"), said["tts"]
    assert said["tts"]["tokens"]["verifier"] == 0


NOT_BY_STEPS = {
    "tools": [TOOL], "response_format": FORMAT, "logprobs": True, "stop": "x",
    "frequency_penalty": 1, "presence_penalty": 1, "repetition_penalty": 1.5,
    "stop_token_ids": [5], "logit_bias": {"5": 3}, "min_tokens": 5, "ignore_eos": True,
    "include_stop_str_in_output": True, "truncate_prompt_tokens": 5,
}  # fmt: skip


@pytest.mark.parametrize(("key", "value"), NOT_BY_STEPS.items())
def test_a_search_over_steps_says_what_it_cannot(bank, key, value):
    body = asked(CHAT, model="bank", max_tokens=100, tts={"strategy": "beam", "n": 4})
    found = bank.post(CHAT, body | {key: value})
    assert found.status_code == 400 and found.json()["error"]["param"] == key
    assert "beam searches over steps of thinking" in found.json()["error"]["message"]


def test_a_search_over_steps_lets_pass_what_asks_for_nothing(bank):
    idle = {"response_format": {"type": "text"}, "frequency_penalty": 0, "tool_choice": "none"}
    body = asked(CHAT, model="bank", max_tokens=100, tts={"strategy": "beam", "n": 4}, **idle)
    assert bank.post(CHAT, body).status_code == 200


def test_an_answer_that_is_given_is_a_verifier(bank):
    body = asked(CHAT, model="bank", temperature=1.0, seed=5, max_tokens=100)
    tts = {"strategy": "best-of-n", "n": 8, "reference": "3"}
    said = bank.post(CHAT, body | {"tts": tts}).json()
    assert not said["tts"]["degraded"] and "3" in said["choices"][0]["message"]["content"]


@pytest.mark.slow
def test_strategies_share_the_engine_fairly_and_too_many_are_turned_away(model_folder, tmp_path):
    flags = ("--name", "tiny", "--strategy_slots", "4", "--strategy_requests", "2")
    with serving(model_folder, tmp_path, *flags) as server:
        many = asked(CHAT, temperature=1.0, max_tokens=200, thinking_token_budget=150,
                     min_thinking_tokens=150)  # fmt: skip
        with _at_work(server, many, 24) as lines:
            assert max(server.num_running() for _ in range(8)) == 4
            small = server.post(CHAT, many | voting(2)).json()
            assert small["tts"]["finished"] == 2 and server.num_running() > 0, "it came first"
            with _at_work(server, many, 24):
                busy = server.post(CHAT, many | voting(2))
            assert busy.status_code == 429 and busy.headers["retry-after"] == "1"
            assert "2 strategies are at work" in busy.json()["error"]["message"]
            told = [line for line in lines if line.startswith("data: ")]
        assert json.loads(told[-2].removeprefix("data: "))["tts"]["finished"] == 24
        _drained(server, many)


@contextmanager
def _at_work(server, body, n):
    """A strategy that is surely being served: its stream has begun, and goes on."""
    body = body | voting(n) | {"stream": True}
    with httpx.stream("POST", f"{server.url}{CHAT}", json=body, timeout=60) as response:
        lines = response.iter_lines()
        next(lines)
        yield lines


def _drained(server, body):
    """SIGTERM while a strategy streams: it ends as it should."""
    ended, begun = [], threading.Event()

    def stream():
        body["tts"] = {"strategy": "majority", "n": 8}
        with httpx.stream(
            "POST", f"{server.url}{CHAT}", json=body | {"stream": True}, timeout=60
        ) as response:
            for line in response.iter_lines():
                begun.set()
                ended.append(line)

    thread = threading.Thread(target=stream)
    thread.start()
    assert begun.wait(30)
    server.process.send_signal(signal.SIGTERM)
    thread.join(60)
    assert server.process.wait(30) == 0
    lines = [line for line in ended if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]" and '"selected"' in lines[-2]
    assert "Traceback" not in server.log.read_text()


def test_ask_shows_the_winner_and_how_it_came_about(bank, capsys):
    question, options = "How many r in raspberry?", {"max_tokens": 200, "strategy": "majority:n=3"}
    client.main(AskConfig(question=question, endpoint=bank.url, seed=3, **options))
    said = capsys.readouterr()
    whole = tried(bank, "majority", tts={"n": 3}, temperature=1.0, model="bank",
                  max_tokens=200)  # fmt: skip
    assert whole["choices"][0]["message"]["content"].split() == said.out.split()[-len(
        whole["choices"][0]["message"]["content"].split()):]  # fmt: skip
    assert "majority: 3 samples voted" in " ".join(said.err.split())
    with proxied(bank.url) as other:  # which knows no strategies
        client.main(AskConfig(question=question, endpoint=other.url, seed=3, **options))
        assert len(other.bodies) == 3 and "tts" not in other.bodies[0]
    elsewhere = capsys.readouterr()
    assert elsewhere.out == said.out and "majority: 3 samples voted" in " ".join(
        elsewhere.err.split()
    )
    with pytest.raises(UserError, match="unknown"):
        client.main(AskConfig(question=question, endpoint=bank.url, strategy="vote"))


@dataclass(frozen=True, kw_only=True)
class Walk:
    """One path, step by step."""

    name: ClassVar[str] = "walk"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    def decide(self, known):
        last = max((int(sample.id) for sample in known), default=-1)
        if last >= 0 and known[str(last)].is_live:
            return WAIT
        if last >= 0 and known[str(last)].result.end != "open":
            return Decision(answer=self.best(known))
        parent = str(last) if last >= 0 else None
        return Decision(start=(Step(id=str(last + 1), parent=parent, max_tokens=16),))

    def best(self, known):
        return next((Choice(id=s.id, why="the end") for s in known if s.has_answered), None)


@pytest.mark.parametrize(
    "fields",
    [{}, {"thinking_token_budget": 40}, {"thinking_token_budget": 45, "num_extends": 2},
     {"min_thinking_tokens": 50, "max_tokens": 120}],
)  # fmt: skip
def test_steps_over_http_are_one_answer_in_parts(service, fields):
    """A greedy path comes to what the service answers at once, token for token."""
    model = open_model(str(service.log.parent / "model"))
    voice = Voice(
        format=model.format, codec=model.text, stop_ids=model.stop_ids, context=2048,
        answer_tokens=16,
    )  # fmt: skip
    body = asked(CHAT, messages=[{"role": "user", "content": "So 3. Wait"}], **fields)

    async def walked():
        asked_for = read(Dialect.CHAT, body, set(body), 1)
        session = Session(Walk(), Limits(), Known())
        poster = HttpPoster(service.url)
        route = Route(poster=poster, model="tiny")
        ask = Ask(client=Client.of(asked_for, least=25), routes={None: route}, voice=voice)
        await HttpDriver(session, ask).run()
        await poster.close()
        return session

    session = asyncio.run(walked())
    assert session.outcome.choice is not None, [s.failure for s in session.known]
    path = session.known.path(session.outcome.choice.id)
    whole = service.post(CHAT, body).json()
    (plain,) = whole["choices"]
    found = winner(session.known, path[-1].id)
    assert len(path) > 1
    assert (found["message"]["reasoning"] or "") == (plain["message"]["reasoning"] or "")
    # vLLM holds a character back whose bytes end early.
    assert found["message"]["content"].rstrip("\ufffd") == plain["message"]["content"].rstrip()
    assert found["thinking"] == plain["thinking"]
    assert found["finish_reason"] == plain["finish_reason"]
    assert session.tokens.total >= whole["usage"]["completion_tokens"]


def test_the_prompt_of_usage_is_the_clients_own_whatever_is_written_under_it(bank):
    body = asked(CHAT, model="bank", temperature=0.7, seed=5, max_tokens=100)
    plain = bank.post(CHAT, body).json()["usage"]["prompt_tokens"]
    for strategy in ("majority", "self-refine", "rsa", "fuse"):
        tts = {"strategy": strategy, **SMALL.get(strategy, {})}
        said = bank.post(CHAT, body | {"tts": tts}).json()
        assert said["usage"]["prompt_tokens"] == plain, strategy


def test_what_aborted_samples_thought_is_counted(service):
    tts = {"n": 6, "return_candidates": True}
    said = tried(service, "shortest", tts=tts, max_tokens=400, min_thinking_tokens=100)
    cards = said["tts"]["candidates"]
    lost = [card for card in cards if card["state"] == "aborted"]
    assert len(cards) == said["tts"]["started"] and len(lost) == said["tts"]["aborted"] > 0
    assert all(card["thinking_tokens"] > 0 for card in lost if card["tokens"] > 1), cards
    thought = said["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert thought == sum(card["thinking_tokens"] for card in cards)


def test_the_log_of_a_client_that_left_before_any_byte_says_499(service):
    body = asked(CHAT, max_tokens=1800, thinking_token_budget=1700, min_thinking_tokens=1700)
    before = len(service.lines())
    with pytest.raises(httpx.TimeoutException):
        httpx.post(f"{service.url}{CHAT}", json=body | voting(2), timeout=1)
    idle(service)
    told = [one for one in service.lines()[before:] if one.get("strategy") == "majority"]
    assert [one["status"] for one in told] == [499]


FORCED = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}


@pytest.mark.parametrize("fields", [{}, {"stop": ["a", "e", " "]}, FORCED], ids=str)
def test_an_answer_without_text_is_as_in_a_plain_reply(service, fields):
    body = asked(CHAT, temperature=1.0, seed=2, max_tokens=150, thinking_token_budget=10, **fields)
    plain = service.post(CHAT, body).json()["choices"][0]["message"]
    message = service.post(CHAT, body | voting(1)).json()["choices"][0]["message"]
    assert message["content"] == plain["content"]
    assert bool(message.get("tool_calls")) == bool(plain.get("tool_calls")) == ("tools" in fields)
