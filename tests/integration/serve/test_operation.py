"""The service under keys, limits, signals and a dead engine; each test starts its own."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import pytest

from integration.serve import tiny
from integration.serve.server import SMALL, children, serving
from integration.serve.test_service import CHAT, MESSAGES, asked, events
from processes import alive
from s1_core import chat
from s1_core.errors import UserError
from s1_serve.model import open_model
from s1_serve.server import keys

pytestmark = [pytest.mark.engine, pytest.mark.multiprocess]

KEYS = ("0123456789abcdef-one", "0123456789abcdef-two")
LONG = {"max_tokens": 400, "thinking_token_budget": 300, "min_thinking_tokens": 300}


@pytest.mark.slow
def test_keys_limits_and_a_drain_that_loses_nothing(model_folder, tmp_path):
    file = tmp_path / "keys"
    file.write_text("\n".join(KEYS))
    flags = ["--api_keys_file", str(file), "--max_answers=4", "--max_body_mib=0.01"]
    flags += ["--name=tiny", "--drain_s=40"]
    with serving(model_folder, tmp_path, *flags, S1_API_KEYS="0123456789abcdef-env") as server:
        key = {"authorization": f"Bearer {KEYS[0]}"}
        _keys(server)
        _limits(server, key)
        _drained(server, key)
        assert "raspberry" not in server.log.read_text()


def _keys(server):
    body = asked(CHAT)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Bearer {KEYS[0]}x"}):
        found = server.post(CHAT, body, headers=headers)
        assert found.status_code == 401 and "no valid API key" in found.json()["error"]["message"]
        assert httpx.get(f"{server.url}/v1/models", headers=headers).status_code == 401
    for key in (*KEYS, "0123456789abcdef-env"):
        for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
            assert server.post(CHAT, body, headers=headers).status_code == 200
    wrong = server.post(MESSAGES, asked(MESSAGES), headers={"x-api-key": "wrong"})
    assert wrong.json()["error"]["type"] == "authentication_error"
    for path in ("/livez", "/readyz", "/metrics"):
        assert httpx.get(f"{server.url}{path}", timeout=60).status_code == 200


def _limits(server, key):
    large = asked(CHAT, messages=[{"role": "user", "content": "a" * 20_000}])
    found = server.post(CHAT, large, headers=key)
    assert found.status_code == 413 and "larger than 10485 bytes" in found.text

    def chunks():
        yield from [b'{"model": "', *[b"a" * 4096] * 4]

    found = httpx.post(f"{server.url}{CHAT}", content=chunks(), headers=key)
    assert found.status_code == 413
    too_long = asked(CHAT, messages=[{"role": "user", "content": "1234567 " * 200}])
    assert server.post(CHAT, too_long, headers=key).status_code == 400
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda _: server.post(CHAT, asked(CHAT, **LONG), headers=key),
                                range(12)))  # fmt: skip
    codes = [reply.status_code for reply in replies]
    assert set(codes) == {200, 429} and codes.count(200) >= 4
    busy = replies[codes.index(429)]
    assert busy.headers["retry-after"] == "1" and "the limit is 4" in busy.text
    assert server.post(CHAT, asked(CHAT, n=5), headers=key).status_code == 400


def _drained(server, key):
    """SIGTERM while four streams run: all end as they should, new ones are refused."""
    for _ in range(5):  # clients that leave at once hold nothing up
        left = asked(CHAT, **LONG) | {"stream": True}
        with pytest.raises(httpx.TimeoutException):
            httpx.post(f"{server.url}{CHAT}", json=left, headers=key, timeout=0.002)
        time.sleep(0.5)
    started, ended = threading.Barrier(5), []

    def stream():
        with httpx.stream(
            "POST", f"{server.url}{CHAT}", json=asked(CHAT, **LONG) | {"stream": True}, headers=key
        ) as response:
            lines = response.iter_lines()
            next(lines)
            started.wait()
            ended.append([line for line in lines if line.startswith("data: ")])

    threads = [threading.Thread(target=stream) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait(60)
    engine = children(server.process.pid)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.url}/readyz", timeout=5)
    for thread in threads:
        thread.join(60)
    assert len(ended) == 4 and all(lines[-1] == "data: [DONE]" for lines in ended)
    for lines in ended:
        last = json.loads(lines[-2].removeprefix("data: "))["choices"][0]
        assert last["finish_reason"] in ("stop", "length") and last["thinking"]["tokens"] == 300
    assert server.process.wait(15) == 0
    assert not any(alive(pid) for pid in engine)
    assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_a_dead_engine_ends_the_service(model_folder, tmp_path):
    with serving(model_folder, tmp_path, "--name=tiny") as server:
        threading.Timer(0.5, lambda: [_kill(pid) for pid in children(server.process.pid)]).start()
        body = asked(CHAT, **LONG, n=8)
        while True:
            try:
                if server.post(CHAT, body).status_code != 200:
                    break
            except httpx.TransportError:
                break
        died, code = time.monotonic(), 200
        while code == 200:
            assert time.monotonic() - died < 3, "ready, and the engine is dead"
            try:
                code = httpx.get(f"{server.url}/readyz", timeout=5).status_code
            except httpx.TransportError:
                break
        assert code in (200, 503)
        assert server.process.wait(30) == 1
        assert "the engine died" in server.log.read_text()


def _kill(pid):
    subprocess.run(["kill", "-9", str(pid)], check=False)


@pytest.mark.slow
def test_the_think_format_is_served_too(tmp_path):
    model = tiny.build(tmp_path / "think", "think")
    with serving(model, tmp_path, "--name=tiny") as server:
        for fields in ({}, {"thinking_token_budget": 15}, {"min_thinking_tokens": 20}):
            body = asked(CHAT, **fields)
            (choice,) = server.post(CHAT, body).json()["choices"]
            said = {"reasoning": "", "content": ""}
            for part in [c["delta"] for k in events(server, CHAT, body) for c in k["choices"]]:
                for name in said:
                    said[name] += part.get(name) or ""
            assert said == {name: choice["message"][name] or "" for name in said}
            thinking = choice["thinking"]
            assert fields.get("min_thinking_tokens", 0) <= thinking["tokens"] <= thinking["max"]
            assert (thinking["end"] == "budget") == ("Final Answer:" in said["content"])
            assert "</think>" not in said["reasoning"]


@pytest.mark.slow
def test_a_tokenizer_that_is_read_as_another_one_is_refused_by_the_probe(tmp_path, unused_port):
    model = tiny.build(tmp_path / "other", splits_digits=False)
    command = [sys.executable, "-m", "s1_serve.service", "--model", str(model), *SMALL]
    command += ["--port", str(unused_port)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert found.returncode == 2, found.stderr
    (line,) = [text for text in found.stderr.splitlines() if text.startswith("s1: ")]
    assert "the engine's tokenizer reads a prompt of" in line and "Traceback" not in found.stderr


@pytest.mark.parametrize("output", ["free", "early", "kept"])
def test_the_probe_looks_at_every_token(model_folder, output):
    """A stand-in for the engine answers as one would that forces nothing, or too early."""
    from s1_serve.server import probe

    model = open_model(str(model_folder))
    cut, some = model.text.encode(chat.cut_string(model.format)), model.text.encode("abcdefgh")
    ids = {"free": some * 4, "early": (*some[:2], *cut, *some), "kept": (*some[:4], *cut, *some)}

    class Engine:
        def get_tokenizer(self):
            encode = model.text.encode
            return SimpleNamespace(encode=lambda text, add_special_tokens: list(encode(text)))

        async def generate(self, *_):
            yield SimpleNamespace(outputs=[SimpleNamespace(token_ids=list(ids[output]))])

    if output == "kept":
        asyncio.run(probe.check(Engine(), model))
    else:
        with pytest.raises(UserError, match="the engine does not keep a budget: after 4 tokens"):
            asyncio.run(probe.check(Engine(), model))


def test_what_saves_a_start_is_said_in_one_line(model_folder, tmp_path):
    (tmp_path / "short").write_text("abc\n")
    (tmp_path / "none").write_text("\n")
    broken = tmp_path / "broken"
    subprocess.run(["cp", "-r", str(model_folder), str(broken)], check=True)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    for flags, line in {
        ("--host=0.0.0.0",): "open to others and there are no API keys",
        (f"--api_keys_file={tmp_path / 'short'}",): "fewer than 16 characters",
        (f"--api_keys_file={tmp_path / 'none'}",): "holds no key",
        (f"--api_keys_file={tmp_path / 'gone'}",): "cannot be read",
        (f"--model={broken}",): "was altered or cut short",
        ("--drain_s=0",): "drain_s is 0",
        ("--serve.kv_cache_gib=0.0001",): "no room for the KV cache",
    }.items():
        command = [sys.executable, "-m", "s1_serve.service", "--model", str(model_folder), *flags]
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert found.returncode == 2, found.stderr
        said = [text for text in found.stderr.splitlines() if text.startswith("s1: ")]
        assert len(said) == 1 and line in said[0], found.stderr


def test_keys_come_from_file_and_variable(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"{KEYS[0]}\n\n {KEYS[1]} \n")
    both = keys.read_keys(str(file), f"{'x' * 16},{'y' * 16}")
    assert set(both) == {*KEYS, "x" * 16, "y" * 16}
    assert keys.read_keys(None, None) == ()
    with pytest.raises(UserError, match="fewer than 16"):
        keys.read_keys(None, "short")
