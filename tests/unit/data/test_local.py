"""A folder of JSONL: what is read, and how a bad line is named."""

import json
from pathlib import Path

import pytest

from s1_core.errors import UserError
from s1_core.records import question_id
from s1_data.sources import local

ROW = {"question": "q?", "solution": "s", "answer": "1", "source_type": "agieval/sat-en"}


def write(folder: Path, *lines: bytes) -> Path:
    path = folder / "questions" / "some.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def line(**fields: object) -> bytes:
    return json.dumps(ROW | fields).encode()


def test_rows_become_questions(tmp_path: Path) -> None:
    path = write(tmp_path, line(metadata={"b": 1, "a": "é"}), b"", line(solution=" ", answer=None))
    first, second = local.read_questions([path])
    assert first.id == question_id("q?")
    assert (first.solution, first.answer, first.cot_type) == ("s", "1", "english")
    assert first.metadata == '{"a": "é", "b": 1}'
    assert (second.solution, second.answer, second.metadata) == (None, None, "{}")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b'{"question": "q?", "solu', "not JSON"),
        (b'{"question": "q?"}', "missing column solution, answer, source_type"),
        (b'{"question": "\xff"}', "not UTF-8"),
        (line(question="\ud800"), "half a surrogate pair"),
        (line(question=None), "question is not a string"),
        (b"[1]", "wanted a JSON object"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, bad: bytes, message: str) -> None:
    path = write(tmp_path, line(), bad)
    with pytest.raises(UserError, match=message) as caught:
        local.read_questions([path])
    assert str(caught.value).startswith(f"{path}:2: ")


def test_the_folder_comes_from_the_flag_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("S1_DATA", raising=False)
    with pytest.raises(UserError, match="pass --path DIR or set S1_DATA"):
        local.folder(None)
    monkeypatch.setenv("S1_DATA", str(tmp_path))
    assert local.folder(None) == tmp_path
    with pytest.raises(UserError, match="does not exist"):
        local.folder(str(tmp_path / "other"))
    with pytest.raises(UserError, match=r"no questions/\*\.jsonl"):
        local.question_files(tmp_path)


def test_benchmarks_keep_their_other_columns_as_metadata(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"question": "q?", "answer": 204, "id": 60}')
    (row,) = local.read_benchmark(path, "aime24")
    assert (row.answer, row.source_type, row.metadata) == ("204", "aime24", '{"id": 60}')
