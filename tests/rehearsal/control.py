"""A loopback address at which a command can have a stage's server replaced, as kubectl would."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from s1_core.errors import S1Error


@contextmanager
def restarting(restart: Callable[[], object]) -> Iterator[str]:
    """Serve until the block ends; give the shell command that restarts and waits for it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                restart()
                status = 200
            except (AssertionError, S1Error):
                status = 500
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    call = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{server.server_port}', b'')"
    try:
        yield f'{sys.executable} -c "{call}"'
    finally:
        server.shutdown()
        server.server_close()
