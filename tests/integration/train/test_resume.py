"""Stopped anywhere, the same command goes on and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from integration.train.verbs import NUM_STEPS, SCRATCH, command, done, metrics, run, samples
from processes import alive

pytestmark = pytest.mark.multiprocess


def start_until(folder: Path, s1k: Path, step: int, *extra: str) -> subprocess.Popen[str]:
    """Start the run and come back once it has taken `step` steps."""
    process = subprocess.Popen(
        command("--data", s1k, "--out", folder, "--devices=2", *SCRATCH, *extra),
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    log = folder / "metrics.csv"
    while not log.is_file() or len(log.read_text().splitlines()) <= step:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.005)
    return process


def workers(launcher: int) -> list[int]:
    """List the training processes of a launcher, by rank."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return sorted(int(child) for child in children)


def goes_on(folder: Path, s1k: Path, trained: Path, *extra: str) -> str:
    """Run the same command again and compare with the undisturbed run."""
    again = done("--data", s1k, "--out", folder, "--devices=2", *SCRATCH, *extra)
    assert metrics(folder) == metrics(trained)
    assert samples(folder) == samples(trained)
    return again.stderr


@pytest.mark.slow
def test_kill_9_of_the_launcher(s1k: Path, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start_until(folder, s1k, 15)
    orphans = workers(process.pid)
    assert len(orphans) == 2
    process.kill()
    assert process.wait() == -signal.SIGKILL
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in orphans):
        assert time.monotonic() < deadline, "a worker outlived its launcher"
        time.sleep(0.05)
    assert f"from step 10 of {NUM_STEPS}" in goes_on(folder, s1k, trained)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_kill_9_of_one_process(rank: int, s1k: Path, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start_until(folder, s1k, 23)
    os.kill(workers(process.pid)[rank], signal.SIGKILL)
    assert process.wait(timeout=120) == 1
    assert process.stderr and "run the same command again" in process.stderr.read()
    assert f"from step 20 of {NUM_STEPS}" in goes_on(folder, s1k, trained)


@pytest.mark.slow
def test_an_altered_checkpoint_is_skipped(s1k: Path, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start_until(folder, s1k, 25)
    process.kill()
    process.wait()
    newest = folder / "checkpoints" / "step-00000020" / "state.ckpt"
    newest.write_bytes(newest.read_bytes()[:-100])
    said = goes_on(folder, s1k, trained)
    assert "skipping checkpoint step-00000020" in said
    assert f"from step 10 of {NUM_STEPS}" in said


@pytest.mark.slow
def test_muon_and_packing_resume_exactly(s1k: Path, tmp_path: Path) -> None:
    recipe = ("--optimiser.name=muon", "--mode=packed", "--block_size=400", "--batch_size=2")
    calm, folder = tmp_path / "calm", tmp_path / "run"
    done("--data", s1k, "--out", calm, "--devices=2", *SCRATCH, *recipe)
    process = start_until(folder, s1k, 15, *recipe)
    process.kill()
    process.wait()
    assert " from step " in goes_on(folder, s1k, calm, *recipe)


@pytest.mark.slow
def test_another_number_of_processes_goes_on(s1k: Path, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start_until(folder, s1k, 15)
    process.kill()
    process.wait()
    done("--data", s1k, "--out", folder, "--devices=1", *SCRATCH)
    ours, theirs = metrics(folder), metrics(trained)
    assert [float(row[1]) for row in ours] == pytest.approx(
        [float(row[1]) for row in theirs], rel=1e-4
    )


def test_a_changed_recipe_is_refused_with_the_difference(s1k: Path, trained: Path) -> None:
    changed = run("--data", s1k, "--out", trained, *SCRATCH, "--optimiser.lr=1e-3", "--seed=1")
    assert changed.returncode == 2
    assert "optimiser.lr was 0.003, now 0.001; seed was 42, now 1" in changed.stderr
    assert len(changed.stderr.strip().splitlines()) == 1


def test_a_finished_run_says_so_at_once(s1k: Path, trained: Path) -> None:
    began = time.monotonic()
    again = done("--data", s1k, "--out", trained, "--devices=1", *SCRATCH)
    assert again.stderr.strip() == f"up to date: {trained}"
    assert time.monotonic() - began < 3
