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
from typing import Any

import httpx

from s1_serve.budget.plan import END_WORDS

Json = dict[str, Any]
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
        if not self.notice and not self.counts:
            self.notice = _BROKEN

    def feed(self, chunk: Json) -> None:
        """Take one chunk of a chat stream."""
        if "error" in chunk:
            self.notice = _GONE
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            self._think(delta.get("reasoning") or "", is_forced=bool(choice.get("forced")))
            self.answer += delta.get("content") or ""
            self.summary = choice.get("thinking") or self.summary

    def _think(self, text: str, *, is_forced: bool) -> None:
        if not text:
            return
        if self.pieces and self.pieces[-1][1] == is_forced:
            text = self.pieces.pop()[0] + text
        self.pieces.append((text, is_forced))

    def paint(self) -> tuple[str, str, str]:
        """Give the HTML of thinking, answer and counts."""
        thinking = "".join(
            _marked(text, self.extend) if is_forced else html.escape(text)
            for text, is_forced in self.pieces
        )
        role, line = ("alert", self.notice) if self.notice else ("status", self._state)
        counts = f'<div role="{role}">{html.escape(line)}</div>'
        return _text(thinking), _text(html.escape(self.answer.strip("\n"))), counts

    @property
    def _state(self) -> str:
        if self.seconds is None or self.counts:
            return self.counts
        if self.answer:
            return "answering …"
        return "thinking …" if self.pieces else "waiting …"

    @property
    def counts(self) -> str:
        """What there is to count; empty before the end. The marks go with the answer's tokens."""
        if self.usage is None or self.summary is None or self.seconds is None:
            return ""
        output, thinking = self.usage["completion_tokens"], self.summary
        extends = "1 extend" if thinking["extends"] == 1 else f"{thinking['extends']} extends"
        return (
            f"{thinking['tokens']} thinking tokens ({END_WORDS[thinking['end']]}), {extends}, "
            f"{output - thinking['tokens']} answer tokens, {self.seconds:.1f} s, "
            f"{output / max(self.seconds, 1e-9):.0f} tokens/s"
        )


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
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return _GONE
    try:
        said = str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        said = f"The server answered {status}."
    return " ".join(said.split())


def headline(name: str) -> str:
    """Name the page and its model."""
    return f"<h1>s1</h1><p>Set how long <b>{html.escape(name)}</b> thinks.</p>"


CSS = """
.gradio-container { --font: system-ui, sans-serif; --font-mono: ui-monospace, monospace;
  --s1-thought: #52525b; --s1-mark: #fde68a; --s1-marked: #713f12; --s1-alert: #b91c1c; }
.dark { --s1-thought: #b8b8c2; --s1-mark: #78500c; --s1-marked: #fef3c7; --s1-alert: #fca5a5; }
.gradio-container input[type=range]::-webkit-slider-thumb { background: var(--color-accent); }
.gradio-container input[type=range]::-moz-range-thumb { background: var(--color-accent); }
.dark input[type=range] { --neutral-200: var(--neutral-600); }
main.contain { max-width: 1240px; margin: 0 auto; }
#headline .prose { display: flex; flex-wrap: wrap; align-items: baseline; column-gap: 1rem; }
#headline h1, #headline p { margin: 0; }
.s1-title { margin-bottom: calc(-0.6 * var(--layout-gap)); }
.s1-title h2 { margin: 0; font-size: 0.8rem; letter-spacing: 0.06em; text-transform: uppercase;
  color: var(--s1-thought); }
.s1-box > .html-container { padding: 0.9rem 1.1rem; border: 1px solid var(--border-color-primary);
  border-radius: var(--radius-lg); }
.s1-text { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.55; }
.s1-thinking > .html-container { background: var(--background-fill-secondary); }
.s1-thinking .s1-text { font-family: var(--font-mono); font-size: 0.85rem;
  color: var(--s1-thought); }
.s1-thinking mark { padding: 0.05em 0.3em; border-radius: 0.25em; font-weight: 600;
  background: var(--s1-mark); color: var(--s1-marked); }
.s1-answer > .html-container { border-left: 4px solid var(--color-accent); }
.s1-answer .s1-text { font-size: 1.2rem; font-weight: 600; color: var(--body-text-color); }
.s1-counts .prose { font-size: 0.85rem; font-variant-numeric: tabular-nums; }
.s1-counts [role=status] { color: var(--s1-thought); }
.s1-counts [role=alert] { color: var(--s1-alert); font-weight: 600; }
"""
