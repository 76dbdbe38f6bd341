"""What can be watched of a run, what is left of it, and that a loss that explodes ends it."""

from __future__ import annotations

import csv
import os
import pty
import signal
import sqlite3
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from integration.train.test_resume import start_until
from integration.train.verbs import NUM_STEPS, SCRATCH, command, done, metrics, run
from s1_core import artifacts
from s1_core.config_parser import parse
from s1_train.config import TrainConfig
from s1_train.encoding import Samples
from s1_train.runs.job import Job
from s1_train.runs.speed import NetworkShape, peak_flops, step_flops
from s1_train.runs.watch import COLUMNS, LossWindow

MLFLOW = "--loggers=tensorboard,mlflow"


def rows(folder: Path) -> list[dict[str, str]]:
    """Read metrics.csv."""
    with (folder / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))


def on_board(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read what TensorBoard shows: (step, value) a tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(folder / "tensorboard"))
    board.Reload()
    return {
        tag: [(event.step, event.value) for event in board.Scalars(tag)]
        for tag in board.Tags()["scalars"]
    }


def in_mlflow(folder: Path) -> tuple[list[tuple[str, str]], dict[str, list[tuple[int, float]]]]:
    """Read the runs with their status, and (step, value) a metric as it was logged."""
    with sqlite3.connect(folder / "mlflow.db") as base:
        runs = base.execute("select name, status from runs").fetchall()
        logged = base.execute("select key, step, value from metrics order by step").fetchall()
    kept: dict[str, list[tuple[int, float]]] = {}
    for key, step, value in logged:
        kept.setdefault(key, []).append((step, value))
    return runs, kept


def test_every_step_is_in_metrics_and_on_the_board(trained: Path) -> None:
    read = rows(trained)
    assert tuple(read[0]) == COLUMNS
    assert [int(row["step"]) for row in read] == list(range(1, NUM_STEPS + 1))
    for row in read:
        speed = int(row["tokens"]) / float(row["seconds"])
        assert int(row["tokens_per_s"]) == pytest.approx(speed, abs=1)
        assert row["mfu"] == "", "nobody knows what a CPU could do"
    board = on_board(trained)
    assert board.keys() == {"loss", "lr", "grad_norm", "tokens", "seconds", "tokens_per_s"}
    for tag, shown in board.items():
        assert [step for step, _ in shown] == [int(row["step"]) for row in read]
        assert [v for _, v in shown] == pytest.approx([float(row[tag]) for row in read], rel=1e-6)


def test_a_finished_run_has_a_card_and_curves(trained: Path, s1k: Path) -> None:
    card, read = (trained / "card.md").read_text(), rows(trained)
    facts = dict(
        line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("| ")
        and line.count("|") == 3 and not line.startswith("| |")
    )  # fmt: skip
    assert facts["steps"] == str(NUM_STEPS)
    assert facts["loss of the last step"] == f"{float(read[-1]['loss']):.4f}"
    assert facts["tokens"] == f"{sum(int(row['tokens']) for row in read):,}"
    assert facts["processes"] == "2 on cpu" and "resumed behind step" not in facts
    assert facts["samples dropped"] == "0 too long, 0 without a target"
    assert facts["sha256 of s1k"] == f"`{artifacts.load(s1k).sha256}`"
    assert facts["optimiser.lr"] == "`0.003`" and facts["base"] == "`none`"
    assert "MFU" not in card
    assert f"just export --run {trained} --out {trained.parent / 'model'}" in card
    assert "(curves.png)" in card
    with Image.open(trained / "curves.png") as picture:
        assert picture.format == "PNG"
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20) or []}
    assert (0x1F, 0x4E, 0x79) in colours, "no curve is drawn"


def test_the_configuration_in_the_folder_is_the_one_it_ran_with(trained: Path, s1k: Path) -> None:
    flags = ("--data", str(s1k), "--out", str(trained), "--devices=2", *SCRATCH)
    ran_with = parse(TrainConfig, flags, "train", "tiny")
    assert parse(TrainConfig, ("--config", str(trained / "config.yaml")), "train") == ran_with
    again = done("--config", trained / "config.yaml")
    assert again.stderr.strip() == f"up to date: {trained}"


@pytest.fixture(scope="module")
def watched(s1k: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run six steps in a terminal, logging to MLflow too; give the folder and what was shown."""
    folder = tmp_path_factory.mktemp("watched") / "run"
    ours, theirs = pty.openpty()
    small = ("--devices=1", "--max_steps=6", MLFLOW)
    process = subprocess.Popen(
        command("--data", s1k, "--out", folder, *SCRATCH, *small),
        stderr=theirs,
        cwd=folder.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "180"},
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1 << 16):
            shown += piece
    except OSError:  # Linux ends a terminal whose other side is closed with EIO
        pass
    finally:
        os.close(ours)
    assert process.wait() == 0, shown.decode()
    return folder, shown.decode()


@pytest.mark.multiprocess
def test_a_terminal_shows_a_bar_with_all_that_matters(watched: tuple[Path, str]) -> None:
    folder, shown = watched
    last = rows(folder)[-1]
    assert "6/6" in shown and "0:00:00" in shown
    assert f"loss {float(last['loss']):.4f}  lr {float(last['lr']):.2e}" in shown
    assert f"norm {float(last['grad_norm']):.2f}" in shown
    assert f"{int(last['tokens_per_s']):,} tokens/s" in shown
    assert "step 6/6" not in shown, "a bar and lines"


@pytest.mark.multiprocess
def test_mlflow_keeps_the_run_in_its_folder(watched: tuple[Path, str]) -> None:
    folder, _ = watched
    runs, logged = in_mlflow(folder)
    assert runs == [(f"{folder.parent.name}/run", "FINISHED")]
    read = rows(folder)
    assert logged.keys() == set(COLUMNS[2:]) - {"mfu"}
    for key, values in logged.items():
        assert values == [(int(row["step"]), float(row[key])) for row in read]
    with sqlite3.connect(folder / "mlflow.db") as base:
        told = dict(base.execute("select key, value from params").fetchall())
    assert told["optimiser/lr"] == "0.003" and told["batch_size"] == "8"
    assert [entry.name for entry in folder.parent.iterdir()] == ["run"], "it wrote elsewhere"


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_resumed_run_is_one_run_everywhere(s1k: Path, trained: Path, tmp_path: Path) -> None:
    """Killed behind step 15 and taken up behind step 10: steps 11 to 15 were logged already."""
    folder = tmp_path / "run"
    process = start_until(folder, s1k, 15, MLFLOW)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done("--data", s1k, "--out", folder, "--devices=2", *SCRATCH, MLFLOW)
    assert metrics(folder) == metrics(trained)
    runs, logged = in_mlflow(folder)
    assert runs == [(f"{tmp_path.name}/run", "FINISHED")]
    losses = [(int(row["step"]), float(row["loss"])) for row in rows(trained)]
    assert logged["loss"] == losses
    assert [step for step, _ in on_board(folder)["loss"]] == [step for step, _ in losses]
    assert "| resumed behind step | 10 |" in (folder / "card.md").read_text()
    assert (folder / "starts.csv").read_text().splitlines()[1:] == ["0,2,cpu", "10,2,cpu"]


def test_a_loss_is_held_against_the_median_of_twenty() -> None:
    window = LossWindow(3.0)
    assert [window.fault(loss) for loss in (1.0, 90.0, 1.0, 1.0)] == [None] * 4, "too few"
    assert window.fault(1.0) is None
    assert window.fault(2.9) is None
    assert "3.1, 3.1 times" in str(window.fault(3.1))
    assert window.fault(3.0) is None and list(window.losses)[-2:] == [2.9, 3.0]
    for _ in range(LossWindow.SIZE):
        assert window.fault(2.0) is None
    assert list(window.losses) == [2.0] * 20
    assert window.fault(5.9) is None and window.fault(6.1)


@dataclass(frozen=True)
class Exploded:
    folder: Path
    flags: tuple[object, ...]
    ended: subprocess.CompletedProcess[str]

    @property
    def line(self) -> str:
        return self.ended.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def exploded(s1k: Path, tmp_path_factory: pytest.TempPathFactory) -> Exploded:
    """A rate that climbs to 0.03 throws a network of this size out of its course."""
    folder = tmp_path_factory.mktemp("exploded") / "run"
    flags = (
        "--data", s1k, "--out", folder, *SCRATCH, "--devices=2", "--checkpoints.every_steps=1",
        "--optimiser.lr=0.03", "--optimiser.warmup_fraction=0.9", "--max_loss_ratio=1.2",
    )  # fmt: skip
    return Exploded(folder, flags, run(*flags))


@pytest.mark.multiprocess
def test_a_loss_that_explodes_ends_the_run_before_it_is_saved(exploded: Exploded) -> None:
    assert exploded.ended.returncode == 3, exploded.ended.stderr
    losses = [float(row["loss"]) for row in rows(exploded.folder)]
    bounds = [1.2 * statistics.median(losses[max(0, n - 20) : n]) for n in range(5, len(losses))]
    above = [loss > bound for loss, bound in zip(losses[5:], bounds, strict=True)]
    assert above == [False] * (len(above) - 1) + [True]
    assert f"the loss of step {len(losses)} is {losses[-1]:.4g}" in exploded.line
    logs = sorted((exploded.folder / "samples").glob("rank-*.csv"))
    seen = [log.read_text().splitlines()[-1].partition(",")[2].split() for log in logs]
    assert len(seen) == 2 and all(seen)
    assert f"among samples {', '.join(sorted(seen[0] + seen[1]))};" in exploded.line
    newest = max((exploded.folder / "checkpoints").glob("step-*"))
    assert artifacts.load(newest, kind="checkpoint").config["step"] == len(losses) - 1


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_resumed_run_holds_the_loss_against_the_same_steps(exploded: Exploded) -> None:
    """Taken up right before the step, it has seen no other since."""
    again = run(*exploded.flags)
    assert again.returncode == 3, "the window was lost in the checkpoint"
    assert again.stderr.strip().splitlines()[-1] == exploded.line


@pytest.mark.gpu
@pytest.mark.multiprocess
def test_mfu_is_the_arithmetic_of_the_step_over_what_the_device_could_do(
    s1k: Path, tmp_path: Path
) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    peak = peak_flops(torch.cuda.get_device_name())
    if peak is None:
        pytest.skip(f"the peak of {torch.cuda.get_device_name()} is not in the table")
    folder = tmp_path / "run"
    bf16 = ("--precision=bf16", "--strategy=fsdp2", "--devices=1", "--max_steps=6")
    done("--data", s1k, "--out", folder, *SCRATCH, *bf16)
    samples = Samples(folder / "encoded")
    shape = NetworkShape(
        hidden_size=64, intermediate_size=128, num_layers=2, num_heads=2, num_kv_heads=1,
        head_size=32, vocab_size=Job.read(folder / "job.json").vocab_size,
    )  # fmt: skip
    seen = (folder / "samples" / "rank-0.csv").read_text().splitlines()[1:]
    by_name = {sample.id: sample for sample in samples}
    for row, line in zip(rows(folder), seen, strict=True):
        step = [by_name[name] for name in line.partition(",")[2].split()]
        flops = step_flops(
            shape, [len(s.input_ids) for s in step], sum(s.num_targets for s in step)
        )
        assert float(row["mfu"]) == pytest.approx(flops / (float(row["seconds"]) * peak))
    assert "| MFU, median |" in (folder / "card.md").read_text()
