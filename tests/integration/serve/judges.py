"""A server of judges and reward models that judge as they are told: well, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from s1_core import chat

STEP, MARK = 7, 9
"""what every step, and every mark behind one, is in tokens"""
SAYS = {"yes": "It is.\nYes", "nonsense": "Maybe 7/10?", "empty": ""}


class _Judge(BaseHTTPRequestHandler):
    """The first part of the path says how it judges; `refuses` and `cut` break off."""

    def do_GET(self) -> None:
        self._send(b'{"data": [{"id": "judge"}]}', "application/json")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        kind = self.path.split("/")[1]
        if self.path.endswith("/tokenize"):
            tokens = [STEP, MARK] * body["prompt"].count(chat.STEP_END)
            self._send(json.dumps({"tokens": tokens}).encode(), "application/json")
            return
        if self.path.endswith("/pooling"):
            assert MARK not in body["input"]
            self._send(_scored(kind, len(body["input"])), "application/json")
            return
        if kind == "refuses":
            self.send_error(500, "out of memory")
            return
        text = SAYS.get(kind, "Yes")
        delta = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        done = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        events = [delta] if kind == "cut" else [delta, done]
        body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
        self._send(b"{}" if kind == "mute" else body, "text/event-stream")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def _scored(kind: str, count: int) -> bytes:
    """Give two probabilities a token, as vLLM's /pooling does; or what it should not."""
    rows: list[list[float]] = [[0.1, 0.9]] * (count - (kind == "few"))
    if kind == "nan":
        rows[-1:] = [[0.5, float("nan")]]
    text = "<html>" if kind == "html" else json.dumps({"data": [{"data": rows}]})
    return text.encode()


@contextmanager
def judging() -> Iterator[str]:
    """Start the server; give its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
