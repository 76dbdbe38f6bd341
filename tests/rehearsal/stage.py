"""A stage on loopback: the Bento that its pins name, behind one address, replaced as in a rollout.

The forwarder stands in for the cluster's Service, this file for its Deployment: the new server is
up before it gets a connection, the old one ends its answers after it gets no more.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from forwarder import Forwarder
from s1_core import artifacts
from s1_core.errors import S1Error
from s1_core.processes import die_with_parent
from s1_serve.release import pins
from s1_serve.release.pins import Pins

START_S = 240
DRAIN_S = 60
PRESTOP_S = 1.0
"""between the last new connection and SIGTERM, as preStop does"""
_END = partial(die_with_parent, by=signal.SIGTERM)  # BentoML's supervisor ends its worker itself
SMALL = (
    "--serve.kv_cache_gib",
    "0.05",
    "--serve.max_num_seqs",
    "32",
    "--serve.answer_reserve",
    "24",
)


def digest_of(folder: Path) -> str:
    """Hash a Bento's files: the digest that its image would have a name by."""
    total = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


@dataclass
class Server:
    """A Bento served in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def stop(self) -> int:
        """Let running answers end, as the kubelet does; give the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DRAIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Stage:
    """What `just deploy` would keep equal to an overlay."""

    def __init__(self, name: str, clone: Path, bentos: Path, work: Path) -> None:
        self.name, self._clone, self._bentos, self._work = name, clone, bentos, work
        self.forwarder = Forwarder(0)  # nobody is there yet
        self.server: Server | None = None
        # A server hears that its parent has died when the thread that started it has.
        self._thread, self._is_closing = ThreadPoolExecutor(1), threading.Event()
        self.num_starts = 0

    @property
    def url(self) -> str:
        return self.forwarder.url

    def sync(self) -> None:
        """Serve what the overlay pins, by a rolling replacement."""
        self._thread.submit(self._replace).result()

    def _replace(self) -> None:
        wanted = pins.parse((self._clone / pins.path(self.name)).read_text(), self.name)
        fresh = self._start(wanted)
        former, self.server = self.server, fresh
        self.forwarder.switch(fresh.port)
        if former is not None:
            time.sleep(PRESTOP_S)
            code = former.stop()
            assert code == 0, f"the old server of {self.name} left with {code}"

    def close(self) -> None:
        """Stop the server and the forwarder."""
        self._is_closing.set()
        self._thread.shutdown()  # one that is being started is stopped there
        if self.server is not None:
            self.server.stop()
        self.forwarder.close()

    def _start(self, wanted: Pins) -> Server:
        """Start the pinned image on the pinned model, after looking whether they are those."""
        digest = wanted.image.partition("@sha256:")[2]
        bento = self._bentos / digest
        assert digest_of(bento) == digest, f"{bento} is not the image that {self.name} pins"
        model = self._clone / "artifacts" / "releases" / "models" / wanted.model
        assert artifacts.load(model, kind="model").sha256 == wanted.model
        port = _free_port()
        self.num_starts += 1
        log = self._work / f"{self.name}-{self.num_starts}.log"
        flags = ["--model", str(model), "--name", "s1", "--open", *SMALL]
        variables = {
            "S1_SERVICE": json.dumps(flags),
            "BENTOML_HOME": str(self._work / f"bentoml-{self.name}"),
            "BENTOML_CONTAINERIZED": "true",
            "S1_RELEASE": wanted.release,
        }
        command = [sys.executable, "-m", "bentoml", "serve", str(bento)]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        command += ["--timeout-graceful-shutdown", str(DRAIN_S)]
        with log.open("wb") as sink:
            process = subprocess.Popen(
                command, stdout=sink, stderr=sink, env=os.environ | variables, preexec_fn=_END
            )
        server = Server(process, port, log)
        _await_ready(server, self._is_closing)
        return server


def _await_ready(server: Server, is_closing: threading.Event) -> None:
    deadline = time.monotonic() + START_S
    while not is_closing.is_set() and time.monotonic() < deadline and server.process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{server.port}/readyz", timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    server.stop()
    raise S1Error(f"a server did not come up: {server.log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
