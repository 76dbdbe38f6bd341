"""JSONL and Parquet files as rows, and the data folder that holds them.

Owns the words for what is wrong with a file: it is named, with the line or row at fault. A row is
read as it is written; what it is worth is for the filters to say.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from s1_core.errors import UserError

ENVIRONMENT = "S1_DATA"
SUFFIXES = (".jsonl", ".parquet")
BATCH_ROWS = 256


class FileRow(NamedTuple):
    """A row, and where it stands: `file:line` of JSONL, `file:row` of Parquet, from 1."""

    where: str
    fields: dict[str, Any]


def folder(path: str | None) -> Path:
    """Return the data folder that `path` or S1_DATA names; raise UserError when there is none."""
    named = path or os.environ.get(ENVIRONMENT)
    if not named:
        raise UserError(f"no data folder: pass --path DIR or set {ENVIRONMENT}")
    root = Path(named)
    if not root.is_dir():
        raise UserError(f"data folder {root} does not exist; pass --path DIR or set {ENVIRONMENT}")
    return root


def found_in(root: Path) -> list[Path]:
    """Return the files of rows right under a folder, by name."""
    return sorted(path for path in root.glob("*") if path.suffix in SUFFIXES and path.is_file())


def sha256(path: Path) -> str:
    """Return the hash that identifies a source file in a manifest."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; is --path the data folder?") from error


def rows(path: Path) -> Iterator[FileRow]:
    """Walk over the rows of a file, a line or a batch at a time; UserError names what is wrong."""
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path} is neither {' nor '.join(SUFFIXES)}; convert it to one of them")
    yield from _jsonl(path) if path.suffix == ".jsonl" else _parquet(path)


def _jsonl(path: Path) -> Iterator[FileRow]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                where = f"{path}:{number}"
                yield FileRow(where, _parsed(line.rstrip(b"\r\n"), where))


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 at byte {error.start} of the line") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg}, column {error.colno})") from error
    except (ValueError, RecursionError) as error:  # a number or a nest beyond what Python takes
        raise UserError(f"{where}: not JSON that can be read ({error})") from error
    if not isinstance(row, dict):
        raise UserError(f"{where}: found {type(row).__name__}, wanted a JSON object")
    if b"\\ud" in line.lower():
        _refuse_lone_surrogates(row, where)
    return row


def _refuse_lone_surrogates(row: dict[str, Any], where: str) -> None:
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: half a surrogate pair, not valid Unicode") from error


def _parquet(path: Path) -> Iterator[FileRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                for fields in batch.to_pylist():
                    number += 1
                    yield FileRow(f"{path}:{number}", fields)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}:{number + 1}: not UTF-8 ({error.reason}) in or after it"
        ) from error
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(_damaged(path, error)) from error
    except OSError as error:
        if error.errno:  # the disk or its permissions, not the content
            raise
        raise UserError(_damaged(path, error)) from error


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).partition("\n")[0][:120]
    return f"{path}: not a whole Parquet file ({reason}); fetch or write it again"
