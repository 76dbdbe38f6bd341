"""Exporting a model of 250M parameters takes less than 1 GB, and stops without a trace."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_saver import save
from transformers import AutoModelForCausalLM

from integration.train.verbs import command, done
from s1_core import artifacts, chat
from s1_core.folder_swap import replacing
from s1_train import tokenizer
from s1_train.config import ModelShape
from s1_train.net import weights
from s1_train.runs.job import Job

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]
PREFIX = "loss_network.network."
BIG = ModelShape(
    hidden_size=1024,
    intermediate_size=3072,
    num_layers=17,
    num_heads=16,
    num_kv_heads=4,
    tie_embeddings=False,
)
GIGABYTE = 10**9
# By way of a small process: a child's peak begins with the memory of the process that forked it.
MEASURE = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def table(state: Path) -> dict[str, Any]:
    """Read what a folder of torch's says it holds of the network: key -> type and shape."""
    entries = FileSystemReader(state).read_metadata().state_dict_metadata
    return {
        key: (entry.properties.dtype, tuple(entry.size))
        for key, entry in entries.items()
        if key.startswith("state_dict.")
    }


def write_checkpoint(network: torch.nn.Module, folder: Path) -> artifacts.Artifact:
    """Lay the weights out as Lightning does under fsdp2, without the optimiser's state."""
    state = {PREFIX + name: value for name, value in network.state_dict().items()}
    info = {"step": 1, "loss": 11.0}
    with (
        artifacts.create(folder, kind="checkpoint", config=info) as draft,
        warnings.catch_warnings(action="ignore"),
    ):
        save({"state_dict": state}, checkpoint_id=draft.path / "state.ckpt", no_dist=True)
    return artifacts.load(folder)


@pytest.fixture(scope="module")
def small(s1k: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a network of the same make, but tiny, for one step with 24,000 phrases as tokens."""
    place = tmp_path_factory.mktemp("small")
    phrases = [f"phrase {number} of the tokenizer" for number in range(24_000)]
    tokenizer.save(tokenizer.of_phrases(phrases, chat.FORMATS["s1"]), place / "words")
    done(
        "--data", s1k, "--out", place / "run", "--base=none", "--tokenizer.path", place / "words",
        "--model.hidden_size=64", "--model.num_layers=2", "--model.intermediate_size=128",
        "--model.num_heads=2", "--model.num_kv_heads=1", "--model.tie_embeddings=false",
        "--strategy=fsdp2", "--devices=2", "--batch_size=2", "--max_steps=1",
    )  # fmt: skip
    return place / "run"


@pytest.fixture(scope="module")
def big(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Put a random network of 250M parameters in the place of the trained one."""
    run = tmp_path_factory.mktemp("big") / "run"
    job = Job.read(small / "job.json")
    with replacing(run) as draft:
        subprocess.run(["cp", "-r", *small.glob("*"), draft], check=True)
        subprocess.run(["rm", "-r", *(draft / "checkpoints").iterdir()], check=True)
    network = weights.build(BIG, job.vocab_size, None)
    assert 250e6 < sum(p.numel() for p in network.parameters()) < 260e6
    written = write_checkpoint(network, run / "checkpoints" / "step-00000001")
    plain = json.loads((run / "job.json").read_text())
    plain["config"]["model"] = artifacts.plain(BIG)
    (run / "job.json").write_text(json.dumps(plain))
    end = json.loads((run / "finished.json").read_text()) | {"sha256": written.sha256}
    (run / "finished.json").write_text(json.dumps(end))
    return run


def test_the_layout_written_here_is_that_of_a_real_run(small: Path, tmp_path: Path) -> None:
    job = Job.read(small / "job.json")
    network = weights.build(job.config.model, job.vocab_size, None)
    ours = write_checkpoint(network, tmp_path / "checkpoint")
    (real,) = (small / "checkpoints").iterdir()
    assert table(ours.path / "state.ckpt") == table(real / "state.ckpt")


def test_250m_parameters_in_less_than_a_gigabyte(big: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    words = command("--run", big, "--out", out, "--shard_mb=100", module="export")
    ended = subprocess.run([sys.executable, "-c", MEASURE, *words], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) * 1024 < GIGABYTE, "peak of the resident memory, in KiB"
    files = sorted(out.glob("model-*.safetensors"))
    assert len(files) > 4 and all(path.stat().st_size < 101e6 for path in files)
    network = AutoModelForCausalLM.from_pretrained(out)
    assert network.dtype == torch.bfloat16
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 2 * network.num_parameters() > 500e6


def test_a_stop_leaves_nothing_behind(big: Path, tmp_path: Path) -> None:
    words = command("--run", big, "--out", tmp_path / "model", "--shard_mb=50", module="export")
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob(".model.tmp-*/model-00002-*")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75 and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
