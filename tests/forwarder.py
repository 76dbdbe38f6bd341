"""A TCP forwarder: one address whose server can be changed under way, as a cluster's Service is.

A connection stays with the server that it began with; only new ones go to the new target.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from types import TracebackType

_SIZE = 1 << 16


class Forwarder:
    """Listens on loopback and forwards bytes both ways; `with` closes it."""

    def __init__(self, target: int | None = None, port: int = 0) -> None:
        """Forward to the port `target`, if there is one yet; `port` 0 takes any free one."""
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self._open: dict[socket.socket, int] = {}
        """the sockets of clients, by their server's port"""
        self._lock = threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Forwarder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def switch(self, target: int) -> None:
        """Send new connections to another port; those that are open stay."""
        self._target = target

    def num_open(self, target: int) -> int:
        """Count the connections that a server still has through here."""
        with self._lock:
            return sum(port == target for port in self._open.values())

    def cut(self) -> None:
        """Break every open connection: a server that dies."""
        with self._lock:
            clients = list(self._open)
        for client in clients:
            _shut(client, socket.SHUT_RDWR)

    def close(self) -> None:
        """Listen no more, and break what is open."""
        _shut(self._listener, socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        target = self._target
        if target is None:
            client.close()
            return
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", target)) as server,
            self._noted(client, target),
        ):
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()

    @contextlib.contextmanager
    def _noted(self, client: socket.socket, target: int) -> Iterator[None]:
        with self._lock:
            self._open[client] = target
        try:
            yield
        finally:
            with self._lock:
                del self._open[client]


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy bytes until the source ends, and say so to the sink."""
    with contextlib.suppress(OSError):
        while data := source.recv(_SIZE):
            sink.sendall(data)
    _shut(sink, socket.SHUT_WR)


def _shut(one: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(how)
