"""What a user can get wrong: one line each, exit 2, nothing lost."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from integration.train.verbs import SCRATCH, run
from s1_core import artifacts
from s1_core.config_parser import parse
from s1_core.errors import UserError
from s1_core.records import Example
from s1_train import fit
from s1_train.config import ModelShape, TrainConfig
from s1_train.net import weights
from s1_train.runs import encoded
from s1_train.runs.folder import RunFolder, read_json
from s1_train.runs.inputs import Inputs


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


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base model as downloaded: a folder without hashes."""
    folder = tmp_path / "base"
    shutil.copytree(artifacts.embedded(), folder)
    (folder / artifacts.MANIFEST).unlink()
    return folder


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json", "tokenizer.json"])
def test_an_incomplete_base_model(missing: str, base: Path, s1k: Path, tmp_path: Path) -> None:
    (base / missing).unlink()
    said = refusal("--data", s1k, "--out", tmp_path / "run", "--base", base)
    assert f"lacks {missing}" in said and not (tmp_path / "run").exists()


@pytest.mark.parametrize("cut", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("left", [0, 7, -100], ids=["all of it", "all but a word", "its end"])
def test_a_base_model_cut_short(cut: str, left: int, base: Path, s1k: Path, tmp_path: Path) -> None:
    (base / cut).write_bytes((base / cut).read_bytes()[:left])
    said = refusal("--data", s1k, "--out", tmp_path / "run", "--base", base)
    assert f"{base / cut} is cut short or damaged" in said and "fetch it again" in said
    assert not (tmp_path / "run").exists()


def test_an_index_of_shards_that_are_not_there(base: Path, s1k: Path, tmp_path: Path) -> None:
    flags = ("--data", s1k, "--out", tmp_path / "run", "--base", base)
    index = base / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}')
    assert "lacks model-2.safetensors" in refusal(*flags)
    index.write_text('{"weight_map": {"a": "model')
    assert f"{index} is cut short" in refusal(*flags)
    index.write_text("{}")
    assert "names no files" in refusal(*flags)


def test_a_base_model_whose_files_lack_a_tensor(base: Path) -> None:
    """Without an index only the network itself knows which there should be."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(base / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack model\.layers\.1\.mlp\.up_proj\.weight; fetch"):
        weights.build(ModelShape(), 300, base)


def test_a_tokenizer_without_the_delimiters(base: Path, s1k: Path, tmp_path: Path) -> None:
    words = (base / "tokenizer.json").read_text()
    (base / "tokenizer.json").write_text(words.replace("<|im_start|>", "<|other_start|>"))
    said = refusal("--data", s1k, "--out", tmp_path / "run", "--base", base)
    assert "<|im_start|>" in said and "special token" in said


def test_rows_that_are_too_long_are_dropped_and_counted(
    s1k: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ("--data", str(s1k), "--out", str(tmp_path / "run"), *SCRATCH)
    inputs = Inputs.find(parse(TrainConfig, flags, "train"))
    whole = encoded.ensure(inputs, RunFolder(tmp_path / "whole"))
    longest = sorted(whole.lengths)[-30]
    few = replace(inputs, config=replace(inputs.config, block_size=longest - 1))
    kept = encoded.ensure(few, RunFolder(tmp_path / "few"))
    fitting = [sample for sample in whole if len(sample.input_ids) < longest]
    assert [sample.id for sample in kept] == [sample.id for sample in fitting]
    dropped = len(whole) - len(kept)
    assert dropped >= 30
    assert f"dropped {dropped} samples of more than {longest - 1} tokens" in capfd.readouterr().err
    counted = read_json(tmp_path / "few" / "encoded" / encoded.DROPPED)
    assert counted == {"too_long": dropped, "without_target": 0}


def test_no_row_that_fits(s1k: Path, tmp_path: Path) -> None:
    short = refusal("--data", s1k, "--out", tmp_path / "a", *SCRATCH, "--block_size=20")
    assert "no sample fits block_size 20, the shortest has" in short


def test_data_without_rows(tmp_path: Path) -> None:
    with artifacts.create(tmp_path / "s1k", kind="s1k", config={}) as draft:
        draft.write("examples", [], Example)
    said = refusal("--data", tmp_path / "s1k", "--out", tmp_path / "run", *SCRATCH)
    assert "holds no samples" in said


def test_a_logger_that_is_not_installed(s1k: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("wandb"):
        pytest.skip("wandb is installed here")
    place = ("--data", s1k, "--out", tmp_path / "run", *SCRATCH)
    said = refusal(*place, "--loggers=tensorboard,wandb")
    assert "loggers wandb: no such package here" in said
    assert not (tmp_path / "run").exists()


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
def sealed(s1k: Path, tmp_path: Path) -> Iterator[Path]:
    """A read-only file system with a run's folder on it; permissions do not bind root."""
    place = tmp_path / "sealed"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place]).returncode:
        pytest.skip("cannot mount a file system here (needs root)")
    inputs = Inputs.find(parse(TrainConfig, ["--data", str(s1k), "--out", ".", *SCRATCH], "train"))
    with RunFolder(place / "run").locked():
        RunFolder(place / "run").claim(inputs.identity, "refuse")
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("name", ["new", "run"])
def test_a_folder_that_cannot_be_written(name: str, sealed: Path, s1k: Path) -> None:
    ended = run("--data", s1k, "--out", sealed / name, *SCRATCH)
    assert ended.returncode == 2, ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert f"{sealed / name}" in ended.stderr and "read-only; choose another" in ended.stderr


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
