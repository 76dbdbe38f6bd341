"""`--push` to a hub on this machine: the folder arrives whole, twice is once, refusals tell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hub_server
from hub_server import Hub

BUILD = [
    "-m", "s1_data.build", "--sources.num_questions", "120", "--selection.num_rows", "20",
    "--difficulty.tokenizer", "words", "--difficulty.by", "none",
]  # fmt: skip


def push(address: str, root: Path, token: str | None) -> subprocess.CompletedProcess[str]:
    words = [*BUILD, "--out", str(root / "out"), "--push", "someone/s1K"]
    environment = hub_server.environment(address, root / "home")
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env=environment | ({"HF_TOKEN": token} if token else {}),
    )


def test_the_folder_with_its_card_arrives_and_a_second_push_changes_nothing(
    tmp_path: Path,
) -> None:
    hub = Hub()
    with hub_server.serving(hub) as address:
        done = push(address, tmp_path, "hf_writer")
        assert done.returncode == 0, done.stderr
        assert "pushed to someone/s1K" in done.stderr
        arrived = hub.find("someone/s1K", "main")
        s1k = tmp_path / "out" / "s1k"
        here = {path.name: path.read_bytes() for path in s1k.iterdir() if path.name != "run.json"}
        assert arrived == here
        assert arrived["README.md"].startswith(b"---\nlicense:")
        again = push(address, tmp_path, "hf_writer")
        assert again.returncode == 0, again.stderr
        assert hub.find("someone/s1K", "main") == here


@pytest.mark.parametrize("token", [pytest.param(None, marks=pytest.mark.slow), "hf_reader"])
def test_a_refusal_is_one_line_and_the_artifact_stays(tmp_path: Path, token: str | None) -> None:
    with hub_server.serving(Hub()) as address:
        done = push(address, tmp_path, token)
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert "someone/s1K was not uploaded" in line and "HF_TOKEN" in line
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "out" / "s1k" / "manifest.json").read_text())["kind"] == "s1k"
