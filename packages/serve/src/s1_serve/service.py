"""`just serve`: the Bento's service in this process, after the checks that save a start.

Refuses a port in use, an altered checkpoint, a KV cache that does not fit, and an address beyond
loopback without API keys, before anything heavy loads.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys

from s1_core import cli
from s1_core.errors import S1Error, UserError
from s1_serve.config import ListenConfig, ServiceConfig
from s1_serve.model import check_fit, open_model
from s1_serve.options import quiet
from s1_serve.server import keys, settings

TARGET = "s1_serve.server.service:S1"


def main(config: ServiceConfig) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        S1Error: the engine died.
    """
    listener, _ = opened(config)
    model = open_model(config.model)
    check_fit(model, config.serve)
    quiet()
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # for the engine's process
    os.environ[settings.VARIABLE] = json.dumps(sys.argv[1:])
    cli.say(f"starting {model.artifact.path} on http://{config.host}:{config.port}, page at /ui")
    _run(listener, config)
    from s1_serve.server.service import ENGINE_DIED

    if ENGINE_DIED.is_set():
        cli.say("s1: the engine died; start again")
        os._exit(S1Error.exit_code)
    # Triton's bindings report every type as leaked while Python winds down; all is flushed by now.
    os._exit(0)


def _run(listener: socket.socket, config: ServiceConfig) -> None:
    """Run BentoML's worker here: no supervisor holds the port open once it should be closed."""
    from _bentoml_impl.worker.service import main as worker
    from bentoml.serving import ensure_prometheus_dir
    from click.exceptions import Abort

    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", ensure_prometheus_dir())
    drain = str(max(int(config.drain_s), 1))
    arguments = [TARGET, "--fd", str(listener.detach()), "--worker-id", "1"]
    # uvicorn raises the signal anew when all is done, and click makes it an Abort
    with contextlib.suppress(KeyboardInterrupt, Abort):
        worker([*arguments, "--timeout-graceful-shutdown", drain], standalone_mode=False)


def opened(config: ListenConfig) -> tuple[socket.socket, tuple[str, ...]]:
    """Take the address, and read the keys that will open it.

    Raises:
        UserError: it is taken, or lies beyond loopback and there are no keys.
    """
    listener = bind(config.host, config.port)
    given = keys.read_keys(config.api_keys_file, os.environ.get(keys.VARIABLE))
    keys.demand(given, config.host, is_open=config.open)
    return listener, given


def bind(host: str, port: int) -> socket.socket:
    """Take the address, so that nobody else does while the engine loads.

    Raises:
        UserError: another program listens there, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "is in use" if in_use else f"cannot be bound ({error})"
        raise UserError(f"{host}:{port} {reason}: give another --port or --host") from error
    return listener


if __name__ == "__main__":
    cli.run(ServiceConfig, main, package="serve")
