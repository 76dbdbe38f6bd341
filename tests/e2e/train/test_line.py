"""The tiny recipe as typed, on the bank and on real questions: killed, resumed, exported, asked."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from processes import alive
from s1_core import artifacts

ROOT = Path(__file__).resolve().parents[3]
JUST = ROOT / ".venv" / "bin" / "just"
# Few steps of few samples: what is shown is the way, not the destination.
SHORT = ("--max_steps", "24", "--batch_size", "4", "--checkpoints.every_steps", "8")

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess, pytest.mark.timeout(900)]


def just(*words: object) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run([JUST, *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended


@pytest.mark.parametrize("recipe", ["bank", "real"])
def test_from_questions_to_an_answer(recipe: str, tmp_path: Path) -> None:
    if recipe == "real" and not os.environ.get("S1_DATA"):
        pytest.skip("S1_DATA names no folder of real questions")
    data, run, model = tmp_path / "data", tmp_path / "run", tmp_path / "model"
    just("build-data", "--config", recipe, "--out", data)
    train = ("train", "--config", "tiny", "--data", data / "s1k", "--out", run, *SHORT)
    kill_behind_step(11, run, train)
    resumed = just(*train)
    assert "from step 8 of 24" in resumed.stderr
    assert (run / "metrics.csv").read_text().count("\n") == 25
    just("export", "--run", run, "--out", model)
    assert artifacts.load(model, kind="model").config["step"] == 24
    asked = just("ask", "How many r in raspberry?", "--model", model, "--budget", 16)
    assert asked.stdout.strip(), "the engine loads it and answers"


def kill_behind_step(step: int, run: Path, train: tuple[object, ...]) -> None:
    """Start the training and kill -9 all of it once it has taken `step` steps."""
    process = subprocess.Popen(
        [JUST, *map(str, train)], cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    log = run / "metrics.csv"
    while not log.is_file() or log.read_text().count("\n") <= step:
        assert process.poll() is None, "training ended before it could be killed"
        time.sleep(0.02)
    running = members(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # Behind `just` the training itself takes a moment to go, and holds its folder until then.
    deadline = time.monotonic() + 30
    while any(map(alive, running)) and time.monotonic() < deadline:
        time.sleep(0.02)


def members(group: int) -> list[int]:
    """List the processes of a group."""
    command = ["ps", "-A", "-o", "pid=,pgid="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pairs = (map(int, line.split()) for line in listed.splitlines())
    return [pid for pid, of in pairs if of == group]
