"""A toy s1k artifact, a run trained on it, and the model exported from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.train.verbs import SCRATCH, done, examples
from s1_core import artifacts
from s1_core.records import Example


@pytest.fixture(scope="session")
def s1k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an artifact of 100 examples."""
    folder = tmp_path_factory.mktemp("data") / "s1k"
    with artifacts.create(folder, kind="s1k", config={"rows": 100}) as draft:
        draft.write("examples", examples(100), Example)
    return folder


@pytest.fixture(scope="session")
def trained(s1k: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train from scratch on two processes, undisturbed."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    done("--data", s1k, "--out", folder, "--devices=2", *SCRATCH)
    return folder


@pytest.fixture(
    scope="session",
    params=["fsdp2", pytest.param("zero2", marks=pytest.mark.slow), "zero3"],
)
def sharded(
    request: pytest.FixtureRequest, s1k: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Train on two processes under a strategy that shards, undisturbed."""
    folder = tmp_path_factory.mktemp(request.param) / "run"
    flags = (f"--strategy={request.param}", "--devices=2")
    done("--data", s1k, "--out", folder, *SCRATCH, *flags)
    return folder


@pytest.fixture(scope="session")
def model(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export what was trained."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    done("--run", trained, "--out", folder, module="export")
    return folder
