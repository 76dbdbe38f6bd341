"""Files of a folder or of an HTTP server, read from a byte on, as often as it takes.

Owns which faults may pass and how long they are waited for. Refuses what asking again will not
mend. What the bytes must be is the caller's to know.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import quote

from s1_core import cli
from s1_core.errors import UserError

if TYPE_CHECKING:
    import httpx

MIB = 1 << 20
TOKEN = "S1_SOURCE_TOKEN"
_MAY_PASS = (408, 425, 429, 500, 502, 503, 504)
ResultT = TypeVar("ResultT")


class Cut(Exception):
    """What ended early or did not come; `has_gained` says whether bytes did before."""

    def __init__(self, reason: str, *, has_gained: bool = False) -> None:
        super().__init__(reason)
        self.has_gained = has_gained


class Source(Protocol):
    """Where files come from."""

    def pieces(self, path: str, start: int, size: int | None) -> Iterator[bytes]:
        """Read a file of `size` bytes, where that is known, from the byte `start` on.

        Raises:
            Cut: it ended early, or is not to be had now.
            UserError: it is not there, or has another size.
        """


@dataclass(frozen=True)
class Folder:
    """Files below a folder."""

    path: Path

    def pieces(self, path: str, start: int, size: int | None) -> Iterator[bytes]:
        file = self.path / path
        if not file.is_file():
            raise UserError(f"no file {file}: wanted the folder of an artifact")
        _compare(str(file), file.stat().st_size, size)
        with file.open("rb") as stream:
            stream.seek(start)
            while piece := stream.read(MIB):
                yield piece


@dataclass(frozen=True)
class Server:
    """Files below a URL; one that knows no ranges sends again what is there."""

    url: str
    client: httpx.Client

    def pieces(self, path: str, start: int, size: int | None) -> Iterator[bytes]:
        import httpx

        url = f"{self.url}/{quote(path)}"
        headers = {"range": f"bytes={start}-"} if start else {}
        try:
            with self.client.stream("GET", url, headers=headers) as response:
                _judge(url, response, size)
                behind = start if response.status_code == 200 else 0
                for piece in response.iter_bytes():  # sized ones would be lost where it is cut
                    yield piece[behind:]
                    behind = max(0, behind - len(piece))
        except httpx.TransportError as error:
            raise Cut(str(error) or type(error).__name__) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UserError(f"{url}: {error}; give the URL of an artifact's folder") from error


@contextmanager
def opened(place: str, timeout_s: float) -> Iterator[Source]:
    """Yield the source that a folder's path or an http(s) URL names."""
    if "://" not in place:
        yield Folder(Path(place))
        return
    import httpx

    headers = {"accept-encoding": "identity"}
    if token := os.environ.get(TOKEN, "").strip():
        headers["authorization"] = f"Bearer {token}"
    with httpx.Client(timeout=timeout_s, follow_redirects=True, headers=headers) as client:
        yield Server(place.rstrip("/"), client)


def patiently(work: Callable[[], ResultT], what: str, retries: int) -> ResultT:
    """Do work that may be cut, again as long as it gains something.

    Raises:
        UserError: it was cut more than `retries` times in a row without a byte gained.
    """
    failures = 0
    while True:
        try:
            return work()
        except Cut as cut:
            failures = 0 if cut.has_gained else failures + 1
            if failures > retries:
                raise UserError(
                    f"{what}: {cut}, {failures} times in a row; run again to go on from there"
                ) from cut
            cli.say(f"{what}: {cut}; asking again")
            time.sleep(2 ** min(failures - 1, 5) if failures else 0)


def append(source: Source, path: str, file: Path, size: int) -> None:
    """Write what a file of `size` bytes lacks behind what is there; raises as `pieces` does."""
    with file.open("ab") as stream:
        start = stream.tell()
        if start == size:
            return
        pieces = source.pieces(path, start, size)
        try:
            written = _written(stream, pieces, size)
            for _ in cli.progress(written, f"{path}, MiB", total=(size - start) // MIB):
                pass
            if stream.tell() < size:
                raise Cut(f"ended after {stream.tell()} of {size} bytes")
        except Cut as cut:
            raise Cut(str(cut), has_gained=stream.tell() > start) from cut


def _written(stream: IO[bytes], pieces: Iterator[bytes], size: int) -> Iterator[None]:
    """Write no more than `size` bytes; yield once a MiB."""
    told = stream.tell()
    for piece in pieces:
        stream.write(piece[: size - stream.tell()])
        while stream.tell() - told >= MIB:
            told += MIB
            yield
        if stream.tell() == size:
            return


def _judge(url: str, response: httpx.Response, size: int | None) -> None:
    """Take an answer that begins where it was asked to; the length it gives must be `size`."""
    status, headers = response.status_code, response.headers
    if status in _MAY_PASS:
        raise Cut(f"HTTP {status}")
    if status not in (200, 206):
        raise UserError(f"{url}: HTTP {status}; give the URL of an artifact's folder")
    whole = headers.get("content-length" if status == 200 else "content-range", "")
    length = whole.rpartition("/")[2]
    if length.isdigit():
        _compare(url, int(length), size)


def _compare(place: str, found: int, size: int | None) -> None:
    if size is not None and found != size:
        raise UserError(
            f"{place} has {found} bytes, the manifest says {size}: it was altered or cut short"
        )
