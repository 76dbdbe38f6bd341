"""Speed, MFU and peak memory of fine-tuning steps on one CUDA device, for `just bench train`.

Random weights in the shapes of Qwen2.5; the real FineTuning under fsdp2 on one process, bf16 over
fp32 weights. A step is 32,768 tokens in packed passes. Each case has a process of its own, so that
one that runs out of memory leaves nothing behind: `python -m train.gpu_step NAME` in tests/bench.
The case `tiny` runs on a CPU too; no other has been run yet.
"""

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

TITLE = "fine-tuning steps of 32,768 tokens, packed (bf16 over fp32, fsdp2, 1 process)"
WARM_UP, TIMED = 3, 8
BENCH = Path(__file__).resolve().parents[1]
SAMPLES_8K = (4096, 2560, 1536)
SAMPLES_32K = (12_288, 8192, 5120, 4096, 3072)
QWEN = {"rope_theta": 1e6, "max_positions": 32_768}


@dataclass(frozen=True)
class Case:
    """A shape of Qwen2, the samples of a pass and the passes of a step."""

    vocab_size: int
    shape: dict[str, Any]
    samples: tuple[int, ...]
    passes: int = 1
    checkpointing: bool = False


def _sizes(hidden: int, inner: int, layers: int, heads: int, kv_heads: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_layers": layers,
        "num_heads": heads,
        "num_kv_heads": kv_heads,
        **QWEN,
    }


SMALL = (151_936, _sizes(896, 4864, 24, 14, 2))
MIDDLE = (151_936, _sizes(1536, 8960, 28, 12, 2))
LARGE = (152_064, _sizes(3584, 18_944, 28, 28, 4) | {"tie_embeddings": False})
CASES = {
    "0.5B-8K": Case(*SMALL, SAMPLES_8K, passes=4),
    "0.5B-32K": Case(*SMALL, SAMPLES_32K),
    "1.5B-8K": Case(*MIDDLE, SAMPLES_8K, passes=4),
    "1.5B-32K": Case(*MIDDLE, SAMPLES_32K, checkpointing=True),
    "7B-8K": Case(*LARGE, SAMPLES_8K, passes=4, checkpointing=True),
    "7B-32K": Case(*LARGE, SAMPLES_32K, checkpointing=True),
}
TINY = Case(512, _sizes(64, 128, 2, 2, 1), (60, 40, 28), passes=2, checkpointing=True)


def rows() -> list[dict[str, Any]]:
    """Measure every case, one after the other; nothing where there is no CUDA device."""
    import torch

    return [_apart(name) for name in CASES] if torch.cuda.is_available() else []


def _apart(name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "train.gpu_step", name]
    ran = subprocess.run(command, cwd=BENCH, capture_output=True, text=True)
    if ran.returncode == 0:
        return dict(json.loads(ran.stdout.splitlines()[-1]))
    return {"case": name, "note": (ran.stderr.strip().splitlines() or ["died"])[-1][:100]}


def measure(name: str, case: Case) -> dict[str, Any]:
    """Take the steps and give what the timed ones came to."""
    import torch
    from train import solo

    from s1_train.config import ModelShape, OptimiserConfig, TrainConfig
    from s1_train.loader import ResumableLoader
    from s1_train.module import FineTuning
    from s1_train.net.weights import Start
    from s1_train.packing import Step
    from s1_train.runs.speed import NetworkShape, peak_flops, step_flops

    solo.join_group()
    config = TrainConfig(
        data=Path(),
        out=Path(),
        precision="bf16",
        activation_checkpointing=case.checkpointing,
        optimiser=OptimiserConfig(schedule="constant", warmup_fraction=0.0),
    )
    samples = _samples(case)
    row = range(len(case.samples))
    step_rows = tuple(tuple(n + pass_ * len(row) for n in row) for pass_ in range(case.passes))
    steps = [Step(0, step_rows)] * (WARM_UP + TIMED)
    module = FineTuning(
        Start(ModelShape(**case.shape), case.vocab_size, None), config, num_steps=len(steps)
    )
    clock = _clock()
    loader = ResumableLoader(samples, steps, rank=0, num_ranks=1, budget=sum(case.samples))
    solo.trainer(config, clock).fit(module, loader)
    seconds = statistics.median(np.diff(clock.ends)[WARM_UP - 1 :])
    shape = NetworkShape.of(module.loss_network.network.config)
    flops = step_flops(shape, samples.lengths, sum(samples.num_targets))
    cuda = torch.cuda.is_available()
    peak = peak_flops(torch.cuda.get_device_name()) if cuda else None
    return {
        "case": name,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "tokens/s": round(sum(samples.lengths) / seconds),
        "TFLOP/s": flops / seconds / 1e12,
        "MFU": peak and flops / seconds / peak,
        "peak GB": torch.cuda.max_memory_allocated() / 1e9 if cuda else None,
        "activations": "anew" if case.checkpointing else "kept",
        "loss": module.result.loss if module.result else None,
    }


def _samples(case: Case) -> Any:
    from s1_train.encoding import Samples, TokenizedExample

    rng, folder = np.random.default_rng(0), Path(mkdtemp())
    lengths = case.samples * case.passes
    Samples.write(
        (
            TokenizedExample(
                str(n),
                rng.integers(0, case.vocab_size, length + 1).astype(np.int32),
                np.arange(length + 1) >= length // 16,
            )
            for n, length in enumerate(lengths)
        ),
        folder,
    )
    return Samples(folder)


def _clock() -> Any:
    import lightning.pytorch as pl
    import torch

    class Clock(pl.Callback):
        """Notes when each step ends."""

        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_train_batch_end(self, *_: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.ends.append(time.perf_counter())

    return Clock()


if __name__ == "__main__":
    chosen = sys.argv[1]
    found = measure(chosen, TINY if chosen == "tiny" else CASES[chosen])
    sys.stdout.write(json.dumps(found) + "\n")
