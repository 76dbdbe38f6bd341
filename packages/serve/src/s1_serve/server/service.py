"""The Bento's service: one engine a process, behind the contract, the page and the probes."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import tempfile
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bentoml
from bentoml.exceptions import NotFound
from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from s1_core import cli
from s1_core.errors import S1Error, UserError
from s1_serve.budget.request import Board
from s1_serve.contract.middleware import Contract
from s1_serve.model import check_fit, open_model
from s1_serve.options import quiet
from s1_serve.server import access, settings
from s1_serve.server.telemetry import Telemetry
from s1_serve.server.tts.deployment import Deployment
from s1_serve.server.tts.opening import strategist

if TYPE_CHECKING:
    from s1_serve.server.thinker import Thinker

_WATCH_S = 0.25
ENGINE_DIED = threading.Event()

SETTINGS = settings.read()
CONFIG = SETTINGS.config
GATE = access.Gate(
    keys=SETTINGS.keys,
    max_body_bytes=int(CONFIG.max_body_mib * (1 << 20)),
    telemetry=Telemetry(),
    logs_prompts=CONFIG.logs_prompts,
)
outside = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)


@outside.get("/", include_in_schema=False)
def index() -> RedirectResponse:
    """Lead browsers to the page."""
    return RedirectResponse(access.PAGE)


@bentoml.service(
    name="s1",
    workers=1,  # an engine is a process's own
    traffic={"timeout": float(CONFIG.request_timeout_s)},
    logging={"access": {"enabled": False}},  # ours has the same and the tokens
)
@bentoml.asgi_app(outside, path="/")
class S1:
    """Holds what lives as long as the process."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._engine: Thinker | None = None
        self._watch: asyncio.Task[None] | None = None

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def start(self) -> None:
        """Start, or leave the process with the line that says why not."""
        try:
            await self._start()
        except S1Error as error:
            await self._stack.aclose()
            cli.say(f"s1: {error}")
            os._exit(error.exit_code)

    async def _start(self) -> None:
        """Load the engine, see that it keeps budgets, and open the routes."""
        from s1_serve.server import app
        from s1_serve.server.ui import page

        quiet()
        config = dataclasses.replace(CONFIG, model=_place(CONFIG.model))
        model = open_model(config.model)
        check_fit(model, config.serve)
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="s1-"))
        # Twice the answers: a slot that was given back may still be in an engine's step.
        board = Board(Path(folder) / "decided", 2 * config.max_answers)
        deployment = Deployment.of(config, model.format)
        self._stack.push_async_callback(deployment.close)
        running = await self._stack.enter_async_context(
            app.running(model, config, board, deployment.told(config))
        )
        contract = Contract(
            app=running.app,
            known_fields=app.known_fields(),
            max_answers=config.max_answers,
            mirrors=config.reasoning_content,
            observe=GATE.telemetry.observe,
            is_alive=lambda: not running.engine.errored,
        )
        page.mount(outside, config, deployment.available())
        outside.mount("/", strategist(contract, deployment, model, config, GATE.telemetry))
        self._engine = running.engine
        self._watch = asyncio.create_task(_watch(running.engine))

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def stop(self) -> None:
        """Stop the engine; uvicorn has let running answers end."""
        if self._watch is not None:
            self._watch.cancel()
        await self._stack.aclose()

    async def __is_ready__(self) -> bool:
        return self._engine is not None and not self._engine.errored


def _place(model: str) -> str:
    """Find a model that came along in BentoML's store; any other name is a folder already."""
    if not model.startswith(settings.STORE):
        return model
    try:
        return str(bentoml.models.get(model.removeprefix(settings.STORE)).path)
    except NotFound as error:
        raise UserError(f"BentoML's store holds no model {model}: build the Bento again") from error


async def _watch(engine: Thinker) -> None:
    """Leave when the engine is dead: whoever started the process starts another."""
    while not engine.errored:
        await asyncio.sleep(_WATCH_S)
    ENGINE_DIED.set()
    signal.raise_signal(signal.SIGTERM)


service: Any = S1  # BentoML's decorators are not typed
service.add_asgi_middleware(access.Access, gate=GATE)
