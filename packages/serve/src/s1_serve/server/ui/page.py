"""The page at /ui: a question, a strategy, one budget or two; thinking, answers and their counts.

Asks this service over its own HTTP API with the visitor's key, so it can do nothing that another
client cannot. Loads nothing from elsewhere. Refuses nothing: what the service refuses is shown.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from s1_core import artifacts
from s1_core.errors import UserError
from s1_serve.config import EXTEND_WITH, ServiceConfig
from s1_serve.server import keys
from s1_serve.server.access import PAGE
from s1_serve.server.ui.pane import Pane, paint, watch
from s1_serve.server.ui.picker import Picker
from s1_serve.server.ui.style import CSS, headline, theme
from s1_serve.strategies.catalogue import Available

_POLL_S = 0.02
_EXAMPLES = (
    "How many r in raspberry?",
    "What is 17 * 24?",
    "Which is larger, 9.11 or 9.9?",
)
_MOST_EXTENDS = 8
_WIRED: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def mount(app: FastAPI, config: ServiceConfig, available: Available | None = None) -> None:
    """Put the page under /ui; its queue starts and stops with the lifespan of `app`.

    The page offers the strategies that run with what is `available`.
    """

    @app.get(PAGE, include_in_schema=False)
    def page() -> RedirectResponse:
        return RedirectResponse(f"{PAGE}/")

    blocks = Page(config, available or Available()).blocks
    blocks.queue(default_concurrency_limit=None, api_open=False)
    # Gradio looks a thousand times a second, in the loop that serves the API: 5 % of a core, not 1.
    blocks._queue.sleep_when_free = blocks._queue.progress_update_sleep_when_free = _POLL_S
    gr.mount_gradio_app(
        app,
        blocks,
        PAGE,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        max_file_size=1,  # byte: nothing is uploaded, and the page wants no key
        show_error=True,
        theme=theme(),
        css=CSS,
    )


@dataclass(frozen=True, kw_only=True)
class Column:
    """One budget and its answer."""

    budget: tuple[gr.Slider, gr.Slider, gr.Slider]
    """Maximum, minimum, extends."""
    painted: tuple[gr.HTML, gr.HTML, gr.HTML, gr.HTML]
    """Thinking, answer, counts, candidates."""


class Page:
    """The components, and what happens when a button is pressed."""

    def __init__(self, config: ServiceConfig, available: Available) -> None:
        self._room = max(_context(config) - config.serve.answer_reserve, 1)
        self._stops: dict[str | None, asyncio.Event] = {}
        name = config.name or _folder(config).resolve().name
        has_keys = bool(keys.read_keys(config.api_keys_file, os.environ.get(keys.VARIABLE)))
        with gr.Blocks(title=f"s1 · {name}", analytics_enabled=False) as self.blocks:
            gr.HTML(headline(name), elem_id="headline")
            with gr.Row():
                with gr.Column(scale=2, min_width=300):
                    self._controls(available, has_keys=has_keys)
                with gr.Column(scale=5, min_width=300), gr.Row():
                    with gr.Column(min_width=300):
                        first = self._column("first", self._room)
                    with gr.Column(min_width=300, visible=False) as second_box:
                        second = self._column("second", self._room // 8)
            self._columns = (first, second)
            self._wire(second_box)

    def _controls(self, available: Available, *, has_keys: bool) -> None:
        self._question = gr.Textbox(
            label="Question", lines=1, max_lines=8, autofocus=True, elem_id="question"
        )
        gr.Examples([[text] for text in _EXAMPLES], [self._question], api_visibility="private")
        with gr.Row():
            self._think = gr.Button("Think", variant="primary", elem_id="think", min_width=100)
            self._stop = gr.Button("Stop", elem_id="stop", min_width=100)
        self._temperature = gr.Slider(
            *(0, 1.5, 0),
            step=0.05,
            label="Temperature",
            info="0 is greedy",
            buttons=[],
            elem_id="temperature",
            render=False,
        )
        self._picker = Picker(available, self._temperature)
        self._compares = gr.Checkbox(label="Compare with a second budget", elem_id="compare")
        self._extend_with = gr.Textbox(
            EXTEND_WITH,
            label="Extend with",
            info="Replaces the end of thinking",
            elem_id="extend-with",
        )
        self._temperature.render()  # type: ignore[no-untyped-call]
        self._key = gr.Textbox(label="API key", type="password", visible=has_keys, elem_id="key")

    def _column(self, name: str, maximum: int) -> Column:
        room = self._room
        with gr.Row():
            budget = (
                _slider(
                    *(room, maximum, f"{name}-maximum"),
                    label="Maximum thinking tokens",
                    info="All the way right: no maximum",
                    scale=3,
                    min_width=300,
                ),
                _slider(*(room, 0, f"{name}-minimum"), label="Minimum", info="No end before"),
                _slider(
                    *(_MOST_EXTENDS, 0, f"{name}-extends"), label="Extends", info="Ends put off"
                ),
            )
        gr.HTML("<h2>Thinking</h2>", elem_classes="s1-title")
        thinking = gr.HTML(
            elem_id=f"{name}-thinking",
            elem_classes=["s1-box", "s1-thinking"],
            autoscroll=True,
            min_height=160,
            max_height=360,
        )
        gr.HTML("<h2>Answer</h2>", elem_classes="s1-title")
        answer = gr.HTML(
            elem_id=f"{name}-answer", elem_classes=["s1-box", "s1-answer"], min_height=60
        )
        counts = gr.HTML(elem_id=f"{name}-counts", elem_classes="s1-counts")
        cards = gr.HTML(elem_id=f"{name}-candidates", elem_classes="s1-candidates")
        return Column(budget=budget, painted=(thinking, answer, counts, cards))

    def _wire(self, second_box: gr.Column) -> None:
        asked = {self._question, self._extend_with, self._temperature, self._key, self._compares}
        gr.on(
            [self._question.submit, self._think.click],
            self._ask,
            asked.union(self._picker.inputs, *(column.budget for column in self._columns)),
            [part for column in self._columns for part in column.painted],
            **_WIRED,
        )
        self._stop.click(self._end, queue=False, **_WIRED)
        self._picker.wire(queue=False, **_WIRED)
        self._compares.change(
            lambda is_on: gr.Column(visible=is_on),
            self._compares,
            second_box,
            queue=False,
            **_WIRED,
        )

    def _end(self, request: gr.Request) -> None:
        if request.session_hash in self._stops:
            self._stops[request.session_hash].set()

    async def _ask(self, values: dict[Any, Any], request: gr.Request) -> AsyncGenerator[list[str]]:
        panes = (Pane(), Pane())
        if not (values[self._question] or "").strip():
            panes[0].notice = "Type a question first."
            yield paint(panes)
            return
        columns = self._columns if values[self._compares] else self._columns[:1]
        try:
            bodies = [self._body(values, column) for column in columns]
        except UserError as error:
            panes[0].notice = str(error)
            yield paint(panes)
            return
        stop = self._stops[request.session_hash] = asyncio.Event()
        try:
            async with (
                _client(request, (values[self._key] or "").strip()) as client,
                aclosing(watch(client, bodies, panes, stop)) as views,
            ):
                async for view in views:
                    yield view
        finally:
            self._stops.pop(request.session_hash, None)

    def _body(self, values: dict[Any, Any], column: Column) -> dict[str, Any]:
        maximum, minimum, extends = (values[slider] for slider in column.budget)
        body = {
            "messages": [{"role": "user", "content": values[self._question]}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": values[self._temperature],
            "min_thinking_tokens": minimum,
            "num_extends": extends,
            "extend_with": values[self._extend_with],
        } | self._picker.body(values)
        return body if maximum >= self._room else body | {"thinking_token_budget": maximum}


def _slider(
    top: int, value: int, name: str, *, scale: int = 2, min_width: int = 180, **words: Any
) -> gr.Slider:
    """Build a slider of counts from 0 with `words` beside it."""
    return gr.Slider(
        *(0, top, value),
        step=1,
        precision=0,
        buttons=[],
        scale=scale,
        min_width=min_width,
        elem_id=name,
        **words,
    )


def _client(request: gr.Request, key: str) -> httpx.AsyncClient:
    """Reach this service where the visitor reached it."""
    assert request.request is not None
    host, port = request.request.scope["server"]
    host = f"[{host}]" if ":" in host else host
    return httpx.AsyncClient(
        base_url=f"http://{host}:{port}",
        headers={b"Authorization": b"Bearer " + key.encode()} if key else None,
        timeout=None,  # an answer may wait for others; the visitor has Stop
        trust_env=False,  # no proxy stands between
    )


def _folder(config: ServiceConfig) -> Path:
    return artifacts.embedded() if config.model == "embedded" else Path(config.model)


def _context(config: ServiceConfig) -> int:
    """Tell the context without hashing the checkpoint once more."""
    if config.serve.context is not None:
        return config.serve.context
    settings = json.loads((_folder(config) / "config.json").read_text())
    return int(settings["max_position_embeddings"])
