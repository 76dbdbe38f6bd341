"""Token entropies at many temperatures, from an engine in this process or from a server that chats.

One sample of each prompt at each temperature, thinking left alone. What was measured is on disk at
once. Gives None where logprobs cannot be had.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from s1_core import cli
from s1_core.errors import UserError
from s1_core.line_log import LineLog
from s1_serve.completions import CompletionRequest, Sampling
from s1_serve.endpoint import Endpoint, Unavailable
from s1_serve.evaluate.calibrate.turn import entropy
from s1_serve.evaluate.run import threads
from s1_serve.evaluate.run.chats import CHAT
from s1_serve.evaluate.run.policies import seeded
from s1_serve.evaluate.run.tokens import Speech

NUM_TOP = 20
"""logprobs of a token: what servers give unless told otherwise"""
Tops = list[list[Sequence[float]]]
"""of each sample, of each token"""
Measure = Callable[[Sequence[str], float], Tops]


def measured(
    measure: Measure,
    questions: Sequence[str],
    temperatures: Sequence[float],
    folder: Path,
    inputs: Mapping[str, Any],
) -> list[float]:
    """Give the mean token entropy at each temperature; `inputs` are what shapes the samples."""
    text = json.dumps({**inputs, "questions": list(questions), "num_top": NUM_TOP}, sort_keys=True)
    log = LineLog.open(folder / f"turn-{hashlib.sha256(text.encode()).hexdigest()[:32]}.jsonl")
    try:
        known = dict(filter(None, map(_entry, log.read())))
        for temperature in cli.progress(temperatures, "entropies", total=len(temperatures)):
            if temperature not in known:
                known[temperature] = _mean(measure(questions, temperature), temperature)
                log.append({"temperature": temperature, "entropy": known[temperature]})
        return [known[temperature] for temperature in temperatures]
    finally:
        log.close()


def in_process(engine: Any, speech: Speech, max_tokens: int, seed: int) -> Measure:
    """Draw on an engine (s1_serve.engine.Engine)."""

    def measure(questions: Sequence[str], temperature: float) -> Tops:
        waiting = [
            CompletionRequest(
                prompt_ids=prompt,
                max_tokens=min(max_tokens, engine.context - len(prompt)),
                stop_ids=speech.stop_ids,
                sampling=Sampling(temperature=temperature, seed=seeded(seed, "turn", at)),
            )
            for at, prompt in enumerate(map(speech.prompt, questions))
        ]
        names = [engine.open(one, num_top=NUM_TOP, keeps_tops=True) for one in waiting]
        found: dict[str, list[Sequence[float]]] = {}
        try:
            while len(found) < len(names):
                for news in engine.poll():
                    if news.result is not None:
                        found[news.name] = list(news.tops)
        finally:
            engine.close(names)
        return [found[name] for name in names]

    return measure


def at_endpoint(endpoint: Endpoint, max_tokens: int, seed: int, concurrency: int) -> Measure:
    """Draw at a server that chats."""

    def ask(job: tuple[int, str, float]) -> list[Sequence[float]]:
        at, question, temperature = job
        body = {
            "model": endpoint.model,
            "messages": [{"role": "user", "content": question}],
            "temperature": temperature,
            "seed": seeded(seed, "turn", at),
            "max_tokens": max_tokens,
            "logprobs": True,
            "top_logprobs": NUM_TOP,
        }
        reply = endpoint.call("POST", CHAT, body)
        content = (reply["choices"][0].get("logprobs") or {}).get("content") or []
        return [[float(one["logprob"]) for one in each["top_logprobs"]] for each in content]

    def measure(questions: Sequence[str], temperature: float) -> Tops:
        jobs = [(at, question, temperature) for at, question in enumerate(questions)]
        with ThreadPoolExecutor(concurrency) as pool:
            return list(pool.map(lambda job: threads.patient(ask, job), jobs))

    return measure


def gives_logprobs(measure: Measure, question: str) -> bool:
    """Try one sample: a server may refuse logprobs, or leave them out."""
    try:
        (tops,) = measure([question], 1.0)
    except Unavailable:
        raise
    except (UserError, KeyError, IndexError, TypeError):
        return False
    return any(len(each) > 1 for each in tops)


def _mean(samples: Tops, temperature: float) -> float:
    sums = [entropy(tops, temperature) for tops in samples]
    tokens = sum(count for _, count in sums)
    return sum(total for total, _ in sums) / tokens if tokens else 0.0


def _entry(line: bytes) -> tuple[float, float] | None:
    try:
        found = json.loads(line)
        return float(found["temperature"]), float(found["entropy"])
    except (ValueError, KeyError, TypeError):
        return None
