"""The script that measures steps on a GPU, in a small shape on whatever there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.mark.multiprocess
def test_the_script_for_a_gpu_takes_its_steps() -> None:
    """Under fsdp2 in bf16 with activations computed anew, two packed passes a step."""
    command = [sys.executable, "-m", "train.gpu_step", "tiny"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=BENCH, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    row = json.loads(done.stdout.splitlines()[-1])
    assert 5 < row["loss"] < 7, "about log(512) for random weights and tokens"
    # 2 layers of 64 and 128, 2 heads of 32 over 1, 512 words: 6 a weight, half the pairs of keys.
    body = 6 * 2 * (64 * (2 * 64 + 64) + 3 * 64 * 128)
    head, pairs = 6 * 64 * 512, 12 * 2 * 64
    per_step = 2 * sum(n * body + (n - max(0, n // 16 - 1)) * head + n * (n + 1) // 2 * pairs
                       for n in (60, 40, 28))  # fmt: skip
    assert row["TFLOP/s"] * 1e12 / row["tokens/s"] == pytest.approx(per_step / 256, rel=1e-2)
