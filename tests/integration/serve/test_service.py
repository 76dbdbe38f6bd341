"""The plain OpenAI server as a process: endpoint and engine agree, SIGTERM ends it cleanly."""

import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from integration.serve.test_engine import BUDGETS, forced, prompts
from s1_core.errors import UserError
from s1_serve import client, service
from s1_serve.budget import loop
from s1_serve.config import AskConfig
from s1_serve.endpoint import Endpoint

START_S = 300


@pytest.fixture(scope="module")
def server(model_folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "s1_serve.service", "--model", str(model_folder)]
    command += ["--port", str(port), "--serve.kv_cache_gib", "0.01", "--serve.max_num_seqs", "16"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health").is_success:
                break
        except httpx.HTTPError:
            time.sleep(0.5)
    assert process.poll() is None, process.stderr.read()
    yield process, url
    if process.poll() is None:
        process.kill()
    process.wait()


@pytest.mark.engine
@pytest.mark.multiprocess
def test_a_server_forces_budgets_as_the_engine_does_and_ends_cleanly(server, engine, capfd):
    process, url = server
    endpoint = Endpoint(f"{url}/v1")
    assert (endpoint.context, set(endpoint.stop_ids())) == (512, set(engine.model.stop_ids))
    asked = prompts(engine, 3)
    assert [endpoint.decode(ids) for ids in asked] == [engine.model.text.decode(p) for p in asked]
    for budget in BUDGETS:
        remote = loop.drive(forced(engine, asked, budget), endpoint)
        assert remote == loop.drive(forced(engine, asked, budget), engine)

    capfd.readouterr()
    client.main(AskConfig(question="1 + 1?", endpoint=url, budget=20, extends=1, max_tokens=60))
    assert "1 extend)" in capfd.readouterr().err
    with pytest.raises(UserError, match="answers 400"):
        endpoint._call("POST", "/v1/completions", {"model": endpoint.model, "max_tokens": -5})
    with pytest.raises(UserError, match=f"{process.args[6]} is in use"):
        service.check_port("127.0.0.1", int(process.args[6]))

    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert "Traceback" not in process.stderr.read()


def test_nobody_at_the_endpoint_is_one_line():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(UserError, match="no answer from"):
            Endpoint(url)
