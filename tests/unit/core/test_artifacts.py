"""Artifacts: identity, damage named, one writer at a time, and a death at the worst moment."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from s1_core import artifacts, folder_swap, provenance
from s1_core.errors import UserError
from s1_core.records import Question, question_id

ROWS = [
    Question(
        id=question_id(text),
        question=text,
        solution=None,
        answer="3",
        cot_type="math",
        source_type="bank",
        metadata="{}",
    )
    for text in ("1 + 2", "é\n")
]
WRITER = """
import sys, time
from s1_core import artifacts
with artifacts.create(sys.argv[1], kind="questions", config={"seed": 2}) as draft:
    draft.write_text("new.txt", "half")
    print("inside", flush=True)
    time.sleep(60)
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    RUN_ONLY: ClassVar[tuple[str, ...]] = ("num_workers",)
    seed: int = 0
    names: tuple[str, ...] = ("a",)
    out: Path = Path("/somewhere")
    num_workers: int = 1


def write(out: Path, seed: int = 1, text: str = "words") -> str:
    config = Config(seed=seed, out=out)
    with artifacts.create(out, kind="questions", config=config, parents={"pool": "ab"}) as draft:
        draft.write("questions", ROWS, Question)
        draft.write_text("deep/notes.txt", text)
    return artifacts.load(out).sha256


def start_writer(out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(out)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stdout.readline() == "inside\n"
    return writer


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write(tmp_path / "a")
    found = artifacts.load(tmp_path / "a", kind="questions")
    assert found.read("questions", Question) == found.read("questions.parquet", Question) == ROWS
    assert found.config == {"seed": 1, "names": ["a"]} and found.parents == {"pool": "ab"}
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert [(f["path"], f["rows"]) for f in manifest["files"]] == [
        ("deep/notes.txt", None),
        ("questions.parquet", 2),
    ]
    run = json.loads((tmp_path / "a" / "run.json").read_text())
    assert run["config"]["num_workers"] == 1 and run["versions"]["s1-core"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_manifest_hash_names_the_content_alone(tmp_path: Path) -> None:
    first = write(tmp_path / "a")
    assert write(tmp_path / "elsewhere") == write(tmp_path / "a") == first
    assert len({first, write(tmp_path / "b", seed=2), write(tmp_path / "c", text="other")}) == 3


def test_is_current(tmp_path: Path) -> None:
    out = tmp_path / "a"

    def current(seed: int = 1, kind: str = "questions", parent: str = "ab") -> bool:
        config = Config(seed=seed, num_workers=8)
        return artifacts.is_current(out, kind=kind, config=config, parents={"pool": parent})

    assert not current()
    write(out)
    assert current()
    assert not current(seed=2) and not current(kind="s1k") and not current(parent="cd")
    (out / "deep" / "notes.txt").write_text("wordz")
    assert not current()


@pytest.mark.parametrize("fault", ["altered", "shorter", "missing"])
def test_a_damaged_file_is_named(tmp_path: Path, fault: str) -> None:
    write(tmp_path / "a")
    file = tmp_path / "a" / "questions.parquet"
    content = file.read_bytes()
    if fault == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-1] + (b"?" if fault == "altered" else b""))
    with pytest.raises(
        UserError, match=r"questions\.parquet .*(altered|missing).*; delete .*a and"
    ):
        artifacts.load(tmp_path / "a")


def test_strangers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no artifact at"):
        artifacts.load(tmp_path / "none")
    with pytest.raises(UserError, match=r"no manifest\.json"):
        artifacts.load(tmp_path)
    write(tmp_path / "a")
    with pytest.raises(UserError, match="'questions', wanted 's1k'"):
        artifacts.load(tmp_path / "a", kind="s1k")
    with pytest.raises(UserError, match=r"holds no traces\.parquet"):
        artifacts.load(tmp_path / "a").read("traces", Question)
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(UserError, match="schema version 9, this version reads 1"):
        artifacts.load(tmp_path / "a")
    manifest.write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json is damaged"):
        artifacts.load(tmp_path / "a")
    for files in ("5", "[5]", '[{"path": "questions.parquet"}]'):
        fields = f'"schema_version": 1, "kind": "q", "files": {files}, "config": 1, "parents": 1'
        manifest.write_text("{" + fields + "}")
        with pytest.raises(UserError, match=r"manifest\.json is incomplete"):
            artifacts.load(tmp_path / "a")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="choose another --out"):
        write(tmp_path)
    with pytest.raises(UserError, match="is a file"):
        write(tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_failing_writer_leaves_the_old_artifact_and_nothing_else(tmp_path: Path) -> None:
    before = write(tmp_path / "a")
    with (
        pytest.raises(ZeroDivisionError),
        artifacts.create(tmp_path / "a", kind="questions", config={}) as draft,
    ):
        draft.write_text("new.txt", "half")
        raise ZeroDivisionError
    assert artifacts.load(tmp_path / "a").sha256 == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_killed_writer_leaves_the_old_artifact_and_no_lock(tmp_path: Path) -> None:
    before = write(tmp_path / "a")
    writer = start_writer(tmp_path / "a")
    writer.kill()
    assert writer.wait(10) == -signal.SIGKILL
    assert artifacts.load(tmp_path / "a").sha256 == before
    after = write(tmp_path / "a", seed=5)
    assert artifacts.load(tmp_path / "a").sha256 == after != before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_two_writers_of_one_place_refuse(tmp_path: Path) -> None:
    writer = start_writer(tmp_path / "a")
    try:
        with pytest.raises(UserError, match="another run is writing"):
            write(tmp_path / "a")
        write(tmp_path / "b")
    finally:
        writer.kill()
        writer.wait(10)
    with (
        artifacts.create(tmp_path / "a", kind="questions", config={}),
        pytest.raises(UserError, match="another run is writing"),
    ):
        write(tmp_path / "a")


def test_an_exchange_stopped_half_way_is_undone(tmp_path: Path) -> None:
    """Where folders cannot be exchanged in one step, death may fall between two renames."""
    before = write(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / ".a.old")
    with pytest.raises(KeyError), folder_swap.replacing(tmp_path / "a"):
        raise KeyError
    assert artifacts.load(tmp_path / "a").sha256 == before


def test_replacing_works_without_an_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write(tmp_path / "a")
    monkeypatch.setattr(folder_swap, "_exchange", lambda one, other: False)
    assert write(tmp_path / "a", seed=3) != before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_embedded_is_a_path_of_its_own() -> None:
    assert artifacts.embedded().parent.name == "s1_core"
    if (artifacts.embedded() / "manifest.json").is_file():
        assert artifacts.load("embedded").path == artifacts.embedded()


def test_an_image_without_git_says_its_commit_itself(monkeypatch):
    monkeypatch.setenv(provenance.CODE, "1f" * 20)
    assert provenance.git_sha() == "1f" * 20
    monkeypatch.setenv(provenance.CODE, "")
    assert provenance.git_sha() != ""
