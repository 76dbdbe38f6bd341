"""Questions from a folder of JSONL files: `questions/*.jsonl` to build, `eval/*.jsonl` to test.

A line that cannot be read is the user's fault and stops with its file and number.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from s1_core.errors import UserError
from s1_core.records import Question, question_id

ENVIRONMENT = "S1_DATA"
QUESTION_COLUMNS = ("question", "solution", "answer", "source_type")
BENCHMARK_COLUMNS = ("question", "answer")
ENGLISH = ("agieval/sat-en", "agieval/lsat-")


def folder(path: str | None) -> Path:
    """Return the data folder that `path` or S1_DATA names; raise UserError when there is none."""
    named = path or os.environ.get(ENVIRONMENT)
    if not named:
        raise UserError(f"no data folder: pass --path DIR or set {ENVIRONMENT}")
    root = Path(named)
    if not root.is_dir():
        raise UserError(f"data folder {root} does not exist; pass --path DIR or set {ENVIRONMENT}")
    return root


def question_files(root: Path) -> list[Path]:
    """Return the JSONL files to build from, in a fixed order."""
    files = sorted((root / "questions").glob("*.jsonl"))
    if not files:
        raise UserError(f"no questions/*.jsonl under {root}")
    return files


def sha256(path: Path) -> str:
    """Return the hash that identifies a source file in a manifest."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; is --path the data folder?") from error


def read_questions(paths: Sequence[Path]) -> list[Question]:
    """Read the files in order; the filters judge what the rows are worth."""
    return [_question(row) for path in paths for row in _rows(path, QUESTION_COLUMNS)]


def read_benchmark(path: Path, name: str) -> list[Question]:
    """Read an evaluation file; columns beyond question, answer and solution become metadata."""
    return [
        _question({"source_type": name, "metadata": _extra(row), **row})
        for row in _rows(path, BENCHMARK_COLUMNS)
    ]


def _rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        row = _parse(line, f"{path}:{number}")
        missing = [column for column in columns if column not in row]
        if missing:
            raise UserError(f"{path}:{number}: missing column {', '.join(missing)}")
        yield row


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 at byte {error.start} of the line") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg}, column {error.colno})") from error
    if not isinstance(row, dict):
        raise UserError(f"{where}: found {type(row).__name__}, wanted a JSON object")
    if not isinstance(row.get("question", ""), str):
        raise UserError(f"{where}: question is not a string")
    if b"\\ud" in line.lower():
        _refuse_lone_surrogates(row, where)
    return row


def _refuse_lone_surrogates(row: dict[str, Any], where: str) -> None:
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: half a surrogate pair, not valid Unicode") from error


def _extra(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in row if key not in ("question", "answer", "solution")}


def _question(row: dict[str, Any]) -> Question:
    text, solution, answer = row["question"], row.get("solution"), row["answer"]
    source_type = str(row["source_type"])
    return Question(
        id=question_id(text),
        question=text,
        solution=None if solution is None or not str(solution).strip() else str(solution),
        answer=None if answer is None or not str(answer).strip() else str(answer),
        cot_type="english" if source_type.startswith(ENGLISH) else "math",
        source_type=source_type,
        metadata=json.dumps(row.get("metadata") or {}, sort_keys=True, ensure_ascii=False),
    )
