"""`just serve` as a process of its own, for tests that talk to it over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from processes import alive

START_S = 300
SMALL = (
    "--serve.kv_cache_gib",
    "0.03",
    "--serve.max_num_seqs",
    "16",
    "--serve.answer_reserve",
    "16",
)


@dataclass(frozen=True)
class Server:
    """A running service and where it writes."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, timeout=120, **options)

    def lines(self) -> list[dict[str, Any]]:
        """Read the JSON lines of its log."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{"]

    def metric(self, name: str) -> float:
        """Sum a metric over its labels."""
        rows = httpx.get(f"{self.url}/metrics", timeout=60).text.splitlines()
        return sum(float(row.split()[-1]) for row in rows if row.split("{")[0].split()[0] == name)

    def num_running(self) -> float:
        """Ask how many requests the engine works on."""
        return self.metric("vllm:num_requests_running") + self.metric("vllm:num_requests_waiting")


def started(
    command: list[str], log: Path, port: int, variables: dict[str, str], path: str = "/readyz"
) -> Server:
    """Start a server and wait until it is ready."""
    with log.open("wb") as sink:
        environment = os.environ | variables
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=environment)
    server = Server(process, f"http://127.0.0.1:{port}", log)
    _wait(server, path)
    return server


@contextmanager
def serving(model: Path, folder: Path, *flags: str, **variables: str) -> Iterator[Server]:
    """Start a service on a free port and wait until it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "s1_serve.service", "--model", str(model)]
    command += ["--port", str(port), *SMALL, *flags]
    variables = {"BENTOML_HOME": str(folder / "bentoml")} | variables
    server = started(command, folder / f"service-{port}.log", port, variables)
    try:
        yield server
    finally:
        process = server.process
        own = children(process.pid)
        if process.poll() is None:
            process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while any(map(alive, own)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not any(map(alive, own)), "the engine outlives a killed service"


def children(pid: int) -> list[int]:
    """List the processes that a process has started."""
    command = ["ps", "-o", "pid=", "--ppid", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


def _wait(server: Server, path: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if httpx.get(f"{server.url}{path}", timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    server.process.kill()
    raise AssertionError(server.log.read_text())
