"""Models and reports by hash: where the large things that records name are found on this machine.

On a cluster the volume of models has the same layout. Links cost nothing and are checked when
they are followed: whoever opens an artifact hashes it.
"""

from __future__ import annotations

import os
from pathlib import Path

from s1_core import artifacts
from s1_core.artifacts import Artifact

MODELS, REPORTS = "models", "reports"


def place(store: str, kind: str, sha256: str) -> Path:
    """Name the folder of a model or a report; it may not be there."""
    return Path(store) / kind / sha256


def holds(folder: Path, sha256: str) -> bool:
    """Say whether a folder has this manifest; one that a link leads to may have become another."""
    file = folder / artifacts.MANIFEST
    return file.is_file() and artifacts.sha256_of(file) == sha256


def link(store: str, kind: str, artifact: Artifact) -> None:
    """Let the store find an artifact; an intact one that is already there stays."""
    target = place(store, kind, artifact.sha256)
    if holds(target, artifact.sha256):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    fresh.symlink_to(artifact.path.resolve(), target_is_directory=True)
    fresh.replace(target)  # also over a link whose folder has gone
