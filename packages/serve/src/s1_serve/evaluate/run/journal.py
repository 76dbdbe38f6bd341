"""Finished samples on disk, one line each: a killed run loses those in flight and no other.

A file belongs to one setting of everything that shapes an answer, so that a changed one never
meets old samples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from s1_core import records
from s1_core.errors import UserError
from s1_core.line_log import LineLog
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
        self._log = LineLog.open(folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.jsonl")
        read = filter(None, map(_entry, self._log.read()))
        self.entries = {(one.sample.question_id, one.sample.sample): one for one in read}

    def put(self, entry: Entry) -> None:
        """Append a sample; once this returns a kill of the process does not lose it."""
        self._log.append({"seconds": entry.seconds, "sample": asdict(entry.sample)})
        self.entries[entry.sample.question_id, entry.sample.sample] = entry

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._log.close()


def _entry(line: bytes) -> Entry | None:
    try:
        found = json.loads(line)
        sample = records.from_json(json.dumps(found["sample"]), Sample)
        return Entry(sample, float(found["seconds"]))
    except (ValueError, KeyError, TypeError, UserError):
        return None
