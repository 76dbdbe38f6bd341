"""A small copy of this work tree as a git repository of its own, for what demands a clean one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("packages", "infra/images", "infra/requirements", ".dockerignore", ".gitignore")


class Checkout:
    """The packages and what makes their images, committed as they lie here."""

    def __init__(self, root: Path, changed: Mapping[str, str] | None = None) -> None:
        self.root = root
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PLACES]
        found = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
        for name in filter(None, found.stdout.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, root / name)
        for name, text in (changed or {}).items():
            (root / name).write_text(text)
        self.git("init", "--quiet")
        self.commit()

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *words: str) -> str:
        names = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        command = ["git", *names, *words]
        return subprocess.run(
            command, cwd=self.root, capture_output=True, text=True, check=True
        ).stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a commit")

    def run(self, module: str, *words: Any, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a module of the checkout, not of this work tree."""
        sources = [str(self.root / "packages" / name / "src") for name in ("core", "serve")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sources)} | variables
        return subprocess.run(
            [sys.executable, "-m", module, *map(str, words)],
            cwd=self.root, env=environment, capture_output=True, text=True,
        )  # fmt: skip
