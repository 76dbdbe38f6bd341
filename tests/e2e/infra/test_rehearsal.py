"""The rehearsal from nothing, as `just rehearse` runs it; and that a stop leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from processes import alive

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "rehearsal"]
TOLD = (
    "streams, 0 lost; now serves good",
    "is rejected: accuracy: heldout",
    "was altered or cut short",
    "streams, 0 lost; now serves first",
    "first production, good rolled-back, worse rejected",
)

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.multiprocess]


def environment(**variables: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT / "tests")} | variables


@pytest.mark.timeout(1200)
def test_a_checkpoint_goes_to_production_and_back(tmp_path):
    command = [*COMMAND, "--out", str(tmp_path / "out")]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(TMPDIR=str(tmp_path)), cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.replace("\u2502", " ").split())
    for told in TOLD:
        assert told in " ".join(done.stderr.split()), (told, done.stderr)
    assert "rehearsal," in said
    # A second one finds the checkpoints; told to stop while servers run, it ends them all.
    process = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, env=environment(TMPDIR=str(tmp_path)), cwd=ROOT
    )
    deadline = time.monotonic() + 240
    while not (servers := _servers(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert servers, "no server was started"
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 75
    assert not [one for one in servers if alive(one)]
    assert not list(tmp_path.glob("s1-rehearsal-*"))


def _servers(folder: Path) -> list[int]:
    """List the processes that serve a Bento below a folder."""
    command = ["ps", "-eww", "-o", "pid=,args="]  # whole lines, however narrow the terminal
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [row.split(None, 1) for row in listed.stdout.splitlines()]
    return [int(pid) for pid, args in rows if str(folder) in args and "bentos/" in args]
