"""ddp, fsdp2, zero2 and zero3 on two processes compute the same, and each resumes exactly."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from torch.distributed.checkpoint import FileSystemReader

from integration.train.test_preemption import told_to_stop
from integration.train.test_resume import goes_on, start_until, workers
from integration.train.verbs import SCRATCH, done, metrics, run

pytestmark = pytest.mark.multiprocess
SHARDED = ["fsdp2", "zero2", "zero3"]


def column(folder: Path, number: int, count: int | None = None) -> list[float]:
    return [float(row[number]) for row in metrics(folder)[:count]]


@pytest.fixture(scope="session")
def alone(s1k: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on one process, each step in one pass."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    done("--data", s1k, "--out", folder, *SCRATCH, "--devices=1", "--micro_tokens=100000")
    return folder


def test_losses_and_clipped_gradients_are_those_of_one_process(sharded: Path, alone: Path) -> None:
    assert column(sharded, 1, 10) == pytest.approx(column(alone, 1, 10), rel=1e-5)
    assert min(column(alone, 3, 10)) > 1, "every one of these gradients is clipped"
    assert column(sharded, 3, 10) == pytest.approx(column(alone, 3, 10), rel=1e-4)
    assert column(sharded, 1)[-1] < 0.5 * column(sharded, 1)[0]


def test_ddp_computes_the_same(trained: Path, alone: Path) -> None:
    assert column(trained, 1, 10) == pytest.approx(column(alone, 1, 10), rel=1e-5)
    assert column(trained, 3, 10) == pytest.approx(column(alone, 3, 10), rel=1e-4)


@pytest.mark.slow
def test_a_stop_and_a_kill_resume_exactly(sharded: Path, s1k: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    flags = (f"--strategy={_strategy(sharded)}",)
    process = start_until(folder, s1k, 3, *flags)
    os.kill(workers(process.pid)[1], signal.SIGTERM)
    assert ", saved; run the same command again" in told_to_stop(process)
    process = start_until(folder, s1k, 15, *flags)
    process.kill()
    process.wait()
    if flags[0] != "--strategy=fsdp2":
        fewer = run("--data", s1k, "--out", folder, "--devices=1", *SCRATCH, *flags)
        assert fewer.returncode == 2 and "run on 2 processes" in fewer.stderr
    assert "from step 10 of" in goes_on(folder, s1k, sharded, *flags)


@pytest.mark.slow
def test_shards_go_on_with_another_number_of_processes(
    alone: Path, s1k: Path, tmp_path: Path
) -> None:
    """Two processes save, one goes on, and ends as one process from the beginning would."""
    flags, folder = ("--strategy=fsdp2",), tmp_path / "run"
    process = start_until(folder, s1k, 15, *flags)
    process.kill()
    process.wait()
    done("--data", s1k, "--out", folder, "--devices=1", *SCRATCH, *flags)
    assert column(folder, 1) == pytest.approx(column(alone, 1), rel=1e-4)


@pytest.mark.slow
def test_a_base_model_goes_straight_into_shards(model: Path, s1k: Path, tmp_path: Path) -> None:
    """A tied base, loaded whole under ddp and shard by shard elsewhere, gives the same losses."""
    for strategy in ("ddp", *SHARDED):
        tuning = ("--base", model, "--batch_size=8", "--max_steps=4", "--devices=2")
        place = ("--out", tmp_path / strategy, f"--strategy={strategy}")
        done("--data", s1k, *place, *tuning)
    for strategy in SHARDED:
        shards, whole = tmp_path / strategy, tmp_path / "ddp"
        assert column(shards, 1) == pytest.approx(column(whole, 1), rel=1e-5)
        assert column(shards, 3) == pytest.approx(column(whole, 3), rel=1e-3)


@pytest.fixture(scope="module")
def exact(s1k: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Give the losses of three steps in fp32."""
    folder = tmp_path_factory.mktemp("fp32") / "run"
    done("--data", s1k, "--out", folder, *SCRATCH, "--max_steps=3", "--devices=1")
    return column(folder, 1)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", *SHARDED])
def test_bf16_computes_and_fp32_keeps(
    strategy: str, s1k: Path, exact: list[float], tmp_path: Path
) -> None:
    """Under bf16, with activations computed anew, weights and moments are fp32 on disk."""
    folder = tmp_path / "run"
    bf16 = ("--precision=bf16", "--activation_checkpointing", "--max_steps=3", "--devices=2")
    done("--data", s1k, "--out", folder, *SCRATCH, f"--strategy={strategy}", *bf16)
    rough = column(folder, 1)
    assert rough == pytest.approx(exact, rel=2e-2) and rough != pytest.approx(exact, rel=1e-5)
    (state,) = (folder / "checkpoints").glob("step-00000003/state.ckpt")
    kept = _kept(strategy, state)
    assert len(kept) > 2 and set(kept) == {torch.float32}


def _kept(strategy: str, state: Path) -> list[torch.dtype]:
    """List the types of the master weights and the moments in a checkpoint."""
    if strategy == "fsdp2":
        entries = FileSystemReader(state).read_metadata().state_dict_metadata
        tensors = [e.properties.dtype for e in entries.values() if hasattr(e, "properties")]
        return [dtype for dtype in tensors if dtype.is_floating_point]
    if strategy == "ddp":
        content = torch.load(state, weights_only=True)
        moments = [t for s in content["optimizer_states"][0]["state"].values() for t in s.values()]
        return [t.dtype for t in [*content["state_dict"].values(), *moments]]
    content = torch.load(
        next(state.glob("checkpoint/*zero_pp_rank_1*optim_states.pt")), weights_only=False
    )["optimizer_state_dict"]
    inner = content.get("base_optimizer_state", content.get("optimizer_state_dict"))
    states = inner["state"].values() if isinstance(inner, dict) else inner
    moments = [t for s in states for t in s.values() if torch.is_tensor(t)]
    masters = content.get("single_partition_of_fp32_groups") or content["fp32_flat_groups"]
    return [t.dtype for t in [*masters, *moments]]


def _strategy(folder: Path) -> str:
    return next(name for name in SHARDED if folder.parent.name.startswith(name))
