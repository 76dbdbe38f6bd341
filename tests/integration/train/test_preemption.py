"""A request to stop, to whomever: all save behind one step and the launcher ends with 75."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.train.test_resume import goes_on, start_until, workers
from integration.train.verbs import NUM_STEPS, SCRATCH, command
from processes import alive

pytestmark = [pytest.mark.multiprocess, pytest.mark.slow]


def told_to_stop(process: subprocess.Popen[str]) -> str:
    """Wait for the end of a run that was told to stop; give its last line."""
    said = process.communicate(timeout=120)[1].strip().splitlines()
    assert process.returncode == 75, said
    assert sum(line.startswith("s1: ") for line in said) == 1
    assert not any("Traceback" in line for line in said)
    return said[-1]


def twice(launcher: int) -> None:
    """The second request must not cut the save short."""
    os.kill(launcher, signal.SIGTERM)
    time.sleep(0.2)
    os.kill(launcher, signal.SIGTERM)


def test_a_run_stopped_again_and_again_is_the_undisturbed_one(
    s1k: Path, trained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    stops: list[tuple[int, Callable[[int], object]]] = [
        (5, lambda launcher: os.kill(workers(launcher)[0], signal.SIGTERM)),
        (13, lambda launcher: os.kill(workers(launcher)[1], signal.SIGTERM)),
        (21, lambda launcher: [os.kill(rank, signal.SIGTERM) for rank in workers(launcher)]),
        (31, twice),
    ]
    for reached, stop in stops:
        process = start_until(folder, s1k, reached)
        stop(process.pid)
        said = told_to_stop(process)
        step = int(max((folder / "checkpoints").glob("step-*")).name.removeprefix("step-"))
        assert reached <= step < NUM_STEPS
        assert f"stopped behind step {step}, saved; run the same command again" in said
    goes_on(folder, s1k, trained)


@pytest.mark.parametrize("whom", ["launcher by Ctrl-C", "launcher", "rank 1"])
@pytest.mark.parametrize("moment", ["python starts", "torch is loaded"])
def test_a_stop_before_training_is_heard_at_once(
    moment: str, whom: str, s1k: Path, tmp_path: Path
) -> None:
    arguments = command("--data", s1k, "--out", tmp_path / "run", "--devices=2", *SCRATCH)
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    while len(ranks := workers(process.pid)) < 2 or (
        moment == "torch is loaded" and "libtorch" not in Path(f"/proc/{ranks[1]}/maps").read_text()
    ):
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(
        ranks[1] if whom == "rank 1" else process.pid,
        signal.SIGINT if "Ctrl-C" in whom else signal.SIGTERM,
    )
    assert "run the same command again" in told_to_stop(process)
    assert not any((tmp_path / "run" / "checkpoints").iterdir()), "it took a step first"
    assert not any(alive(rank) for rank in ranks)
