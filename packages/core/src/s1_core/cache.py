"""Rows of finished work on disk, by the hash of all that went into them.

A killed run loses only what it had not put yet; a changed input has another key. Delete the folder
at any time. Refuses nothing: an entry that cannot be read is worked out again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from s1_core import records
from s1_core.errors import UserError

RowT = TypeVar("RowT")


def folder(out: Path) -> Path:
    """Name the folder beside `out` that keeps its finished work."""
    return out.parent / "cache" / out.name


class Cache:
    """A folder beside `out` that holds one Parquet file for each piece of work."""

    def __init__(self, out: Path) -> None:
        self._folder = folder(out)

    def rows(
        self, inputs: Mapping[str, Any], cls: type[RowT], work: Callable[[], list[RowT]]
    ) -> list[RowT]:
        """Return the rows for `inputs`, calling `work` only if they are not on disk."""
        file = self._folder / f"{_key(inputs)}.parquet"
        found = _read(file, cls)
        if found is not None:
            return found
        rows = work()
        _write(file, rows, cls)
        return rows


def _key(inputs: Mapping[str, Any]) -> str:
    text = json.dumps(inputs, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(file: Path, cls: type[RowT]) -> list[RowT] | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return records.from_table(pq.read_table(file, partitioning=None), cls)
    except (FileNotFoundError, pa.ArrowInvalid, UserError):
        return None


def _write(file: Path, rows: list[RowT], cls: type[RowT]) -> None:
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}")
    pq.write_table(records.to_table(rows, cls), draft, compression="zstd")
    draft.replace(file)
