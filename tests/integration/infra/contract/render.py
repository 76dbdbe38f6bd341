"""The manifests as kustomize renders them. What is wrong with them is for the checks to say."""

from __future__ import annotations

import copy
import functools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[4]
K8S = ROOT / "infra" / "k8s"
SHARED = ("namespaces", "policy", "queues")
"""what a cluster holds besides any overlay"""


def kubectl() -> str | None:
    """Find kubectl; None where it is not installed."""
    return shutil.which("kubectl")


def overlays() -> list[str]:
    """Name every overlay by its folder below infra/k8s."""
    found = K8S.glob("**/overlays/*/kustomization.yaml")
    return sorted(str(path.parent.relative_to(K8S)) for path in found)


def objects(folder: str) -> list[dict[str, Any]]:
    """Give the objects of a folder below infra/k8s, copies that may be changed."""
    return copy.deepcopy(_objects(folder))


@functools.cache
def _objects(folder: str) -> list[dict[str, Any]]:
    command = [kubectl() or "kubectl", "kustomize", str(K8S / folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{folder} does not render: {done.stderr.strip()}"
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def cluster(folder: str) -> list[dict[str, Any]]:
    """Give the objects of an overlay and those that every cluster holds besides."""
    return [found for part in (folder, *SHARED) for found in objects(part)]
