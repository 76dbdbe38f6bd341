"""A server in front of our service that is less than it: what evaluations meet elsewhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

BUDGETS = ("thinking_token_budget", "min_thinking_tokens", "num_extends", "extend_with")


@dataclass
class Proxy:
    """Forwards to `behind` and hides that it is ours, unless told otherwise."""

    behind: str
    shows_ours: bool = False
    only_chats: bool = False
    """No completions of token ids, no tokenizer."""
    forgets_budgets: bool = False
    hides_counts: bool = False
    dies_after: int | None = None
    """Answers 503 from so many answers on."""
    says_html: bool = False
    answers: int = 0
    bodies: list[dict[str, object]] = field(default_factory=list)
    url: str = ""

    def reply(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if self.says_html:
            return 200, b"<html><body>Welcome</body></html>"
        if self.only_chats and path not in ("/v1/models", "/v1/chat/completions"):
            return 404, b"<html>\nnot found</html>"
        if path.endswith("completions"):
            self.answers += 1
            if self.dies_after is not None and self.answers > self.dies_after:
                return 503, b"gone"
        if path == "/v1/chat/completions":
            asked = json.loads(body)
            self.bodies.append(asked)
            if self.forgets_budgets:
                asked = {k: v for k, v in asked.items() if k not in BUDGETS}
            body = json.dumps(asked).encode()
        headers = {"Content-Type": "application/json"}
        found = httpx.request(
            method, self.behind + path, content=body, headers=headers, timeout=120
        )
        return found.status_code, self.hidden(path, found.content)

    def hidden(self, path: str, content: bytes) -> bytes:
        if self.shows_ours:
            return content
        if path == "/v1/models":
            cards = json.loads(content)
            for card in cards["data"]:
                card.pop("thinking")
            return json.dumps(cards).encode()
        if path != "/v1/chat/completions":
            return content
        if content.startswith(b"data: "):
            return content.replace(b'"thinking":', b'"nothing":')
        reply = json.loads(content)
        for choice in reply.get("choices", []):
            choice.pop("thinking", None)
        if self.hides_counts and "usage" in reply:
            reply["usage"].pop("completion_tokens_details")
        return json.dumps(reply).encode()


@contextmanager
def proxied(behind: str, **faults: object) -> Iterator[Proxy]:
    """Start a proxy with `faults`; its url is where to ask."""
    proxy = Proxy(behind, **faults)  # type: ignore[arg-type]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            status, content = proxy.reply(self.command, self.path, self.rfile.read(size))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _do

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
