"""The rim of every verb here: write an artifact unless it is current, and say so in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s1_core import artifacts, cli
from s1_core.artifacts import Artifact, Draft


@dataclass(frozen=True, kw_only=True)
class Stage:
    """An artifact to be: where, of what kind, and all that identifies its content."""

    out: Path
    kind: str
    config: Mapping[str, Any]
    parents: Mapping[str, str]

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that says what the artifact will hold."""
        return {"kind": self.kind, "config": self.config, "parents": self.parents}

    def is_current(self) -> bool:
        """Say whether the artifact is there as these inputs would write it, intact."""
        return artifacts.is_current(self.out, **self.identity)

    def ensure(self, write: Callable[[Draft], str]) -> Artifact:
        """Return the artifact, calling `write` if it is not current; `write` says what it holds."""
        if self.is_current():
            cli.say(f"up to date: {self.out}")
        else:
            with artifacts.create(self.out, **self.identity) as draft:
                summary = write(draft)
            cli.say(f"{summary}: {self.out}")
        return artifacts.load(self.out)
