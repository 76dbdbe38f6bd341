"""Strategies that a service of ours runs for an evaluation: whose samples they are, what fails."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest

from factories import question
from s1_core import chat
from s1_core.errors import Interrupted
from s1_serve import endpoint
from s1_serve.evaluate.config import EvaluateConfig
from s1_serve.evaluate.run import chats, served, sources, threads
from s1_serve.evaluate.run.runner import Run, Runner
from s1_serve.evaluate.samples import is_enforced
from s1_serve.evaluate.settings import Setting
from unit.serve.fake_model import TEXT
from unit.serve.told import told

MAJORITY = Setting(method="strategy", strategy="majority:n=2", temperature=0.7)
BOUND = Setting(method="strategy", strategy="majority:n=2", temperature=0.7, max=24)
BUDGET = Setting(method="budget", max=8)
FORMAT = chat.FORMATS["s1"]
ASKED = tuple(question(f"What is {n} + {n}?") for n in range(3))
TTS = told(started=2, finished=2)
FRUITLESS = {**TTS, "selected": None, "votes": {}, "stopped": "the deadline had come"}
FRUITLESS |= {"degraded": True, "finished": 0, "candidates": []}


@dataclass
class FakeService:
    """Answers chats at once; `card` is of its strategies, `thinking` of each choice."""

    card: dict[str, Any] = field(default_factory=lambda: {"strategies": ["majority"]})
    instance: str = "first"
    thinking: dict[str, Any] = field(default_factory=dict)
    failure: tuple[int, dict[str, Any]] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    timeouts_s: list[float] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content or b"{}")
        path = request.url.path
        if path == "/v1/models":
            told = {"format": "s1", "manifest_sha256": "m", "engine": {}, "instance": self.instance}
            card = {"id": "s1", "max_model_len": 1000, "thinking": told, "tts": self.card}
            return httpx.Response(200, json={"data": [card]})
        if path == "/tokenize":
            return httpx.Response(200, json={"tokens": TEXT.encode(body["prompt"])})
        self.asked.append(body)
        self.timeouts_s.append(request.extensions["timeout"]["read"])
        if self.failure is not None and "tts" in body:
            return httpx.Response(self.failure[0], json=self.failure[1])
        return httpx.Response(200, json=self._chat(body))

    def _chat(self, body: dict[str, Any]) -> dict[str, Any]:
        told = {"tokens": 5, "end": "natural", "extends": 0, "min": 0}
        told |= {"max": body.get("thinking_token_budget", 400)} | self.thinking
        message = {"content": "Answer: 7", "reasoning": "hm"}
        choice = {"message": message, "finish_reason": "stop", "thinking": told}
        usage = {"completion_tokens": 30}
        return {"choices": [choice], "usage": usage} | ({"tts": TTS} if "tts" in body else {})


@pytest.fixture
def service(monkeypatch):
    found = FakeService()
    transport = httpx.MockTransport(found.answer)
    monkeypatch.setattr(endpoint.httpx, "Client", partial(httpx.Client, transport=transport))
    monkeypatch.setattr(threads, "PAUSES_S", (0.0,) * 4)
    return found


def opened(**changes):
    values = {"methods": ("budget",), "strategies": ("majority:n=2",), "concurrency": 1}
    return sources.opened(
        EvaluateConfig(endpoint="http://there", benchmark=("b",), out="o", **(values | changes))
    )


def ran(folder, *settings):
    source = opened()
    runner = Runner(source.answerer, folder, source.identity, 0)
    return [one.samples for one in runner.run([Run(each, "sums", ASKED) for each in settings])]


# Whose samples


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"card": {"identity": "a"}}, {"card": {"identity": "b"}}),
        ({"card": {"strategies": []}}, {"instance": "second"}),
        ({"card": {}}, {"card": {"identity": "b"}}),
    ],
    ids=["another identity", "a service that tells none", "one that begins to"],
)
def test_a_service_that_runs_strategies_otherwise_never_meets_old_samples(
    service, tmp_path, before, after
):
    vars(service).update(before)
    ran(tmp_path, BUDGET, MAJORITY)
    ran(tmp_path, BUDGET, MAJORITY)
    assert len(service.asked) == 6
    vars(service).update(after)
    ran(tmp_path, BUDGET, MAJORITY)
    assert len(service.asked) == 9, "the strategy is asked again, the budget is not"
    assert all("tts" in body for body in service.asked[6:])


def test_a_restart_alone_changes_nothing_where_the_service_says_what_it_is(service, tmp_path):
    service.card = {"identity": "a"}
    ran(tmp_path, MAJORITY)
    service.instance = "second"
    ran(tmp_path, MAJORITY)
    assert len(service.asked) == 3


def test_an_evaluation_without_strategies_does_not_ask_how_they_would_run(service):
    before = opened(strategies=()).identity
    service.card, service.instance = {"identity": "b"}, "second"
    assert opened(strategies=()).identity == before


def test_samples_of_other_code_are_not_gone_on_from(service, tmp_path, monkeypatch):
    ran(tmp_path, MAJORITY)
    monkeypatch.setattr(sources, "STRATEGIES_VERSION", 99)
    ran(tmp_path, MAJORITY)
    assert len(service.asked) == 6
    assert opened().identity["strategies"]["version"] == 99


# What fails


def failed(status, **more):
    error = {"message": "no answer", "type": "timeout_error", "param": None, "code": status}
    return status, {"error": error | more.pop("error", {})} | more


@pytest.mark.parametrize("status", [502, 504])
def test_a_strategy_that_comes_to_nothing_is_a_wrong_answer_as_in_process(
    service, tmp_path, status
):
    service.failure = failed(status, error={"type": "strategy_error"}, tts=FRUITLESS)
    ((row, *_),) = ran(tmp_path, BOUND)
    assert len(service.asked) == 3, "it is asked once"
    assert (row.answer, row.end, row.finish_reason) == ("", "length", "length")
    assert (row.thinking_tokens, row.output_tokens, row.max) == (0, 0, 24)
    assert row.total_tokens == 30 and row.is_degraded
    told = json.loads(row.decision)
    assert told["selected"] is None and told["why"] == "the deadline had come"


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_service_in_trouble_is_asked_again_and_its_samples_stay_open(service, tmp_path, status):
    service.failure = failed(status)
    with pytest.raises(Interrupted):
        ran(tmp_path, MAJORITY)
    service.failure = None
    ((row, *_),) = ran(tmp_path, MAJORITY)
    assert row.answer == "Answer: 7"


@pytest.mark.parametrize(("card", "wanted"), [({}, 3600), ({"timeout_s": 9000}, 9000)])
def test_a_strategy_may_take_as_long_as_the_service_lets_it(service, tmp_path, card, wanted):
    service.card = card
    ran(tmp_path, BUDGET, MAJORITY)
    assert sorted(service.timeouts_s) == [endpoint.TIMEOUT_S] * 3 + [wanted] * 3


# Which budget


def test_the_budget_in_force_is_the_chosen_answers_own(service, tmp_path):
    """A larger model of a cascade has more room, a schedule gives its samples less."""
    service.thinking = {"max": 900, "tokens": 800}
    ((row, *_),) = ran(tmp_path, MAJORITY)
    assert row.max == 900 and is_enforced([row])
    service.thinking = {"max": 20, "tokens": 20}
    ((row, *_),) = ran(tmp_path, BOUND)
    assert row.max == 20 and is_enforced([row])


def test_but_not_more_than_was_asked_for(service, tmp_path):
    service.thinking = {"max": 25, "tokens": 5}
    ((row, *_),) = ran(tmp_path, BOUND)
    assert not row.is_kept and not is_enforced([row])


# What is said of it


def test_of_a_search_all_steps_of_the_answer_count():
    steps = [
        {"id": "s0", "parent": None, "tokens": 5},
        {"id": "s1", "parent": "s0", "tokens": 7},
        {"id": "x1", "parent": "s0", "tokens": 9},
    ]
    reply = FakeService()._chat({"tts": {}})
    found = chats._read(reply, FORMAT, 40)
    assert served.chosen(found, TTS | {"selected": "s1", "candidates": steps}).output_tokens == 12


def test_thinking_that_was_still_open_had_no_room():
    reply = FakeService(thinking={"end": "open"})._chat({"tts": {}})
    assert served.chosen(chats._read(reply, FORMAT, 40), TTS).end == "length"
