"""Files as rows: what is read, and how what is wrong with one is named."""

import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_core.errors import UserError
from s1_core.records import question_id
from s1_data.sources import copies, files
from s1_data.sources.published.competitions import MATH, NUMINAMATH, OMNI_MATH
from s1_data.sources.published.exams import AGIEVAL
from s1_data.sources.published.gpqa import GPQA
from s1_data.sources.published.programming import LIVECODEBENCH

ROW = {"question": "q?", "solution": "s", "answer": "1", "source_type": "agieval/sat-en"}
OMNI = {"problem": "p", "solution": "s \\boxed{3}"}
NUMINA = {"problem": "p", "solution": "s", "source": "aops_forum"}


def write(path: Path, *lines: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def line(**fields: object) -> bytes:
    return json.dumps(ROW | fields).encode()


def lines(path: Path, rows: Iterable[dict[str, object]]) -> Path:
    return write(path, *(json.dumps(row).encode() for row in rows))


def test_rows_become_questions(tmp_path: Path) -> None:
    path = write(
        tmp_path / "some.jsonl",
        line(metadata={"b": 1, "a": "é"}), b"", line(solution=" ", answer=None),
        line(cot_type="science", metadata='{"z": 1,"a": 2}'), line(metadata="{'a': None}"),
    )  # fmt: skip
    first, second, third, fourth = copies.read_records([path])
    assert first.id == question_id("q?")
    assert (first.solution, first.answer, first.cot_type) == ("s", "1", "english")
    assert first.metadata == '{"a": "é", "b": 1}'
    assert (second.solution, second.answer, second.metadata) == (None, None, "{}")
    assert (third.cot_type, third.metadata) == ("science", '{"a": 2, "z": 1}')
    assert json.loads(fourth.metadata) == {"metadata": "{'a': None}"}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b'{"question": "q?", "solu', "not JSON"),
        (b'{"question": "q?"}', "missing column solution, answer, source_type; found question"),
        (b'{"question": "\xff"}', "not UTF-8"),
        (line(question="\ud800"), "half a surrogate pair"),
        (line(question=None), "question is not a string"),
        (b"[1]", "wanted a JSON object"),
        (b"1" * 5000, "not JSON that can be read"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, bad: bytes, message: str) -> None:
    path = write(tmp_path / "some.jsonl", line(), bad)
    with pytest.raises(UserError, match=message) as caught:
        copies.read_records([path])
    assert str(caught.value).startswith(f"{path}:2: ")


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",))), max_size=20))
@settings(deadline=None, max_examples=30)
def test_text_survives_both_formats_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("both")
    rows = [ROW | {"question": text} for text in texts]
    lines(folder / "some.jsonl", rows)
    schema = pa.schema([(name, pa.string()) for name in ROW])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "some.parquet")
    read = [copies.read_records([folder / f"some{suffix}"]) for suffix in files.SUFFIXES]
    assert read[0] == read[1]
    assert [question.question for question in read[0]] == texts


@pytest.mark.parametrize("num_bytes", [0, 3, 300])
def test_a_parquet_file_cut_short_is_named(tmp_path: Path, num_bytes: int) -> None:
    whole, cut = tmp_path / "whole.parquet", tmp_path / "cut.parquet"
    pq.write_table(pa.Table.from_pylist([ROW] * 100), whole)
    cut.write_bytes(whole.read_bytes()[:num_bytes])
    with pytest.raises(UserError, match=r"cut\.parquet: not a whole Parquet file"):
        list(files.rows(cut))


def test_a_parquet_row_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    bad = pa.array([b"fine", b"\xff"], pa.binary()).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"question": bad}), path)
    with pytest.raises(UserError, match=r"some\.parquet:\d+: not UTF-8"):
        list(files.rows(path))


def test_the_data_folder_comes_from_the_flag_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("S1_DATA", raising=False)
    with pytest.raises(UserError, match="pass --path DIR or set S1_DATA"):
        files.folder(None)
    monkeypatch.setenv("S1_DATA", str(tmp_path))
    assert files.folder(None) == tmp_path
    with pytest.raises(UserError, match="does not exist"):
        files.folder(str(tmp_path / "other"))
    with pytest.raises(UserError, match="does not exist"):
        files.sha256(tmp_path / "other")


def test_a_copy_may_have_the_columns_of_the_hub_or_ours(tmp_path: Path) -> None:
    (hub,) = copies.read(OMNI_MATH, str(lines(tmp_path / "hub.jsonl", [OMNI])))
    assert (hub.question, hub.answer, hub.source_type) == ("p", "3", "KbsdJames/Omni-MATH")
    path = str(lines(tmp_path / "ours.jsonl", [ROW]))
    (ours,) = copies.read(OMNI_MATH, path)
    assert (ours.question, ours.source_type) == ("q?", "agieval/sat-en")
    assert copies.holds_records(path)
    assert not copies.holds_records(str(tmp_path / "hub.jsonl"))


def test_missing_columns_say_what_was_found_and_wanted(tmp_path: Path) -> None:
    path = lines(tmp_path / "some.jsonl", [OMNI, {"problem": "p", "text": "s"}])
    with pytest.raises(UserError, match="jsonl:2: missing column solution; found problem, text"):
        copies.read(OMNI_MATH, str(path))


def test_a_folder_holds_the_parts_by_config_and_split(tmp_path: Path) -> None:
    rows = [NUMINA, NUMINA | {"problem": "kept", "source": "olympiads"}]
    lines(tmp_path / "train-00001-of-00002.jsonl", rows[1:])
    lines(tmp_path / "train-00000-of-00002.jsonl", rows[:1])
    lines(tmp_path / "trainee.jsonl", [{"none": "of this is read"}])
    with pytest.raises(UserError, match=r"no rows of numinamath_500/train.*numinamath_500/train\."):
        copies.read(NUMINAMATH, str(tmp_path))
    lines(tmp_path / "numinamath_500" / "train.jsonl", [{"problem": "kept"}])
    assert [q.question for q in copies.read(NUMINAMATH, str(tmp_path))] == ["kept", "p"]


def test_a_lone_file_names_its_parts_by_columns(tmp_path: Path) -> None:
    row = {
        "Question": "q", "Explanation": "e", "Incorrect Answer 1": "1", "Incorrect Answer 2": "2",
        "Incorrect Answer 3": "3", "Correct Answer": "4", "config": "gpqa_extended",
    }  # fmt: skip
    path = lines(tmp_path / "gpqa.jsonl", [row, row | {"Question": "diamond"}])
    with pytest.raises(UserError, match="no rows of gpqa_diamond/train"):
        copies.read(GPQA, str(path))
    diamond = {"Question": "diamond", "config": "gpqa_diamond"}
    lines(path, [row, row | {"Question": "diamond"}, diamond])
    assert [q.question for q in copies.read(GPQA, str(path))] == ["q"]
    lines(path, [row | {"config": "gpqa_main"}])
    with pytest.raises(UserError, match="is no part of gpqa; its parts are gpqa_diamond/train"):
        copies.read(GPQA, str(path))


def test_agieval_without_configurations_is_refused(tmp_path: Path) -> None:
    row = {"question": "q", "solution": "s", "passage": "", "options": ["(A) 1"]}
    with pytest.raises(UserError, match="no rows of sat_en/few_shot"):
        copies.read(AGIEVAL, str(lines(tmp_path / "all.jsonl", [row])))


def test_the_files_of_a_repository_are_found_under_their_own_names(tmp_path: Path) -> None:
    for name in ("test", "test2", "test3"):
        row = {"question_content": name, "difficulty": "hard"}
        lines(tmp_path / f"{name}.jsonl", [row, row | {"difficulty": "easy"}])
    found = [(q.question, q.source_type[-2:]) for q in copies.read(LIVECODEBENCH, str(tmp_path))]
    assert found == [
        ("test", "v1"), ("test", "v2"), ("test2", "v2"),
        ("test", "v3"), ("test2", "v3"), ("test3", "v3"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "does not exist"),
        ("empty", "no .jsonl or"),
        ("a.csv", "neither .jsonl"),
    ],
)
def test_what_is_no_copy_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_text("problem\n")
    with pytest.raises(UserError, match=message):
        copies.read(MATH, str(tmp_path / name))
