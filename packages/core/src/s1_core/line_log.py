"""A file of JSON lines that a killed process may have been writing.

A line torn by a kill or a full disk was never written. Knows nothing of what the lines say, and
locks nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self


class LineLog:
    """A file open for reading and appending, by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file and its folder, making what is not there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666))

    def read(self) -> list[bytes]:
        """Read the whole lines, and cut off a torn end, lest the next line be glued to it."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        with open(self._descriptor, "rb", closefd=False) as stream:
            lines = [line for line in stream if line.endswith(b"\n")]
        self._size = sum(map(len, lines))
        os.ftruncate(self._descriptor, self._size)
        return lines

    def append(self, entry: Mapping[str, Any], *, is_synced: bool = False) -> None:
        """Write one line, which a kill then does not lose; synced, nor does the machine's end."""
        line = json.dumps(entry).encode() + b"\n"
        try:
            written = 0
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError:  # a full disk: leave whole lines only
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(line)
        if is_synced:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)
