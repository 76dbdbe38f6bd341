"""A chat endpoint on this machine that misbehaves as told, and counts what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from s1_core import chat

THINK = chat.FORMATS["think"]
USAGE = {"prompt_tokens": 10, "completion_tokens": 20}
HANG_S = 20.0


def thinking(question: str) -> str:
    return f"Let me see.\n\nThe text has {len(question)} characters."


def answer(question: str) -> str:
    return f"Answer: {len(question)}"


class TeacherServer:
    """Answers well unless `script` says otherwise for a question.

    `script` maps a question to what its calls meet, one after the other; the last word stays. A
    prompt belongs to the question of `questions` that it contains. `hold_after` calls, further
    ones wait until `release`.
    """

    def __init__(
        self,
        questions: Iterable[str] = (),
        script: Mapping[str, list[str]] | None = None,
        *,
        key: str | None = None,
        hold_after: int | None = None,
    ) -> None:
        self.questions = list(questions)
        self.script = {name: list(words) for name, words in (script or {}).items()}
        self.key, self.hold_after = key, hold_after
        self.calls: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.paid_tokens = self.num_held = self.most_at_once = self._num_now = 0
        self._lock, self._released = threading.Lock(), threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet

            def do_POST(self) -> None:
                with server._lock:
                    server._num_now += 1
                    server.most_at_once = max(server.most_at_once, server._num_now)
                try:
                    server._answer(self)
                finally:
                    with server._lock:
                        server._num_now -= 1

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 64

            def handle_error(self, *_: object) -> None:
                pass  # clients that hang up are what this server is for

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        # Looks for the end often, so that a test need not wait for it.
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> TeacherServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._http.shutdown()
        self._http.server_close()

    def release(self) -> None:
        """Let calls go on that hang or are held."""
        self.hold_after = None
        self._released.set()

    def wait_until_held(self, num: int) -> None:
        """Wait until so many calls are held."""
        deadline = time.monotonic() + 30
        while self.num_held < num:
            assert time.monotonic() < deadline, f"{self.num_held} calls held, wanted {num}"
            time.sleep(0.005)

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        name = next((known for known in self.questions if known in prompt), prompt)
        with self._lock:
            self.calls[name] += 1
            self.bodies.append(body)
            self.times.append(time.monotonic())
            words = self.script.get(name, ["well"])
            word = words.pop(0) if len(words) > 1 else words[0]
            is_held = self.hold_after is not None and self.calls.total() > self.hold_after
            self.num_held += is_held
        if is_held or word == "hang":
            self._released.wait(HANG_S)
        if request.path != "/v1/chat/completions":
            _send(request, 404, {"error": {"message": "no such path"}})
        elif self.key and request.headers["Authorization"] != f"Bearer {self.key}":
            said = f"no entry with {request.headers['Authorization']}"
            _send(request, 401, {"error": {"message": said}})
        else:
            self._say(request, name, word)

    def _say(self, request: BaseHTTPRequestHandler, name: str, word: str) -> None:
        if word.isdigit():
            _send(request, int(word), {"error": {"message": f"sorry, {word}"}})
        elif word.startswith("429 after"):
            wait = word.removeprefix("429 after ")
            header = formatdate(time.time() + 2, usegmt=True) if wait == "date" else wait
            _send(request, 429, {"error": {"message": "slower"}}, {"Retry-After": header})
        elif word == "html":
            _send(request, 200, b"<html><body>Bad gateway</body></html>")
        elif word == "drop":
            request.close_connection = True
        else:
            self._reply(request, name, word)

    def _reply(self, request: BaseHTTPRequestHandler, name: str, word: str) -> None:
        content = completion(name, word)
        with self._lock:
            self.paid_tokens += sum(USAGE.values())
            self.answered[name] += word not in ("half", "hang")
        if word == "half":
            _send(request, 200, content, cut=True)
        else:
            _send(request, 200, content)


def completion(question: str, word: str) -> dict[str, Any]:
    """Lay out a chat completion in the manner that `word` names."""
    thought, said = thinking(question), answer(question)
    message: dict[str, Any] = {"role": "assistant", "content": said, "reasoning": thought}
    if word == "reasoning_content":
        message = {"content": said, "reasoning": None, "reasoning_content": thought}
    elif word in ("tags", "unopened"):
        start = THINK.thinking_start if word == "tags" else ""
        message = {"content": f"{start}\n{thought}\n{THINK.answer_start}\n\n{said}"}
    elif word == "plain":
        message = {"content": said}
    elif word == "empty":
        message = {"content": None}
    elif word.startswith("say "):
        message = {"content": word.removeprefix("say ")}
    reason = "length" if word == "length" else "stop"
    choices = [] if word == "no choice" else [{"message": message, "finish_reason": reason}]
    return {"choices": choices} | ({} if word == "no usage" else {"usage": USAGE})


def _send(
    request: BaseHTTPRequestHandler,
    status: int,
    content: dict[str, Any] | bytes,
    headers: Mapping[str, str] | None = None,
    *,
    cut: bool = False,
) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    request.send_response(status)
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body[: len(body) // 2] if cut else body)
    request.close_connection = cut
