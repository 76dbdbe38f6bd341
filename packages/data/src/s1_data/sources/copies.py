"""A source read from one's own files instead of the hub: in the hub's columns or in our record's.

A folder holds `<config>/<split>*` or `<split>*`, JSONL or Parquet; a lone file may say with the
columns `config` and `split` which part each row belongs to. Refuses a copy that lacks a part
which the source cannot do without.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from s1_core.errors import UserError
from s1_core.records import Question, question_id
from s1_data.sources import files
from s1_data.sources.files import FileRow
from s1_data.sources.source import Part, RawRow, Source, converted, filled, metadata

RECORD_COLUMNS = ("question", "solution", "answer", "source_type")
ENGLISH = ("agieval/sat-en", "agieval/lsat-")
Placed = tuple[Part | None, Path]  # None: each row says its part, or belongs to the first one


def paths(path: str) -> list[Path]:
    """Return every file of rows in a copy, in a fixed order; UserError when there is none."""
    root = Path(path)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise UserError(f"{root} does not exist; name a file or folder of JSONL or Parquet")
    found = sorted(file for suffix in files.SUFFIXES for file in root.rglob(f"*{suffix}"))
    if not found:
        raise UserError(f"no .jsonl or .parquet file under {root}")
    return found


def holds_records(path: str) -> bool:
    """Say whether a copy is in our record's columns, by its first row."""
    first = next((row for file in paths(path) for row in files.rows(file)), None)
    return first is not None and _is_record(first)


def read(source: Source, path: str) -> list[Question]:
    """Return the questions of a copy, by the source's mapping or as the records they are."""
    if holds_records(path):
        return read_records(paths(path))
    placed = _placed(source, Path(path))
    rows = [(part, file) for part, file in placed if part is not None]
    if rows:
        _refuse_missing(source, Path(path), {part for part, _ in rows if part is not None})
        return converted(source, _rows(source, rows))
    grouped = list(_sorted(source, _rows(source, placed)))
    _refuse_missing(source, Path(path), {row.part for row in grouped})
    return converted(source, grouped)


def read_records(found: Sequence[Path]) -> list[Question]:
    """Read files of records in order; the filters judge what the rows are worth."""
    return [_record(row) for path in found for row in files.rows(path)]


def _placed(source: Source, root: Path) -> list[Placed]:
    """Find the files of each part, or those whose rows must say their part themselves."""
    if root.is_file():
        return [(source.parts[0] if len(source.parts) == 1 else None, root)]
    placed: list[Placed] = [(part, f) for part in source.parts for f in _part_files(root, part)]
    if placed:
        return placed
    alone = source.parts[0] if len(source.parts) == 1 else None
    splits = dict.fromkeys(part.split for part in source.parts)
    found = [file for split in splits for file in _named(root, split)] or files.found_in(root)
    return [(alone, file) for file in found or paths(str(root))]


def _part_files(root: Path, part: Part) -> list[Path]:
    whole = [root / name for name in part.data_files]
    if whole and all(file.is_file() for file in whole):
        return whole
    return _named(root / part.folder, part.split)


def _named(root: Path, split: str) -> list[Path]:
    """Find `split.jsonl`, `split-00000-of-00002.parquet` and the like; `test` is not `test2`."""
    name = re.compile(rf"{re.escape(split)}(?:[-_.].*)?")
    return [file for file in files.found_in(root) if name.fullmatch(file.stem)]


def _rows(source: Source, placed: Iterable[Placed]) -> Iterator[RawRow]:
    for known, path in placed:
        for row in files.rows(path):
            part = known or _named_part(source, row)
            _check(source, part, row)
            yield RawRow(part, row.fields)


def _named_part(source: Source, row: FileRow) -> Part:
    """Find the part that a row's `config` and `split` name; without them it is the first one."""
    config, split = row.fields.get("config"), row.fields.get("split")
    if config is None and split is None:
        return next(part for part in source.parts if part.hub_id is None)
    for part in source.parts:
        if config in (None, part.folder) and split in (None, part.split):
            return part
    raise UserError(
        f"{row.where}: config {config!r}, split {split!r} is no part of {source.name};"
        f" its parts are {_list(source.parts)}"
    )


def _sorted(source: Source, rows: Iterable[RawRow]) -> Iterator[RawRow]:
    """Put rows of a lone file in the order of the parts."""
    found: dict[Part, list[RawRow]] = {part: [] for part in source.parts}
    for row in rows:
        found[row.part].append(row)
    for group in found.values():
        yield from group


def _refuse_missing(source: Source, root: Path, found: set[Part]) -> None:
    missing = [part for part in source.parts if part not in found]
    if missing and (source.needs_every_part or root.is_dir()):
        raise UserError(
            f"{root} has no rows of {_list(missing[:4])}, which {source.name} needs; a folder holds"
            f" them as {missing[0]}.jsonl or .parquet, a lone file names them with the columns"
            " config and split"
        )


def _check(source: Source, part: Part, row: FileRow) -> None:
    missing = lacking(source.columns_of(part), row.fields)
    if missing:
        raise UserError(
            f"{row.where}: missing column {', '.join(missing)}; found {', '.join(row.fields)},"
            f" wanted the columns of {source.hub_id} or {', '.join(RECORD_COLUMNS)}"
        )


def lacking(wanted: Iterable[str], found: Iterable[str]) -> list[str]:
    """Name the columns that are missing; `a|b` is there when either is."""
    names = set(found)
    return [column for column in wanted if names.isdisjoint(column.split("|"))]


def _is_record(row: FileRow) -> bool:
    return {"question", "source_type"} <= row.fields.keys()


def _record(row: FileRow) -> Question:
    fields, where = row.fields, row.where
    missing = lacking(RECORD_COLUMNS, fields)
    if missing:
        raise UserError(f"{where}: missing column {', '.join(missing)}; found {', '.join(fields)}")
    if not isinstance(fields["question"], str):
        raise UserError(f"{where}: question is not a string")
    text, source_type = fields["question"], str(fields["source_type"])
    kind = fields.get("cot_type") or ("english" if source_type.startswith(ENGLISH) else "math")
    return Question(
        id=question_id(text),
        question=text,
        solution=filled(fields["solution"]),
        answer=filled(fields["answer"]),
        cot_type=str(kind),
        source_type=source_type,
        metadata=_json_text(fields.get("metadata")),
    )


def _json_text(value: Any) -> str:
    """Keep metadata that is JSON text; other text, as s1K's str() of a dict, becomes a field."""
    if isinstance(value, Mapping):
        return metadata(value)
    if not isinstance(value, str):
        return metadata({} if value is None else {"metadata": value})
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = None
    return metadata(parsed if isinstance(parsed, dict) else {"metadata": value})


def _list(parts: Iterable[Part]) -> str:
    return ", ".join(map(str, parts))
