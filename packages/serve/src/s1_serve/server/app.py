"""vLLM's engine and its own HTTP application, with the machine in the one and the contract around
the other.

Serves the routes of the contract and no others of vLLM's. Private modules of vLLM 0.32: it is
pinned exactly, and the tests start this.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.anthropic.protocol import AnthropicMessagesRequest
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
from vllm.reasoning import ReasoningParserManager
from vllm.tool_parsers import ToolParserManager
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser

from s1_core.errors import UserError
from s1_core.template import chat_template
from s1_serve.budget.request import Board
from s1_serve.config import ServeConfig, ServiceConfig
from s1_serve.contract.api import Dialect
from s1_serve.contract.schema import documented
from s1_serve.model import Model
from s1_serve.options import budget_options, describe, engine_options
from s1_serve.server import parser, probe
from s1_serve.server.thinker import Planner, Thinker
from s1_serve.strategies import catalogue

RELEASE = "S1_RELEASE"
ROUTES = frozenset(
    {
        *(dialect.value for dialect in Dialect),
        *("/v1/models", "/v1/messages/count_tokens", "/tokenize", "/detokenize", "/version"),
        *("/health", "/openapi.json", "/docs"),
    }
)
_MODELS = {
    Dialect.CHAT: ChatCompletionRequest,
    Dialect.COMPLETIONS: CompletionRequest,
    Dialect.RESPONSES: ResponsesRequest,
    Dialect.MESSAGES: AnthropicMessagesRequest,
}


@dataclass(frozen=True)
class Running:
    """An engine that has passed its probe, and vLLM's application on it."""

    engine: Thinker
    app: FastAPI


@asynccontextmanager
async def running(
    model: Model, config: ServiceConfig, board: Board, tts: Mapping[str, Any]
) -> AsyncIterator[Running]:
    """Start the engine and the application, stop both at the end; `tts` is told of strategies.

    Raises:
        UserError: the probe found that a delimiter is not what it should be.
    """
    arguments = _arguments(model, config, board)
    ReasoningParserManager.import_reasoning_parser(arguments.reasoning_parser_plugin)
    engine_arguments = AsyncEngineArgs.from_cli_args(arguments)
    settings = engine_arguments.create_engine_config(UsageContext.OPENAI_API_SERVER)
    made = Thinker.from_vllm_config(settings, usage_context=UsageContext.OPENAI_API_SERVER)
    assert isinstance(made, Thinker)
    engine = made
    try:
        context = engine.model_config.max_model_len
        reserve = config.serve.answer_reserve
        engine.furnish(Planner(model=model, context=context, answer_reserve=reserve), board)
        await probe.check(engine, model)
        tasks = await engine.get_supported_tasks()
        app = build_app(arguments, tasks, engine.model_config)
        app.router.routes = [r for r in app.routes if getattr(r, "path", "") in ROUTES]
        app.openapi_schema = documented(app.openapi())
        await init_app_state(engine, app.state, arguments, tasks)
        _listed(app, model, config.serve, tts)
        app.state.server = SimpleNamespace(should_exit=False)  # vLLM's handlers of a dead engine
        async with app.router.lifespan_context(app):
            yield Running(engine, app)
    finally:
        engine.shutdown(timeout=config.drain_s)


def _listed(app: FastAPI, model: Model, config: ServeConfig, tts: Mapping[str, Any]) -> None:
    """Say on every card of /v1/models that budgets are kept, of which model and by what.

    `instance` names this start of the service: whoever restarts one sees that another answers.
    `release` is what the deployment says it is, image and model. Behind the models stands each of
    them with each of `tts.strategies`, under the name that asks for it.
    """
    models = app.state.openai_serving_models
    show, instance = models.show_available_models, uuid4().hex

    async def shown() -> Any:
        listed = await show()
        for card in listed.data:
            card.thinking = {
                "format": model.format.name,
                "manifest_sha256": model.artifact.sha256,
                "engine": describe(model, config),
                "instance": instance,
                "release": os.environ.get(RELEASE),
            } | dict.fromkeys(("max", "min", "extends"), True)
            card.tts = dict(tts)
        listed.data += [_alias(card, name) for card in listed.data for name in tts["strategies"]]
        return listed

    models.show_available_models = shown


def _alias(card: Any, strategy: str) -> Any:
    """Write the card of a model with a strategy."""
    said = {"strategy": strategy, "parameters": catalogue.parameters(strategy)}
    named = {"id": f"{card.id}:{strategy}", "root": card.id, "parent": card.id, "tts": said}
    return card.model_copy(update=named)


def known_fields() -> dict[Dialect, frozenset[str]]:
    """Give the names that vLLM's request models know, aliases too."""
    return {dialect: frozenset(_names(model)) for dialect, model in _MODELS.items()}


def _names(model: Any) -> set[str]:
    aliases = {field.alias for field in model.model_fields.values() if field.alias}
    return set(model.model_fields) | aliases


def _arguments(model: Model, config: ServiceConfig, board: Board) -> Namespace:
    """Write our engine's settings as vLLM's server reads them."""
    name = config.name or model.artifact.path.resolve().name
    words = ["--model", str(model.artifact.path), "--served-model-name", name]
    if config.tool_parser:
        if config.tool_parser not in (known := ToolParserManager.list_registered()):
            raise UserError(f"tool_parser {config.tool_parser!r} is none of {', '.join(known)}")
        words += ["--enable-auto-tool-choice", "--tool-call-parser", config.tool_parser]
    command = make_arg_parser(FlexibleArgumentParser())  # type: ignore[no-untyped-call]
    arguments: Namespace = command.parse_args(words)
    options = engine_options(model, config.serve) | budget_options(model, board)
    for option, value in options.items():
        setattr(arguments, option, value)
    arguments.reasoning_parser = parser.parser_name(model.format)
    arguments.reasoning_parser_plugin = str(Path(parser.__file__))
    arguments.chat_template = chat_template(model.format)
    arguments.chat_template_content_format = "string"
    arguments.disable_uvicorn_access_log = True
    arguments.use_tqdm_on_load = False
    arguments.shutdown_timeout = int(config.drain_s)
    arguments.log_error_stack = False
    arguments.enable_prompt_tokens_details = True
    validate_parsed_serve_args(arguments)
    return arguments
