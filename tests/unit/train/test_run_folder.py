"""What a run leaves and finds again: its folder, its checkpoints, its lines a step, its loggers."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from s1_core import artifacts
from s1_core.errors import UserError
from s1_train.launch import process
from s1_train.net import weights
from s1_train.runs import checkpoints, loggers
from s1_train.runs.folder import Identity, RunFolder
from s1_train.runs.watch import StepLog

IDENTITY = Identity({"seed": 1, "base": "one"}, {"s1k": "aa", "base": "bb"})


def saved(folder: Path, *steps: int) -> list[str]:
    for step in steps:
        (folder / f"step-{step:08d}").mkdir()
    return sorted(path.name for path in folder.iterdir())


def test_as_many_checkpoints_are_kept_as_asked(tmp_path: Path) -> None:
    saved(tmp_path, 10, 20, 30)
    checkpoints.prune(tmp_path, step=30, keep=2)
    assert saved(tmp_path) == ["step-00000020", "step-00000030"]


def test_damaged_checkpoints_do_not_push_out_good_ones(tmp_path: Path) -> None:
    """A run whose two newest are damaged begins again and saves at a lower step."""
    saved(tmp_path, 100, 150)
    saved(tmp_path, 50)
    checkpoints.prune(tmp_path, step=50, keep=2)
    assert saved(tmp_path) == ["step-00000050"]


def test_a_run_is_known_by_its_recipe_and_the_content_of_its_inputs(tmp_path: Path) -> None:
    renamed = Identity(IDENTITY.recipe | {"base": "two"}, IDENTITY.parents)
    assert IDENTITY.differences(renamed) == []
    retrained = Identity(renamed.recipe, IDENTITY.parents | {"base": "cc"})
    assert IDENTITY.differences(retrained) == [
        "base was one, now two", "sha256 of base was bb, now cc",
    ]  # fmt: skip
    scratch = Identity({"seed": 1, "base": "none"}, {"s1k": "aa"})
    assert "base was one, now none" in IDENTITY.differences(scratch)


def test_a_changed_recipe_begins_anew_only_when_told(tmp_path: Path) -> None:
    folder, changed = RunFolder(tmp_path / "run"), Identity({"seed": 2}, {"s1k": "aa"})
    with folder.locked():
        folder.claim(IDENTITY, "refuse")
        folder.checkpoints.mkdir()
        folder.metrics.write_text("step\n1\n")
        with pytest.raises(UserError, match="seed was 1, now 2"):
            folder.claim(changed, "refuse")
        assert folder.metrics.is_file()
        folder.claim(changed, "restart")
    assert folder.identity() == changed
    assert not folder.metrics.exists() and not folder.checkpoints.exists()


def test_a_first_start_cut_off_does_not_spoil_the_folder(tmp_path: Path) -> None:
    (tmp_path / ".recipe.json.tmp").write_text('{"schema')
    with RunFolder(tmp_path).locked():
        RunFolder(tmp_path).claim(IDENTITY, "refuse")
    assert RunFolder(tmp_path).identity() == IDENTITY


def test_a_fault_within_a_run_is_not_taken_for_another_run(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), RunFolder(tmp_path).locked():
        raise BlockingIOError(errno.EAGAIN, "a console that takes no more")


def test_only_faults_of_the_run_folder_are_told_as_such(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    own = OSError(errno.EACCES, "no", str(folder.path / "logs" / "x"))
    assert process.concerns(folder, own) and process.concerns(folder, OSError(errno.ENOSPC, "full"))
    assert not process.concerns(folder, OSError(errno.EROFS, "no", "/root/.triton/cache"))


def test_lines_of_steps_to_come_again_are_dropped(tmp_path: Path) -> None:
    """By their step: a machine that lost power may have lost lines in between."""
    path = tmp_path / "rank-1.csv"
    path.write_text("step,samples\n1,a\n2,b\n5,e\n6,f\n7,g\n8")
    StepLog(path, ("step", "samples"), 5).write(6, "x")
    assert path.read_text() == "step,samples\n1,a\n2,b\n5,e\n6,x\n"


def test_a_base_model_without_hashes_is_known_by_its_weights(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(artifacts.embedded(), folder)
    (folder / artifacts.MANIFEST).unlink()
    before = weights.find(str(folder), None)
    file = folder / "model.safetensors"
    with file.open("r+b") as stream:
        stream.seek(-4, os.SEEK_END)
        stream.write(b"\x01\x02\x03\x04")
    after = weights.find(str(folder), None)
    assert before and after and before.sha256 != after.sha256


class Flaky:
    """A service that goes away after one step."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        if self.steps:
            raise ConnectionError("the server\nis gone")
        self.steps.append(step)

    def finalize(self, status: str) -> None:
        raise AssertionError("left alone once it is lost")


def test_a_service_that_fails_does_not_end_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    service: Any = Flaky()
    log = loggers.Log("mlflow", service, known_step=3)
    for step in (3, 4, 5, 6):
        log.write({"loss": 1.0}, step)
    log.close("success")
    assert service.steps == [4]
    said = capsys.readouterr().err.splitlines()
    assert said == ["warning: mlflow failed, the run goes on without it: "
                    "ConnectionError: the server is gone"]  # fmt: skip


def test_a_service_that_cannot_be_reached_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert loggers.build(["mlflow"], RunFolder(tmp_path), {"seed": 1}, 0) == []
    assert "warning: mlflow failed, the run goes on without it" in capsys.readouterr().err


def test_what_our_own_code_says_of_the_folder_is_no_service_that_failed(tmp_path: Path) -> None:
    (tmp_path / "loggers.json").write_text("{cut")
    with pytest.raises(UserError, match="is damaged"):
        loggers.build(["mlflow"], RunFolder(tmp_path), {"seed": 1}, 0)
