"""`just reward`: vLLM's own API server as a pooling runner on a process reward model.

Refuses a port in use, a model that answers, a KV cache that does not fit, and an address beyond
loopback without API keys, before anything heavy loads. Entry points of vLLM 0.32: it is pinned.
"""

from __future__ import annotations

import asyncio
import os
import socket
from argparse import Namespace
from typing import Any

from s1_core import cli
from s1_core.errors import S1Error
from s1_serve.config import RewardConfig
from s1_serve.model import Model, check_fit
from s1_serve.options import quiet
from s1_serve.reward_engine import open_reward, pooling_options
from s1_serve.service import opened

_DRAIN_S = 5
"""for scores that are asked for when the server is told to stop"""


def main(config: RewardConfig) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        S1Error: the engine died.
    """
    listener, given = opened(config)
    model = open_reward(config.model)
    check_fit(model, config.serve)
    quiet()
    where = f"http://{config.host}:{config.port}"
    cli.say(f"starting {model.artifact.path} on {where}/pooling")
    try:
        has_died = asyncio.run(_serve(_arguments(model, config, given), listener, where))
    except KeyboardInterrupt:  # SIGTERM while it started
        has_died = False
    if has_died:
        cli.say("s1: the engine died; start again")
    # vLLM's threads would hold the process up; all is flushed by now.
    os._exit(S1Error.exit_code if has_died else 0)


async def _serve(arguments: Namespace, listener: socket.socket, where: str) -> bool:
    """Serve until a signal or the end of the engine; say whether it was the latter."""
    from vllm.entrypoints.launchers.api_server import entry

    told = _signals()
    async with entry.build_async_engine_client(arguments) as engine:
        closing = await entry.build_and_serve(engine, where, listener, arguments)
        has_died = bool(engine.errored) and not told
    await closing
    return has_died


def _signals() -> list[int]:
    """Give a list in which each signal appears that vLLM's handlers, set later, hear.

    A stopping engine is in error as a dead one is.
    """
    heard: list[int] = []
    loop = asyncio.get_running_loop()
    add = loop.add_signal_handler

    def adding(number: int, callback: Any, *words: Any) -> None:
        def called() -> None:
            heard.append(number)
            callback(*words)

        add(number, called)

    loop.add_signal_handler = adding  # type: ignore[assignment, method-assign]
    return heard


def _arguments(model: Model, config: RewardConfig, given: tuple[str, ...]) -> Namespace:
    """Write our settings as vLLM's server reads them."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    from s1_serve.server import parser

    folder = model.artifact.path
    name = config.name or folder.resolve().name
    command = make_arg_parser(FlexibleArgumentParser())  # type: ignore[no-untyped-call]
    arguments: Namespace = command.parse_args(
        ["--model", str(folder), "--served-model-name", name, "--host", config.host]
    )
    for option, value in pooling_options(model, config.serve).items():
        setattr(arguments, option, value)
    arguments.port = config.port
    arguments.api_key = list(given) or None
    # No reasoning is parsed: the engine's process loads the file, and then dies with this one.
    arguments.reasoning_parser_plugin = parser.__file__
    arguments.disable_uvicorn_access_log = True
    arguments.uvicorn_log_level = "warning"
    arguments.use_tqdm_on_load = False
    arguments.shutdown_timeout = _DRAIN_S
    validate_parsed_serve_args(arguments)
    return arguments


if __name__ == "__main__":
    cli.run(RewardConfig, main, package="serve")
