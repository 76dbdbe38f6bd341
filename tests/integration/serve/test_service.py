"""The service as a process: what HTTP says is what the engine in this process answers."""

from __future__ import annotations

import json
import time

import httpx
import pytest
from anthropic import Anthropic
from openai import OpenAI

from integration.serve.test_engine import BUDGETS, forced, planned, prompts
from s1_core import chat
from s1_core.errors import UserError
from s1_serve import client
from s1_serve import service as verb
from s1_serve.budget import loop
from s1_serve.completions import Sampling
from s1_serve.config import AskConfig, ThinkingBudget
from s1_serve.endpoint import Endpoint

pytestmark = [pytest.mark.engine, pytest.mark.multiprocess]

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
HI = [{"role": "user", "content": "How many r in raspberry?"}]
ASKED = {
    CHAT: {"messages": HI, "max_tokens": 60},
    COMPLETIONS: {"prompt": "How many r?", "max_tokens": 60},
    RESPONSES: {"input": HI[0]["content"], "max_output_tokens": 60},
    MESSAGES: {"messages": HI, "max_tokens": 60},
}


def asked(path, **fields):
    return {"model": "tiny", "temperature": 0, **ASKED[path], **fields}


def events(service, path, body):
    """Read a stream's events; the stream ends as its dialect says."""
    found = []
    with httpx.stream("POST", f"{service.url}{path}", json=body | {"stream": True}) as response:
        assert response.status_code == 200, response.read()
        for line in response.iter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                found.append(json.loads(line.removeprefix("data: ")))
    return found


def wanted(engine, question, budget, sampling=None, max_tokens=60):
    """Answer in this process; give thinking, answer and what the response must say of them."""
    text = engine.model.text
    prompt = text.encode(chat.generation_prompt(engine.model.format, question))
    plan = planned(engine, prompt, budget, sampling, max_tokens)
    (outcome,) = engine.answer([prompt], [plan])
    thinking = text.decode(outcome.thinking_ids).strip()
    answer = text.decode(outcome.ending_ids + outcome.answer_ids)
    answer = answer.partition(chat.end_string(engine.model.format))[2].lstrip()
    summary = {
        "tokens": len(outcome.thinking_ids), "end": outcome.end, "extends": outcome.extends,
        "max": plan.maximum, "min": plan.minimum,
    }  # fmt: skip
    # vLLM holds a character back whose bytes end early.
    return thinking, answer.rstrip("\ufffd"), summary


FIELDS = [
    ({}, ThinkingBudget()),
    ({"thinking_token_budget": 20}, ThinkingBudget(max=20)),
    ({"thinking_token_budget": 0}, ThinkingBudget(max=0)),
    ({"thinking_token_budget": 25, "num_extends": 3}, ThinkingBudget(max=25, extends=3)),
    ({"min_thinking_tokens": 15, "extend_with": ["So", ""]},
     ThinkingBudget(min=15, extend_with=["So", ""])),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "budget"), FIELDS)
@pytest.mark.parametrize("question", ["How many r in raspberry?", "So 3. Wait"])
def test_chat_is_the_engine_whole_and_in_a_stream(service, engine, question, fields, budget):
    thinking, answer, summary = wanted(engine, question, budget)
    body = asked(CHAT, messages=[{"role": "user", "content": question}], **fields)
    whole = service.post(CHAT, body).json()
    (choice,) = whole["choices"]
    message = choice["message"]
    assert (message["reasoning"] or "", message["content"] or "") == (thinking, answer)
    assert message["reasoning_content"] == message["reasoning"]
    assert choice["thinking"] == summary
    usage = whole["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == summary["tokens"]

    chunks = events(service, CHAT, body | {"stream_options": {"include_usage": True}})
    said = {"reasoning": "", "reasoning_content": "", "content": ""}
    for chunk in chunks:
        for each in chunk["choices"]:
            for name in said:
                said[name] += each["delta"].get(name) or ""
    assert said == {"reasoning": thinking, "reasoning_content": thinking, "content": answer}
    assert [c["thinking"] for k in chunks for c in k["choices"] if "thinking" in c] == [summary]
    assert {k: chunks[-1]["usage"][k] for k in chunks[-1]["usage"]} | usage == usage
    assert chunks[-1]["choices"] == []


def test_forced_text_is_marked_in_a_stream(service):
    said, extends = {True: "", False: ""}, 0
    for seed in range(8):
        body = asked(CHAT, thinking_token_budget=40, num_extends=2, temperature=1.0, seed=seed)
        chunks = [c for k in events(service, CHAT, body) for c in k["choices"]]
        for choice in chunks:
            said[choice.get("forced", False)] += choice["delta"].get("reasoning") or ""
        extends += sum(c["thinking"]["extends"] for c in chunks if "thinking" in c)
    assert extends == said[True].count("Wait") > 0 and len(said[True]) < len(said[False])


@pytest.mark.parametrize("path", ASKED)
def test_every_dialect_keeps_the_budget_and_says_so(service, path):
    body = asked(path, thinking_token_budget=12, min_thinking_tokens=12)
    whole = service.post(path, body).json()
    say = {
        CHAT: lambda r: (r["choices"][0]["thinking"], r["choices"][0]["message"]["content"]),
        COMPLETIONS: lambda r: (r["choices"][0]["thinking"], r["choices"][0]["text"]),
        RESPONSES: lambda r: (r["output"][-1]["thinking"], r["output"][-1]["content"][0]["text"]),
        MESSAGES: lambda r: (r["thinking"], r["content"][-1]["text"]),
    }
    summary, answer = say[path](whole)
    assert (summary["tokens"], summary["end"], summary["max"]) == (12, "budget", 12)
    assert "Final Answer:" in answer
    last = {
        CHAT: lambda es: es[-1]["choices"][0]["thinking"],
        COMPLETIONS: lambda es: es[-1]["choices"][0]["thinking"],
        RESPONSES: lambda es: es[-1]["response"]["output"][-1]["thinking"],
        MESSAGES: lambda es: next(e for e in es if e["type"] == "message_delta")["thinking"],
    }
    text = {
        CHAT: lambda e: e["choices"][0]["delta"].get("content") or "",
        COMPLETIONS: lambda e: e["choices"][0]["text"],
        RESPONSES: lambda e: e["delta"] if e["type"] == "response.output_text.delta" else "",
        MESSAGES: lambda e: e.get("delta", {}).get("text", ""),
    }
    found = events(service, path, body)
    assert last[path](found) == summary
    assert "".join(map(text[path], found)) == answer


def test_the_openai_and_anthropic_clients_work_unchanged(service):
    openai = OpenAI(base_url=f"{service.url}/v1", api_key="none")
    budget = {"thinking_token_budget": 12, "num_extends": 2}
    plain = openai.chat.completions.create(model="tiny", messages=HI, max_tokens=60, temperature=0)
    assert plain.choices[0].message.content is not None
    reply = openai.chat.completions.create(
        model="tiny", messages=HI, temperature=0, max_tokens=60, extra_body=budget
    )
    stream = openai.chat.completions.create(
        model="tiny", messages=HI, temperature=0, max_tokens=60, extra_body=budget, stream=True
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(pieces) == reply.choices[0].message.content
    assert reply.choices[0].thinking["max"] == 12
    assert reply.usage.completion_tokens_details.reasoning_tokens <= 12
    answer = openai.responses.create(
        model="tiny", input="hi", max_output_tokens=60, reasoning={"effort": "none"}
    )
    assert answer.output_text and answer.usage.output_tokens_details.reasoning_tokens == 0

    anthropic = Anthropic(base_url=service.url, api_key="none")
    message = anthropic.messages.create(
        model="tiny", messages=HI, max_tokens=60,
        extra_body={"thinking_token_budget": 12, "temperature": 0},
    )  # fmt: skip
    assert [block.type for block in message.content] == ["thinking", "text"]
    with anthropic.messages.stream(
        model="tiny", messages=HI, max_tokens=60, thinking={"type": "disabled"}
    ) as streamed:
        assert streamed.get_final_text().startswith("Final Answer:")


def test_several_answers_are_requests_of_their_own(service):
    body = asked(CHAT, n=3, temperature=1.0, seed=5, thinking_token_budget=20)
    whole = service.post(CHAT, body).json()
    alone = [service.post(CHAT, body | {"n": 1, "seed": 5 + n}).json() for n in range(3)]
    said = [choice["message"]["content"] for choice in whole["choices"]]
    assert said == [one["choices"][0]["message"]["content"] for one in alone]
    assert len(set(said)) == 3 and [c["index"] for c in whole["choices"]] == [0, 1, 2]
    tokens = [choice["thinking"]["tokens"] for choice in whole["choices"]]
    assert whole["usage"]["completion_tokens_details"]["reasoning_tokens"] == sum(tokens)
    streamed = ["", "", ""]
    for chunk in events(service, CHAT, body):
        for choice in chunk["choices"]:
            streamed[choice["index"]] += choice["delta"].get("content") or ""
    assert streamed == said

    batch = asked(COMPLETIONS, prompt=["a", "b"], n=2, thinking_token_budget=8, temperature=1.0)
    choices = service.post(COMPLETIONS, batch).json()["choices"]
    assert [c["index"] for c in choices] == [0, 1, 2, 3]
    assert all(c["thinking"]["tokens"] <= 8 for c in choices)


def test_a_seed_binds_the_answer_and_its_absence_frees_it(service, engine):
    sampling = Sampling(temperature=0.8, top_p=0.9, seed=11)
    _, answer, _ = wanted(engine, HI[0]["content"], ThinkingBudget(max=20), sampling)
    body = asked(CHAT, temperature=0.8, top_p=0.9, seed=11, thinking_token_budget=20)
    assert service.post(CHAT, body).json()["choices"][0]["message"]["content"] == answer
    free = {service.post(CHAT, body | {"seed": None}).text.split('"content":')[1] for _ in range(3)}
    assert len(free) == 3


def test_stop_strings_wait_for_the_answer(service):
    whole = service.post(CHAT, asked(CHAT, thinking_token_budget=30)).json()["choices"][0]
    thinking, content = whole["message"]["reasoning"], whole["message"]["content"]
    common = sorted(set(thinking) & set(content[len("Final Answer:") :]) - set(" \n\ufffd"))
    assert common, "no letter is in both: choose another question"
    for stop in common[:3]:
        for stream in (False, True):
            body = asked(CHAT, thinking_token_budget=30, stop=[stop, "zzzz"])
            if stream:
                chunks = [c for k in events(service, CHAT, body) for c in k["choices"]]
                said = "".join(c["delta"].get("content") or "" for c in chunks)
                thought = "".join(c["delta"].get("reasoning") or "" for c in chunks)
                reason = chunks[-1]["finish_reason"]
            else:
                choice = service.post(CHAT, body).json()["choices"][0]
                said, thought = choice["message"]["content"], choice["message"]["reasoning"]
                reason = choice["finish_reason"]
            head = content.split(stop)[0]
            assert (said or "", thought, reason) == (head, thinking, "stop")
    first = asked(CHAT, thinking_token_budget=30, stop=content[0])
    assert not service.post(CHAT, first).json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_can_be_left_out_of_every_dialect(service, stream):
    for path in (CHAT, RESPONSES, MESSAGES):
        body = asked(path, thinking_token_budget=15, reasoning={"exclude": True})
        plain = service.post(path, asked(path, thinking_token_budget=15)).json()
        thinking = {
            CHAT: lambda r: r["choices"][0]["message"]["reasoning"],
            RESPONSES: lambda r: r["output"][0]["content"][0]["text"],
            MESSAGES: lambda r: r["content"][0]["thinking"],
        }[path](plain)
        found = events(service, path, body) if stream else service.post(path, body).json()
        texts = list(leaves(found))
        assert thinking not in texts and thinking not in "".join(texts)
        assert len(thinking) > 10 and '"tokens"' in json.dumps(found)


def leaves(value):
    """Give every string of what a JSON value holds, but for the keys."""
    if isinstance(value, str):
        yield value
    inside = value.values() if isinstance(value, dict) else value
    for inner in inside if isinstance(value, dict | list) else ():
        yield from leaves(inner)


def test_what_would_show_left_out_thinking_is_refused(service):
    for fields in ({"logprobs": True}, {"return_token_ids": True}):
        body = asked(CHAT, reasoning={"exclude": True}, **fields)
        assert service.post(CHAT, body).json()["error"]["param"] in fields
    body = asked(RESPONSES, reasoning={"exclude": True}, enable_response_messages=True)
    assert service.post(RESPONSES, body).json()["output_messages"] is None


def test_events_may_hold_the_mark_of_events(service):
    body = asked(RESPONSES, instructions="say data: {x", thinking_token_budget=9)
    assert events(service, RESPONSES, body)[-1]["type"] == "response.completed"


def test_a_continued_message_is_plain_whole_and_in_a_stream(service):
    last = {"role": "assistant", "content": f"{chat.FORMATS['s1'].thinking_start}\nhmm 1 2"}
    body = asked(CHAT, messages=[*HI, last], max_tokens=20)
    body |= {"continue_final_message": True, "add_generation_prompt": False}
    whole = service.post(CHAT, body).json()
    message = whole["choices"][0]["message"]
    assert message["content"] and not message["reasoning"] and "thinking" not in whole["choices"][0]
    assert whole["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0
    chunks = [c["delta"] for k in events(service, CHAT, body) for c in k["choices"]]
    assert "".join(delta.get("content") or "" for delta in chunks) == message["content"]
    assert not any(delta.get("reasoning") for delta in chunks)


def test_logprobs_come_with_a_budget(service):
    body = asked(CHAT, thinking_token_budget=9, logprobs=True, top_logprobs=2)
    whole = service.post(CHAT, body).json()
    found = whole["choices"][0]["logprobs"]["content"]
    assert len(found) == whole["usage"]["completion_tokens"]
    assert all(len(one["top_logprobs"]) == 2 for one in found)


SCHEMA = {
    "type": "object",
    "properties": {"a": {"enum": ["x", "y"]}},
    "required": ["a"],
    "additionalProperties": False,
}
# Of an object random weights write white space without end.
ENUM = {"name": "s", "schema": {"enum": ["x", "y"]}, "strict": True}
FORMAT = {"type": "json_schema", "json_schema": ENUM}


@pytest.mark.parametrize("stream", [False, True])
def test_structured_output_rules_the_answer_alone_over_several_turns(service, stream):
    """Old delimiters in the history must not open the grammar while the new turn thinks."""
    fmt = chat.FORMATS["s1"]
    old = fmt.thinking_start + chat.completion(chat.render(fmt, "q", "t", '{"a": "y"}'))
    messages = [*HI, {"role": "assistant", "content": old}, *HI]
    for extra in ({}, {"reasoning": {"exclude": True}}, {"min_thinking_tokens": 25}):
        body = asked(CHAT, messages=messages, response_format=FORMAT, max_tokens=90, **extra)
        body["thinking_token_budget"] = 25
        if stream:
            chunks = [c for k in events(service, CHAT, body) for c in k["choices"]]
            content = "".join(c["delta"].get("content") or "" for c in chunks)
            summary = chunks[-1]["thinking"]
        else:
            choice = service.post(CHAT, body).json()["choices"][0]
            content, summary = choice["message"]["content"], choice["thinking"]
        assert json.loads(content) in ("x", "y")
        assert summary["tokens"] > 0 and summary["tokens"] >= extra.get("min_thinking_tokens", 0)
        assert "Final Answer:" not in content


def test_tools_are_called_behind_the_thinking(service):
    function = {"name": "add", "parameters": SCHEMA, "strict": True}
    tool = {"type": "function", "function": function}
    for choice in ("required", {"type": "function", "function": {"name": "add"}}):
        body = asked(CHAT, tools=[tool], tool_choice=choice, thinking_token_budget=10)
        body["parallel_tool_calls"] = False
        reply = service.post(CHAT, body | {"max_tokens": 120}).json()["choices"][0]
        (call, *_) = reply["message"]["tool_calls"]
        assert call["function"]["name"] == "add" and reply["message"]["reasoning"]
        assert json.loads(call["function"]["arguments"])["a"] in ("x", "y")
        streamed, name, arguments = events(service, CHAT, body | {"max_tokens": 120}), "", ""
        for part in [c["delta"] for k in streamed for c in k["choices"]]:
            for piece in part.get("tool_calls") or []:
                name += piece["function"].get("name") or ""
                arguments += piece["function"].get("arguments") or ""
        assert (name, json.loads(arguments)) == ("add", json.loads(call["function"]["arguments"]))
    body = asked(CHAT, tools=[tool], thinking_token_budget=10)
    assert "Final Answer:" not in service.post(CHAT, body).text


def test_an_endpoint_without_budgets_stays_what_vllm_is(service, engine, capfd, monkeypatch):
    """The loop over plain text completions answers as the engine in this process."""
    endpoint = Endpoint(f"{service.url}/v1")
    assert (endpoint.context, set(endpoint.stop_ids())) == (2048, set(engine.model.stop_ids))
    some = prompts(engine, 3)
    assert [endpoint.decode(ids) for ids in some] == [engine.model.text.decode(p) for p in some]
    for budget in BUDGETS:
        remote = loop.drive(forced(engine, some, budget), endpoint)
        assert remote == loop.drive(forced(engine, some, budget), engine)
    capfd.readouterr()
    spoken = []
    for keeps_budgets in (True, False):  # by the service itself, and by the loop around it
        monkeypatch.setattr(
            client, "Endpoint", lambda *a, keeps=keeps_budgets: _endpoint(*a, keeps_budgets=keeps)
        )
        client.main(
            AskConfig(question="1 + 1?", endpoint=service.url, budget=20, min=15, max_tokens=60)
        )
        out, err = capfd.readouterr()
        assert "Final Answer:" in out and " extend" in err
        spoken.append((out.rstrip(), err.rpartition(",")[0]))
    assert spoken[0][1] == spoken[1][1] and " answer tokens" in spoken[0][1]
    with pytest.raises(UserError, match="answers 400"):
        endpoint.call("POST", COMPLETIONS, {"model": endpoint.model, "max_tokens": -5})
    port = int(service.url.rpartition(":")[2])
    with pytest.raises(UserError, match=f"{port} is in use"):
        verb.bind("127.0.0.1", port)


def _endpoint(*arguments, keeps_budgets):
    endpoint = Endpoint(*arguments)
    assert endpoint.keeps_budgets
    endpoint.thinking = endpoint.thinking if keeps_budgets else None
    return endpoint


def test_a_client_that_leaves_frees_the_engine_within_a_second(service):
    body = asked(CHAT, max_tokens=400, thinking_token_budget=300, min_thinking_tokens=300, n=8)
    for stream in (True, False):
        deadline = time.monotonic() + 30
        try:
            with httpx.stream(
                "POST", f"{service.url}{CHAT}", json=body | {"stream": stream}, timeout=0.5
            ) as response:
                for _ in response.iter_lines():
                    break
        except httpx.ReadTimeout:
            pass
        left = time.monotonic()
        while service.num_running() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert time.monotonic() - left < 1.5, "a second, and what asking takes"
    assert service.post(CHAT, asked(CHAT)).status_code == 200


def test_what_the_log_and_the_metrics_say(service):
    before = {end: service.metric("s1_thinking_tokens_count") for end in ("all",)}
    headers = {"X-Request-Id": "mine-17"}
    body = asked(CHAT, thinking_token_budget=10, min_thinking_tokens=10)
    reply = service.post(CHAT, body, headers=headers)
    assert reply.headers["x-request-id"] == "mine-17"
    deadline, found = time.monotonic() + 5, []
    while not found and time.monotonic() < deadline:  # the line is written behind the answer
        found = [line for line in service.lines() if line["request_id"] == "mine-17"]
    (line,) = found
    assert line["status"] == 200 and line["thinking"][0]["tokens"] == 10
    assert line["completion_tokens"] == reply.json()["usage"]["completion_tokens"]
    assert "raspberry" not in service.log.read_text(), "a prompt is in the log"
    assert service.metric("s1_thinking_tokens_count") == before["all"] + 1
    events(service, CHAT, body)
    for name in ("s1_extends_total", "s1_budget_use_count", "s1_thinking_ends_total",
                 "s1_time_to_first_thinking_token_seconds_count",
                 "s1_time_to_first_answer_token_seconds_count",
                 "vllm:generation_tokens_total"):  # fmt: skip
        assert service.metric(name) > 0, name
    assert "bentoml_service_request_total" in httpx.get(f"{service.url}/metrics").text


def test_the_index_leads_to_the_page_and_probes_are_open(service):
    found = httpx.get(f"{service.url}/", follow_redirects=False)
    assert found.status_code == 307 and found.headers["location"] == "/ui"
    for path in ("/livez", "/readyz", "/healthz", "/metrics", "/v1/models", "/openapi.json"):
        assert httpx.get(f"{service.url}{path}", timeout=60).status_code == 200, path
    assert httpx.post(f"{service.url}/inference/v1/generate", json={}).status_code == 404


def test_nobody_at_the_endpoint_is_one_line(unused_port):
    with pytest.raises(UserError, match="no answer from"):
        Endpoint(f"http://127.0.0.1:{unused_port}")
