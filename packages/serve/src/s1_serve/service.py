"""`just serve`: vLLM's own OpenAI server on a model artifact, after the checks that save a start.

Owns the checks and the arguments. Refuses a port in use, an altered checkpoint and a KV cache that
does not fit before anything heavy loads.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from argparse import Namespace

from s1_core import cli
from s1_core.errors import UserError
from s1_serve.config import ServiceConfig
from s1_serve.engine import engine_options, quiet
from s1_serve.model import Model, check_fit, open_model


def main(config: ServiceConfig) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    check_port(config.host, config.port)
    model = open_model(config.model)
    check_fit(model, config.serve)
    quiet()
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # for the engine's process
    arguments = _arguments(model, config)
    cli.console().print(f"starting {model.artifact.path} on http://{config.host}:{config.port}/v1")
    from vllm.entrypoints.launchers.api_server.entry import run_server

    asyncio.run(run_server(arguments))
    # Triton's bindings report every type as leaked while Python winds down; all is flushed by now.
    os._exit(0)


def check_port(host: str, port: int) -> None:
    """Bind once to see whether it can be done.

    Raises:
        UserError: another program listens there, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            reason = "is in use" if in_use else f"cannot be bound ({error})"
            raise UserError(f"{host}:{port} {reason}: give another --port or --host") from error


def _arguments(model: Model, config: ServiceConfig) -> Namespace:
    """Write our engine's settings as the flags of vLLM's server."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    options = engine_options(model, config.serve) | {
        "host": config.host,
        "port": config.port,
        "served_model_name": config.name or model.artifact.path.resolve().name,
        "disable_uvicorn_access_log": True,
        "use_tqdm_on_load": False,
        "shutdown_timeout": 10,  # seconds to finish running answers in
    }
    words = [word for name, value in options.items() for word in _flag(name, value)]
    parser = make_arg_parser(FlexibleArgumentParser())  # type: ignore[no-untyped-call]
    arguments: Namespace = parser.parse_args(words)
    validate_parsed_serve_args(arguments)
    return arguments


def _flag(name: str, value: object) -> list[str]:
    flag = name.replace("_", "-")
    if value is None:
        return []
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", str(value)]


if __name__ == "__main__":
    cli.run(ServiceConfig, main, package="serve")
