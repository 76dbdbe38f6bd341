"""One column of the page: an answer asked of the service over HTTP, and how it looks so far.

Every text is escaped. What the service refuses, or that it is gone, becomes one line.
"""

from __future__ import annotations

import asyncio
import html
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field

import httpx

from s1_serve.budget.plan import END_WORDS
from s1_serve.server.ui import candidates
from s1_serve.server.ui.candidates import Json

_REPAINT_S = 0.1
_NO_KEY = "This server wants an API key: type a valid one in the field “API key”."
_GONE = "The server broke off: it is stopping or its engine died. Try again in a minute."
_BROKEN = "The answer broke off before its end. Try again."


@dataclass(kw_only=True)
class Pane:
    """What has come so far."""

    notice: str = ""
    """Stands in the place of the counts: what failed, or that it was stopped."""
    extend: str = ""
    """The extend string that was asked for."""
    seconds: float | None = None
    """Since the question was sent; None before."""
    pieces: list[tuple[str, bool]] = field(default_factory=list)
    """Thinking in order, and whether an extend string is among it."""
    answer: str = ""
    summary: Json | None = None
    usage: Json | None = None
    candidate: str | None = None
    """The candidate whose thinking stands there while a strategy runs; None is the answer's own."""
    progress: Json | None = None
    run: Json | None = None
    """How a strategy's run ended."""

    async def ask(self, client: httpx.AsyncClient, body: Json) -> None:
        """Stream one chat completion into this pane."""
        start, self.seconds, self.extend = time.monotonic(), 0.0, body["extend_with"]
        try:
            async with client.stream("POST", "/v1/chat/completions", json=body) as response:
                if response.is_error:
                    self.notice = _refusal(response.status_code, await response.aread())
                    return
                async for chunk in _chunks(response):
                    self.seconds = time.monotonic() - start
                    self.feed(chunk)
        except httpx.HTTPError:
            self.notice = _GONE
        if not self.notice and not self.has_ended:
            self.notice = _BROKEN

    def feed(self, chunk: Json) -> None:
        """Take one chunk of a chat stream."""
        if "error" in chunk:
            self.notice = _failure(chunk["error"] or {})
        self.usage = chunk.get("usage") or self.usage
        self._follow(chunk.get("tts"))
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            if delta.get("reasoning") or delta.get("content"):
                self._show(None)
            self._think(delta.get("reasoning") or "", is_forced=bool(choice.get("forced")))
            self.answer += delta.get("content") or ""
            self.summary = choice.get("thinking") or self.summary

    def _follow(self, said: Json | None) -> None:
        """Take in what a strategy tells on its way, or at its end."""
        if said is None:
            return
        if "progress" not in said:
            self.run = said
            return
        self.progress = said
        if said.get("thinking"):
            self._show(said["best"])
            self._think(said["thinking"], is_forced=False)

    def _show(self, candidate: str | None) -> None:
        """Begin the thinking anew where it becomes another one's."""
        if candidate != self.candidate:
            self.candidate = candidate
            self.pieces.clear()

    def _think(self, text: str, *, is_forced: bool) -> None:
        if not text:
            return
        if self.pieces and self.pieces[-1][1] == is_forced:
            text = self.pieces.pop()[0] + text
        self.pieces.append((text, is_forced))

    def paint(self) -> tuple[str, str, str, str]:
        """Give the HTML of thinking, answer, counts and candidates."""
        thinking = "".join(
            _marked(text, self.extend) if is_forced else html.escape(text)
            for text, is_forced in self.pieces
        )
        answer = html.escape(self.answer.strip("\n"))
        return _text(thinking), _text(answer), self._line, candidates.cards(self.run)

    @property
    def has_ended(self) -> bool:
        """Say whether all has come that there is to count."""
        return self.usage is not None and (self.summary or self.run) is not None

    @property
    def _line(self) -> str:
        if self.notice:
            return f'<div role="alert">{html.escape(self.notice)}</div>'
        if self.has_ended:
            return f'<div role="status">{self._counts}</div>'
        if self.progress is not None and not self.answer:  # too often for who has it read aloud
            said = html.escape(candidates.progress(self.progress))
            return f'<div role="status" aria-live="off">{said}</div>'
        return f'<div role="status">{self._state}</div>'

    @property
    def _state(self) -> str:
        if self.seconds is None:
            return ""
        if self.answer:
            return "answering …"
        return "thinking …" if self.pieces else "waiting …"

    @property
    def _counts(self) -> str:
        """What there is to count. The marks go with the answer's tokens."""
        assert self.usage is not None and self.seconds is not None
        thought = _thought(self.summary) if self.summary else ""
        if self.run is not None:
            return candidates.counts(self.run, self.seconds, thought)
        assert self.summary is not None
        output = self.usage["completion_tokens"]
        return (
            f"{thought}, {output - self.summary['tokens']} answer tokens, {self.seconds:.1f} s, "
            f"{output / max(self.seconds, 1e-9):.0f} tokens/s"
        )


def _thought(thinking: Json) -> str:
    extends = "1 extend" if thinking["extends"] == 1 else f"{thinking['extends']} extends"
    return f"{thinking['tokens']} thinking tokens ({END_WORDS[thinking['end']]}), {extends}"


async def watch(
    client: httpx.AsyncClient, bodies: Sequence[Json], panes: Sequence[Pane], stop: asyncio.Event
) -> AsyncGenerator[list[str]]:
    """Ask for all answers at once and paint them until they end or `stop` is set."""
    tasks = {
        asyncio.create_task(pane.ask(client, body)): pane
        for body, pane in zip(bodies, panes, strict=False)
    }
    running = set(tasks)
    try:
        while running and not stop.is_set():
            done, running = await asyncio.wait(running, timeout=_REPAINT_S)
            for task in done:
                task.result()
            yield paint(panes)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    for task in running:
        tasks[task].notice = "Stopped."
    yield paint(panes)


def paint(panes: Sequence[Pane]) -> list[str]:
    """Give the HTML of all panes, in the order of the components."""
    return [part for pane in panes for part in pane.paint()]


def _marked(text: str, extend: str) -> str:
    """Mark the extend string in chunks that hold one; all of them where it cannot be found."""
    extend = extend if extend and extend in text else text
    mark = f'<mark title="forced by the budget">{html.escape(extend)}</mark>'
    return mark.join(html.escape(part) for part in text.split(extend))


def _text(content: str) -> str:
    return f'<div class="s1-text">{content}</div>'


async def _chunks(response: httpx.Response) -> AsyncIterator[Json]:
    """Read server-sent events; httpx's lines would also end at U+2028 inside a JSON string."""
    pending = b""
    async for data in response.aiter_bytes():
        *events, pending = (pending + data).split(b"\n\n")
        for event in events:
            if event.startswith(b"data: {"):
                yield json.loads(event.removeprefix(b"data: "))


def _refusal(status: int, content: bytes) -> str:
    if status == httpx.codes.UNAUTHORIZED:
        return _NO_KEY
    try:
        return _failure(json.loads(content)["error"] | {"code": status})
    except (ValueError, KeyError, TypeError):
        return _failure({"code": status, "message": f"The server answered {status}."})


def _failure(error: Json) -> str:
    """Put an error into one line. The server's own, but for a deadline, are not the visitor's."""
    code = error.get("code")
    code = code if isinstance(code, int) else httpx.codes.INTERNAL_SERVER_ERROR
    if code >= httpx.codes.INTERNAL_SERVER_ERROR and code != httpx.codes.GATEWAY_TIMEOUT:
        return _GONE
    return " ".join(str(error.get("message")).split())
