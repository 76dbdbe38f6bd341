"""Live load: streams that are opened all the time, each once, by clients that never retry."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field

import httpx

_QUESTION = "How many r in raspberry?"
_TIMEOUT_S = 120


@dataclass
class Load:
    """Clients that stream chat answers from one address until they are told to stop."""

    url: str
    num_clients: int = 4
    whole: int = 0
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._client) for _ in range(self.num_clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.await_answers(self.num_clients)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def await_answers(self, count: int) -> None:
        """Wait until so many more requests have ended, whole or lost."""
        wanted, deadline = self.num_ended + count, time.monotonic() + _TIMEOUT_S
        while self.num_ended < wanted and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.num_ended >= wanted, f"no {count} requests ended within {_TIMEOUT_S} s"

    @property
    def num_ended(self) -> int:
        return self.whole + len(self.lost)

    def _client(self) -> None:
        while not self._stop.is_set():
            try:
                fault = self._stream()
            except (httpx.HTTPError, ValueError, LookupError) as error:
                fault = f"{type(error).__name__}: {error}"
            with self._lock:
                self.whole += not fault
                if fault:
                    self.lost.append(fault)

    def _stream(self) -> str:
        """Ask once, over a connection of its own; say what was missing from the answer."""
        body = {
            "model": "s1",
            "messages": [{"role": "user", "content": _QUESTION}],
            "stream": True,
            "num_extends": 3,
        }
        url, is_ended, is_done = f"{self.url}/v1/chat/completions", False, False
        with (
            httpx.Client(timeout=_TIMEOUT_S) as client,
            client.stream("POST", url, json=body) as got,
        ):
            if got.status_code != 200:
                return f"status {got.status_code}"
            for line in got.iter_lines():
                is_done = is_done or line == "data: [DONE]"
                if line.startswith("data: {"):
                    choices = json.loads(line.removeprefix("data: ")).get("choices") or [{}]
                    is_ended = is_ended or bool(choices[0].get("finish_reason"))
        return "" if is_ended and is_done else "the stream ended in the middle"
