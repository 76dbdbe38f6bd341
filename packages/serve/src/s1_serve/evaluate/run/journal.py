"""Finished samples on disk, one line each: a killed run loses those in flight and no other.

A file belongs to one setting of everything that shapes an answer, so that a changed one never
meets old samples. A line torn by a kill counts as not written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from s1_core import records
from s1_core.errors import UserError
from s1_serve.evaluate.samples import Sample

Place = tuple[str, int]
"""question id and number of the sample"""


@dataclass(frozen=True)
class Entry:
    """A sample that is not graded yet, and the seconds it took."""

    sample: Sample
    seconds: float


class Journal:
    """The file of one run, open for appending; `entries` is what it holds."""

    def __init__(self, folder: Path, inputs: Mapping[str, Any]) -> None:
        text = json.dumps(inputs, sort_keys=True)
        path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        self.entries = self._read()

    def put(self, entry: Entry) -> None:
        """Append a sample; once this returns a kill of the process does not lose it."""
        line = json.dumps({"seconds": entry.seconds, "sample": asdict(entry.sample)})
        os.write(self._descriptor, line.encode() + b"\n")
        self.entries[entry.sample.question_id, entry.sample.sample] = entry

    def _read(self) -> dict[Place, Entry]:
        """Read what is whole, and cut off a torn end, lest the next line be glued to it."""
        entries: dict[Place, Entry] = {}
        end = 0
        with open(self._descriptor, "rb", closefd=False) as stream:
            for line in stream:
                entry = _entry(line) if line.endswith(b"\n") else None
                end += len(line) if line.endswith(b"\n") else 0
                if entry is not None:
                    entries[entry.sample.question_id, entry.sample.sample] = entry
        os.ftruncate(self._descriptor, end)
        return entries

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)


def _entry(line: bytes) -> Entry | None:
    try:
        found = json.loads(line)
        sample = records.from_json(json.dumps(found["sample"]), Sample)
        return Entry(sample, float(found["seconds"]))
    except (ValueError, KeyError, TypeError, UserError):
        return None
