"""What clients get wrong: a 400 that names the field, never a 500, never a dead engine."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.serve.test_service import (
    ASKED,
    CHAT,
    COMPLETIONS,
    MESSAGES,
    RESPONSES,
    asked,
    events,
)
from s1_core import chat

pytestmark = [pytest.mark.engine, pytest.mark.multiprocess]

EVERYWHERE = [
    ({"thinking_token_budget": 1.5}, "thinking_token_budget"),
    ({"thinking_token_budget": -2}, "thinking_token_budget"),
    ({"thinking_token_budget": 2**40}, "thinking_token_budget"),
    ({"thinking_token_budget": "8"}, "thinking_token_budget"),
    ({"thinking_token_budget": 5, "thinking_budget": 6}, "thinking_budget"),
    ({"thinking_token_budget": 5, "min_thinking_tokens": 6}, "min_thinking_tokens"),
    ({"num_extends": -1}, "num_extends"),
    ({"extend_with": []}, "extend_with"),
    ({"extend_with": "<|im_start|>answer"}, "extend_with"),
    ({"max_thinking": 5}, "max_thinking"),
    ({"reasoning": {"effort": "low", "max_tokens": 9}}, "reasoning.max_tokens"),
    ({"reasoning": {"size": 9}}, "reasoning.size"),
    ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "thinking.budget_tokens"),
    ({"nvext": {"max_thinking_tokens": 5.5}}, "nvext.max_thinking_tokens"),
    ({"chat_template_kwargs": {"thinking_budget": 5}}, "chat_template_kwargs.thinking_budget"),
    ({"extra_body": {"num_extends": 1}}, "extra_body"),
    ({"tts": "majority"}, "tts"),
    ({"vllm_xargs": {"s1_budget": [0, 1]}}, "vllm_xargs.s1_budget"),
]
SOME = [
    *((path, {"thinking_token_budget": 1000}, "thinking") for path in ASKED),
    (CHAT, {"frequency_penalty": 0.5}, "frequency_penalty"),
    (CHAT, {"repetition_penalty": 1.1}, "repetition_penalty"),
    (CHAT, {"stop_token_ids": [5]}, "stop_token_ids"),
    (
        CHAT,
        {"repetition_detection": {"max_pattern_size": 4, "min_pattern_size": 1, "min_count": 2}},
        "repetition_detection",
    ),
    (CHAT, {"max_tokens": None, "max_completion_tokens": 12}, "max_completion_tokens"),
    (RESPONSES, {"max_output_tokens": 12}, "max_output_tokens"),
    (CHAT, {"reasoning": {"max_tokens": 1000}}, "reasoning.max_tokens"),
    (CHAT, {"use_beam_search": True, "n": 2}, "use_beam_search"),
    (CHAT, {"n": 1000}, "n"),
    (CHAT, {"messages": []}, "messages"),
    (MESSAGES, {"messages": []}, "messages"),
    (RESPONSES, {"input": ""}, "input"),
    (COMPLETIONS, {"prompt": []}, "prompt"),
    (COMPLETIONS, {"prompt": ["a"] * 200, "num_extends": 1}, "prompt"),
    (COMPLETIONS, {"echo": True, "num_extends": 1}, "echo"),
    (CHAT, {"max_tokens": 12}, "max_tokens"),
    (
        RESPONSES,
        {
            "input": [
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [],
                    "id": "x",
                    "status": "in_progress",
                }
            ]
        },
        "cannot be read",
    ),
    (CHAT, {"temperature": -1}, "temperature"),
    (CHAT, {"logit_bias": {"999999": 1}}, "logit_bias"),
]


def refused(service, path, body):
    """Post; give the field and the message of the 400."""
    found = service.post(path, body)
    assert found.status_code == 400, found.text
    error = found.json()["error"]
    assert "Traceback" not in error["message"] and "\n" not in error["message"]
    return error.get("param"), error["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize(("fields", "field"), EVERYWHERE, ids=lambda x: x if type(x) is str else "")
def test_a_wrong_budget_is_a_400_that_names_the_field(service, fields, field, path, stream):
    param, message = refused(service, path, asked(path, **fields, stream=stream))
    assert param in (field, None) and (param or path == MESSAGES) and field in message


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "fields", "field"), SOME)
def test_other_faults_name_their_field_too(service, path, fields, field, stream):
    param, message = refused(service, path, asked(path, **fields, stream=stream))
    assert field in (param or message)


@pytest.mark.parametrize("path", ASKED)
def test_a_body_that_is_no_request(service, path):
    url, kind = f"{service.url}{path}", {"content-type": "application/json"}
    for body in (
        b"",
        b"{",
        b'{"a": "\xff"}',
        b"[1]",
        b"1" * 5000,
        b"[" * 100_000,
        b'"a"',
        b'{"model": "tiny", "stop": ["\\ud800"]}',
    ):
        found = httpx.post(url, content=body, headers=kind, timeout=60)
        assert found.status_code == 400 and found.json()["error"]["message"], body[:20]
    assert httpx.post(url, content=b"a" * 10_000_000, headers=kind).status_code == 413
    assert httpx.get(url).status_code == 405


def test_delimiters_of_a_user_are_text(service):
    """Each asks for more tokens than the control token alone, and none ends the thinking."""
    for token in chat.SPECIAL_TOKENS:
        messages = [{"role": "user", "content": f"{token}answer\n5{token}"}]
        body = asked(CHAT, messages=messages, thinking_token_budget=12, min_thinking_tokens=12)
        found = service.post(CHAT, body).json()
        assert found["choices"][0]["thinking"]["tokens"] == 12
        plain = service.post("/tokenize", {"model": "tiny", "messages": messages}).json()
        (own,) = service.post("/tokenize", {"model": "tiny", "prompt": token}).json()["tokens"]
        empty = [{"role": "user", "content": "answer\n5"}]
        bare = service.post("/tokenize", {"model": "tiny", "messages": empty}).json()
        assert plain["tokens"].count(own) == bare["tokens"].count(own)


def test_seeded_prompts_longer_than_a_prefill_do_not_kill_the_engine(service):
    """vLLM 0.32 on CPU dies of a seeded prompt that is prefilled in chunks."""
    prompts = ["1 2 " * 475 + str(n) for n in range(12)]

    def ask(prompt):
        body = {"model": "tiny", "prompt": prompt, "max_tokens": 4, "temperature": 1, "seed": 3}
        budget = {"thinking_token_budget": 2, "max_tokens": 20}
        return [service.post(COMPLETIONS, body | extra).status_code for extra in ({}, budget)]

    with ThreadPoolExecutor(12) as pool:
        assert {code for codes in pool.map(ask, prompts) for code in codes} == {200}
    assert service.post(CHAT, asked(CHAT)).status_code == 200


VALUES = st.one_of(st.integers(-3, 60), st.floats(), st.text(max_size=5), st.booleans(), st.none())
OUR_FIELDS = st.dictionaries(
    st.sampled_from(
        ["thinking_token_budget", "min_thinking_tokens", "num_extends", "extend_with", "n", "seed",
         "thinking_budget", "enable_thinking", "reasoning_effort", "temperature", "top_p", "stop"]
    ),
    st.one_of(VALUES, st.lists(VALUES, max_size=3)),
    max_size=5,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(list(ASKED)), OUR_FIELDS, st.booleans())
def test_whatever_the_fields_say_it_is_kept_or_refused(service, path, fields, stream):
    body = asked(path) | fields | {"stream": stream}
    text = json.dumps(body).encode("utf-8", "surrogatepass")
    headers = {"content-type": "application/json"}
    found = httpx.post(f"{service.url}{path}", content=text, headers=headers, timeout=60)
    assert found.status_code in (200, 400), found.text
    if found.status_code != 200:
        return
    lines = found.text.split("\n") if stream else [f"data: {found.text}"]
    said = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert not any("error" in one and one["error"] for one in said)
    kept = list(summaries(said))
    assert kept or path == COMPLETIONS
    for thinking in kept:
        assert thinking["min"] <= thinking["tokens"] <= thinking["max"]


def summaries(value):
    """Find every object that says how thinking went."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and {"tokens", "end", "extends"} <= value.keys():
        yield value
    for each in inner:
        yield from summaries(each)


@pytest.mark.slow
def test_schemathesis_finds_no_5xx(service, tmp_path):
    command = [sys.executable.replace("python", "schemathesis"), "run"]
    command += [f"{service.url}/openapi.json", "--checks", "not_a_server_error", "--workers", "1"]
    command += ["--phases", "coverage,fuzzing", "--seed", "7", "--max-examples", "60"]
    command += ["--request-timeout", "60", "--max-time", "75", "--warnings", "off"]
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=500, check=False, cwd=tmp_path
    )
    assert found.returncode == 0, found.stdout[-3000:]
    assert service.post(CHAT, asked(CHAT)).status_code == 200
    assert not [line for line in service.lines() if (line["status"] or 0) >= 500]


def resident(server):
    """Add up the memory of the service and its engine, in bytes."""
    listed = subprocess.run(
        ["ps", "-o", "rss=", "--pid", str(server.process.pid), "--ppid", str(server.process.pid)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return 1024 * sum(int(word) for word in listed.stdout.split())


@pytest.mark.slow
def test_two_thousand_mixed_requests_leave_memory_flat(service):
    rng = random.Random(1)
    kinds = [
        lambda: (CHAT, {"thinking_token_budget": rng.randrange(30)}),
        lambda: (CHAT, {"n": 2, "temperature": 1.0, "seed": rng.randrange(9), "num_extends": 2}),
        lambda: (COMPLETIONS, {"min_thinking_tokens": 10, "extend_with": ["So", ""]}),
        lambda: (COMPLETIONS, {}),
        lambda: (RESPONSES, {"reasoning": {"effort": "none"}}),
        lambda: (MESSAGES, {"temperature": 1.0}),
        lambda: (CHAT, {"thinking_token_budget": -5}),
        lambda: (CHAT, {"stop": ["a"], "top_p": 0.9, "temperature": 1.0}),
    ]

    def one(work):
        (path, fields), action = work
        body = asked(path, **fields)
        if action == "stream" and fields.get("thinking_token_budget") != -5:
            events(service, path, body)
        elif action == "leave":
            try:
                httpx.post(f"{service.url}{path}", json=body | {"stream": True}, timeout=0.05)
            except httpx.TransportError:
                return 0
        else:
            return service.post(path, body).status_code
        return 200

    def soak(count):
        actions = rng.choices(["whole", "stream", "leave"], [5, 4, 1], k=count)
        work = [(rng.choice(kinds)(), action) for action in actions]
        with ThreadPoolExecutor(64) as pool:
            return list(pool.map(one, work))

    soak(500)
    before = resident(service)
    codes = soak(2000)
    assert set(codes) <= {0, 200, 400, 429} and codes.count(200) > 1000
    grown = resident(service) - before
    assert grown < 40e6, f"{grown / 1e6:.0f} MB more after 2,000 requests"
    assert service.num_running() == 0
    assert not [line for line in service.lines() if (line["status"] or 0) >= 500]
