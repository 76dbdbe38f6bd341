"""A plain request's wait for its first token beside 16 majority@8 requests, on the embedded model.

Plain requests are streamed one after the other, alone and under load in turns; the load is 16
clients who ask for majority@8 again and again. Medians over all rounds.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from s1_core import artifacts
from s1_data import bank

TITLE = "first token of plain requests beside 16 majority@8 requests (embedded model)"
_NUM_PLAIN, _ROUNDS, _CLIENTS, _PAUSE_S = 20, 4, 16, 0.1
_QUESTIONS = [question.question for question in bank.generate(110, 2, "heldout")]


def rows() -> list[dict[str, Any]]:
    """Give a row unloaded and one under load."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from integration.serve.server import serving

    with tempfile.TemporaryDirectory(prefix="s1-bench-") as folder:
        flags = ("--serve.max_num_seqs=256", "--serve.kv_cache_gib=0.5", "--name=bench")
        with serving(artifacts.embedded(), Path(folder), *flags) as server:
            alone, loaded, answered = asyncio.run(_measure(server.url))
    unloaded = statistics.median(alone)
    return [
        {"load": name, "requests": len(waits), "p50 s": statistics.median(waits),
         "p90 s": statistics.quantiles(waits, n=10)[-1],
         "p50 against unloaded": statistics.median(waits) / unloaded,
         "majority@8 answered": number}
        for name, waits, number in (("none", alone, 0), ("16 x majority@8", loaded, answered))
    ]  # fmt: skip


async def _measure(url: str) -> tuple[list[float], list[float], int]:
    alone: list[float] = []
    loaded: list[float] = []
    answered = 0
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=limits) as client:
        await _plain(client, 0)
        for number in range(_ROUNDS):
            alone += await _waits(client, number)
            tasks = [asyncio.create_task(_ask(client, at)) for at in range(_CLIENTS)]
            await asyncio.sleep(1)
            loaded += await _waits(client, number)
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            broken = [d for d in done if not isinstance(d, asyncio.CancelledError)]
            assert not broken, broken[0]
            answered = sum(_ANSWERED.values())
            await asyncio.sleep(1)
    return alone, loaded, answered


_ANSWERED: dict[int, int] = {}


async def _ask(client: httpx.AsyncClient, who: int) -> None:
    """Ask for majority@8 until cancelled."""
    for number in itertools.count(who, _CLIENTS):
        body = _body(number) | {"tts": {"strategy": "majority", "n": 8}, "temperature": 0.7}
        reply = await client.post("/v1/chat/completions", json=body | {"seed": number})
        assert reply.status_code == 200, reply.text
        _ANSWERED[who] = _ANSWERED.get(who, 0) + 1


async def _waits(client: httpx.AsyncClient, round_: int) -> list[float]:
    waits = []
    for number in range(_NUM_PLAIN):
        waits.append(await _plain(client, 7 * number + round_))
        await asyncio.sleep(_PAUSE_S)
    return waits


async def _plain(client: httpx.AsyncClient, number: int) -> float:
    """Stream one answer to its end; give the seconds to its first token."""
    begun, first = time.monotonic(), 0.0
    body = _body(number) | {"stream": True, "temperature": 0}
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                first = first or time.monotonic() - begun
    return first


def _body(number: int) -> dict[str, Any]:
    question = _QUESTIONS[number % len(_QUESTIONS)]
    return {"model": "bench", "messages": [{"role": "user", "content": question}]}
