"""The line up to its model, run once for every test here that wants one of real accuracy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
JUST = ROOT / ".venv" / "bin" / "just"


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's folder without its report: model, held-out benchmark and what led to them."""
    pytest.importorskip("vllm")
    out = tmp_path_factory.mktemp("line") / "out"
    command = [JUST, "demo", "--out", str(out), "--until", "export"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out
