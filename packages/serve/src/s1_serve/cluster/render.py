"""`just render`: an overlay's YAML on stdout. Owns the overlays' short names."""

from __future__ import annotations

import sys
from pathlib import Path

from s1_core import cli
from s1_core.errors import UserError
from s1_serve.cluster.config import RenderConfig
from s1_serve.cluster.kubectl import Kubectl
from s1_serve.cluster.objects import Object, parse
from s1_serve.release.repository import Repository

FOLDER = "infra/k8s"
PARTS = {"base", "components", "batch-image"}


def main(config: RenderConfig) -> None:
    """Print what an overlay comes to, as the tree has it now."""
    root = Repository.here().root
    sys.stdout.write(text(Kubectl.here(), root, config.overlay))


def text(kubectl: Kubectl, root: Path, name: str) -> str:
    """Render an overlay.

    Raises:
        UserError: there is no such overlay, or kustomize refuses it.
    """
    return kubectl.ask("kustomize", str(find(root, name)))


def objects(kubectl: Kubectl, root: Path, name: str) -> list[Object]:
    """Render an overlay and read it."""
    return parse(text(kubectl, root, name))


def find(root: Path, name: str) -> Path:
    """Find the folder that a path or a short name means; another one is a UserError."""
    known = overlays(root)
    path = name.rstrip("/").removeprefix(f"{FOLDER}/")
    found = known.get(short(path)) or known.get(path)
    if found is None:
        raise UserError(
            f"no overlay is called {name!r} below {FOLDER}; give one of:"
            f" {', '.join(known) or 'there are none'}"
        )
    return found


def overlays(root: Path) -> dict[str, Path]:
    """List the folders that are applied, by their short names; bases and components are parts."""
    top = root / FOLDER
    folders = [file.parent.relative_to(top) for file in top.glob("**/kustomization.yaml")]
    applied = [folder for folder in folders if not PARTS & set(folder.parts)]
    return {
        name: top / folder for name, folder in sorted((short(str(one)), one) for one in applied)
    }


def short(path: str) -> str:
    """Shorten serving/overlays/staging to staging, data/overlays/dev to data/dev."""
    return path.replace("/overlays/", "/").removeprefix("serving/")


if __name__ == "__main__":
    cli.run(RenderConfig, main, package="serve")
