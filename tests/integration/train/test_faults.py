"""What a user can get wrong: one line each, exit 2, nothing lost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.train.verbs import SCRATCH, run
from s1_core import artifacts
from s1_core.config_parser import parse
from s1_core.errors import UserError
from s1_train import fit
from s1_train.config import TrainConfig
from s1_train.runs.folder import RunFolder


def refusal(*flags: object) -> str:
    """Run `fit` in this process; it has to refuse before it starts another."""
    with pytest.raises(UserError) as caught:
        fit.main(parse(TrainConfig, [str(flag) for flag in flags], "train"))
    return str(caught.value)


def test_a_missing_or_altered_artifact(s1k: Path, tmp_path: Path) -> None:
    place = ("--out", tmp_path / "run", *SCRATCH)
    assert "no artifact" in refusal("--data", tmp_path / "nowhere", *place)
    altered = tmp_path / "s1k"
    shutil.copytree(s1k, altered)
    with (altered / "examples.parquet").open("ab") as stream:
        stream.write(b"x")
    assert "examples.parquet was altered" in refusal("--data", altered, *place)
    with artifacts.create(tmp_path / "report", kind="report", config={}) as draft:
        draft.write_text("report.json", "{}")
    assert "wanted 's1k'" in refusal("--data", tmp_path / "report", *place)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_ours_to_write(s1k: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    below = refusal("--data", s1k, "--out", tmp_path / "file" / "run", *SCRATCH)
    assert "under a file" in below
    taken = refusal("--data", s1k, "--out", tmp_path, *SCRATCH)
    assert "not a run" in taken
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.multiprocess
def test_two_runs_in_one_folder(s1k: Path, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run").locked():
        second = run("--data", s1k, "--out", tmp_path / "run", *SCRATCH)
    assert second.returncode == 2
    assert "another run is at work" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


def test_an_unknown_key(s1k: Path, tmp_path: Path) -> None:
    assert "optimiser.lr" in refusal("--data", s1k, "--out", tmp_path / "run", "--optimizer.lr=1")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("batchsize: 3\n")
    said = refusal("--config", recipe, "--data", s1k, "--out", tmp_path / "run")
    assert "batchsize" in said and "batch_size" in said


@pytest.mark.multiprocess
@pytest.mark.parametrize("missing", ["model.safetensors", "config.json", "tokenizer.json"])
def test_an_incomplete_base_model(missing: str, model: Path, s1k: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(model, base)
    (base / "manifest.json").unlink()  # as downloaded: a folder without hashes
    (base / missing).unlink()
    assert missing in refusal("--data", s1k, "--out", tmp_path / "run", "--base", base)


@pytest.mark.multiprocess
def test_a_tokenizer_without_the_delimiters(model: Path, s1k: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(model, base)
    (base / "manifest.json").unlink()
    words = (base / "tokenizer.json").read_text()
    (base / "tokenizer.json").write_text(words.replace("<|im_start|>", "<|other_start|>"))
    said = refusal("--data", s1k, "--out", tmp_path / "run", "--base", base)
    assert "<|im_start|>" in said and "special token" in said


def test_no_row_that_fits(s1k: Path, tmp_path: Path) -> None:
    short = refusal("--data", s1k, "--out", tmp_path / "a", *SCRATCH, "--block_size=20")
    assert "no sample fits block_size 20" in short


def test_processes_that_do_not_divide_the_batch(s1k: Path, tmp_path: Path) -> None:
    said = refusal("--data", s1k, "--out", tmp_path / "run", *SCRATCH, "--devices=3")
    assert "devices 3 does not divide batch_size 8" in said


@pytest.mark.multiprocess
def test_a_loss_that_is_not_finite_names_the_samples(s1k: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    exploding = run(
        "--data", s1k, "--out", folder, *SCRATCH, "--devices=2", "--optimiser.lr=1e38",
        "--checkpoints.every_steps=1",
    )  # fmt: skip
    assert exploding.returncode == 3, exploding.stderr
    line = exploding.stderr.strip().splitlines()[-1]
    assert "is not finite, among samples" in line and "last good checkpoint is kept" in line
    step = int(line.partition("of step ")[2].split()[0])
    kept = artifacts.load(max((folder / "checkpoints").glob("step-*")), kind="checkpoint")
    assert kept.config["step"] == step - 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 KiB; making one needs root."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", place])
    if made.returncode:
        pytest.skip("cannot mount a small file system here (needs root)")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_one_line_and_leaves_nothing_behind(
    small_disk: Path, s1k: Path, trained: Path
) -> None:
    """100 samples and a model of 0.2M parameters are both larger than the disk."""
    fitted = run("--data", s1k, "--out", small_disk / "run", *SCRATCH)
    shutil.rmtree(small_disk / "run", ignore_errors=True)
    exported = run("--run", trained, "--out", small_disk / "model", module="export")
    for ended in (fitted, exported):
        assert ended.returncode == 2, ended.stderr
        assert "Traceback" not in ended.stderr
        assert "No space left" in ended.stderr or "disk is full" in ended.stderr
    assert not (small_disk / "model").exists()
