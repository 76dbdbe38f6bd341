"""Compare answers in worker processes that the kernel kills when their time is up.

Run as `python -m s1_core.grading` a worker reads one JSON pair a line and writes one verdict a
line. SIGALRM keeps its default action there: it ends even a computation that never leaves C.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from s1_core import answers

_MEMORY_BYTES = 4 << 30


def run(pairs: Sequence[tuple[str, str]], workers: int, timeout_s: float) -> list[bool]:
    """Compare (answer, gold) pairs by algebra; no verdict in time counts as wrong."""
    local = threading.local()
    started: list[_Worker] = []

    def compare(pair: tuple[str, str]) -> bool:
        if not hasattr(local, "worker"):
            local.worker = _Worker(timeout_s)
            started.append(local.worker)
        return bool(local.worker.compare(pair))

    executor = ThreadPoolExecutor(max(1, min(workers, len(pairs))))
    try:
        return list(executor.map(compare, pairs))
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        for worker in started:
            worker.stop()


class _Worker:
    """One process, started again after each death."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._process = self._start()

    def compare(self, pair: tuple[str, str]) -> bool:
        if self._process.poll() is not None:
            self._process = self._start()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(pair) + "\n")
        self._process.stdin.flush()
        verdict = self._process.stdout.readline()
        if verdict:
            return verdict.strip() == "true"
        code = self._process.wait()
        if code > 0:
            raise RuntimeError(f"a grading process failed with exit code {code} on {pair}")
        return False

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "s1_core.grading", str(self._timeout_s)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"a grading process did not start (exit code {process.wait()})")
        return process


def _serve(timeout_s: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    answers.are_equivalent("1+1", "2")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _say("ready")
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        try:
            verdict = answers.are_equivalent(*json.loads(line), limit_s=None)
        except (MemoryError, RecursionError):
            verdict = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        _say(json.dumps(verdict))


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve(float(sys.argv[1]))
