"""A process reward model from the bank to the endpoint: trained, exported, served, asked."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from integration.serve.server import started
from s1_core import artifacts, chat
from s1_core.records import GradedSteps
from s1_core.steps import passages
from s1_serve.strategies.verifiers import reward_client

FORMAT = chat.format_named("s1")
LEAST_AUROC = 0.65
"""of steps; 0.73 was measured on 2026-11-26, chance is 0.5. It is mostly the position of a step."""


def verb(module: str, *flags: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `just steps`, `just train --config tiny-prm` and `just export` leave."""
    out = tmp_path_factory.mktemp("prm")
    verb("s1_data.steps", "--out", f"{out}/steps", "--num_questions", "2000")
    verb("s1_data.steps", "--out", f"{out}/held", "--split", "heldout", "--num_questions", "200")
    tiny = ("--config", "tiny-prm", "--data", f"{out}/steps", "--out", f"{out}/run")
    verb("s1_train.fit", *tiny)
    verb("s1_train.export", "--run", f"{out}/run", "--out", f"{out}/model")
    return out


@pytest.fixture(scope="module")
def held(folder: Path) -> list[GradedSteps]:
    return artifacts.load(folder / "held", kind="steps").read("steps", GradedSteps)


@pytest.fixture(scope="module")
def scores(folder: Path, held: list[GradedSteps]) -> list[list[float] | None]:
    from s1_serve.reward_engine import RewardEngine

    engine = RewardEngine(str(folder / "model"))
    return engine.score([(row.question, "".join(row.steps)) for row in held])


def auroc(is_right: list[bool], scores: list[float]) -> float:
    """Give the chance that a right one scores above a wrong one; ties count half."""
    right = [s for s, r in zip(scores, is_right, strict=True) if r]
    wrong = [s for s, r in zip(scores, is_right, strict=True) if not r]
    above = sum((a > b) + 0.5 * (a == b) for a in right for b in wrong)
    return above / (len(right) * len(wrong))


@pytest.mark.slow
def test_it_has_learnt_of_its_labels_what_holds_for_unseen_problems(
    held: list[GradedSteps], scores: list[list[float] | None]
) -> None:
    assert [len(one or ()) for one in scores] == [len(row.steps) for row in held]
    flat = [score for one in scores for score in one or ()]
    assert auroc([right for row in held for right in row.are_right], flat) > LEAST_AUROC


@pytest.mark.slow
def test_its_scores_are_the_two_logits_that_training_taught(
    folder: Path, held: list[GradedSteps], scores: list[list[float] | None]
) -> None:
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    words = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()
    labels = artifacts.load(folder / "model", kind="reward").config["label_ids"]
    for row, found in list(zip(held, scores, strict=True))[:12]:
        ids: list[int] = []
        ends: list[int] = []
        for passage in passages(chat.generation_prompt(FORMAT, row.question), row.steps):
            ids += words.encode(passage, add_special_tokens=False).ids
            ends.append(len(ids) - 1)
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, ends][:, labels]
        assert found == pytest.approx(logits.softmax(-1)[:, 1].tolist(), abs=1e-3)


@pytest.fixture
def server(folder: Path, unused_port: int):  # type: ignore[no-untyped-def]
    command = [sys.executable, "-m", "s1_serve.reward", "--model", str(folder / "model")]
    command += ["--port", str(unused_port), "--serve.kv_cache_gib", "0.05"]
    running = started(command, folder / "reward.log", unused_port, {}, path="/health")
    yield running
    running.process.kill()
    running.process.wait()


@pytest.mark.slow
def test_the_endpoint_gives_the_same_scores_and_leaves_when_told(
    server, held: list[GradedSteps], scores: list[list[float] | None]
) -> None:  # type: ignore[no-untyped-def]
    async def ask() -> list[list[float]]:
        async with httpx.AsyncClient(timeout=60) as client:
            ask = reward_client.scorer(client, server.url, None, FORMAT)
            return [await ask(row.question, "".join(row.steps)) for row in held[:20]]

    for found, expected in zip(asyncio.run(ask()), scores, strict=False):
        assert found == pytest.approx(expected, abs=1e-3)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0


@pytest.mark.slow
@pytest.mark.parametrize("module", ["s1_serve.service", "s1_serve.reward"])
def test_neither_server_takes_the_others_model(module: str, folder: Path) -> None:
    takes_answers = module == "s1_serve.service"
    model = folder / "model" if takes_answers else artifacts.embedded()
    command = [sys.executable, "-m", module, "--model", str(model), "--port", str(_free_port())]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 2
    assert "reward" in done.stderr and "Traceback" not in done.stderr


TOKENS = b'{"tokens": [5, 9, 6, 9]}'
"""of two steps, a token each and its mark"""


class Nonsense(BaseHTTPRequestHandler):
    """A server that answers `content` to /pooling, and `tokens` to /tokenize."""

    content, tokens = b"", TOKENS

    def do_POST(self) -> None:
        said = self.tokens if self.path == "/tokenize" else self.content
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>", "does not answer as a reward model"),
        (b'{"data": []}', "does not answer as a reward model"),
        (json.dumps({"data": [{"data": [[0.5, 0.5]]}]}).encode(), "1 rows for 2 tokens"),
        (b'{"data": [{"data": [[0.5, NaN], [0.5, 0.5]]}]}', "no probabilities"),
        (b'{"data": [{"data": [[0.5, 7], [0.5, 0.5]]}]}', "no probabilities"),
    ],
)
def test_what_is_no_probability_a_step_is_refused(content: bytes, said: str) -> None:
    assert said in refusal({"content": content})


@pytest.mark.parametrize(
    ("tokens", "said"),
    [(b"<html>", "no token ids"), (b'{"tokens": [1, 2, 3]}', "does not know the mark")],
)
def test_a_tokenizer_without_the_mark_is_refused(tokens: bytes, said: str) -> None:
    assert said in refusal({"tokens": tokens})


def refusal(answers: dict[str, bytes]) -> str:
    """Ask a server that gives these answers for scores; give the line that refuses them."""
    handler = type("Handler", (Nonsense,), answers)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as nonsense:
        Thread(target=nonsense.serve_forever, daemon=True).start()
        with pytest.raises(reward_client.RewardError) as refused:
            _score(f"http://127.0.0.1:{nonsense.server_port}")
        nonsense.shutdown()
    return str(refused.value)


def test_a_dead_server_is_one_line() -> None:
    with pytest.raises(reward_client.RewardError, match="is it up") as refused:
        _score(f"http://127.0.0.1:{_free_port()}")
    assert "\n" not in str(refused.value)


def _score(url: str) -> list[float]:
    async def ask() -> list[float]:
        async with httpx.AsyncClient(timeout=10) as client:
            return await reward_client.score(client, url, None, "prompt", ["a.\n", "b"])

    return asyncio.run(ask())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
