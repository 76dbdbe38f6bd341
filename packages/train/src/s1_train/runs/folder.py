"""The folder of a run: what lies where, whose recipe it is, one process at a time.

A run is a cache that can be rebuilt. Refuses a folder of something else, and to go on under a
changed recipe or changed inputs.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from s1_core import artifacts
from s1_core.errors import UserError
from s1_core.records import SCHEMA_VERSION

_LOCK = ".lock"


@dataclass(frozen=True)
class Identity:
    """What decides whether a stopped run may go on: the recipe and the inputs' hashes."""

    recipe: dict[str, Any]
    parents: dict[str, str]

    def differences(self, other: Identity) -> list[str]:
        """List, as "key was .., now ..", where the other one differs.

        A base model is what its hash says: under another name it is the same one.
        """
        was, now = (
            flat(one.recipe) | {f"sha256 of {key}": value for key, value in one.parents.items()}
            for one in (self, other)
        )
        if "base" in self.parents and self.parents["base"] == other.parents.get("base"):
            now["base"] = was["base"]
        return [
            f"{key} was {was.get(key)}, now {now.get(key)}"
            for key in sorted(was.keys() | now.keys())
            if was.get(key) != now.get(key)
        ]


class RunFolder:
    """Paths of a run and the files that describe it."""

    TOKENIZER, BASE = "tokenizer", "base"

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.recipe = self.path / "recipe.json"
        self.job = self.path / "job.json"
        self.finished = self.path / "finished.json"
        self.encoded = self.path / "encoded"
        self.tokenizer = self.encoded / self.TOKENIZER
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.csv"
        self.starts = self.path / "starts.csv"
        self.config = self.path / "config.yaml"
        self.curves = self.path / "curves.png"
        self.card = self.path / "card.md"

    @property
    def base(self) -> Path | None:
        """Where the configuration of the base model is kept; None in a run from scratch."""
        kept = self.encoded / self.BASE
        return kept if kept.is_dir() else None

    def log(self, rank: int) -> Path:
        """Name the file that takes the output of a process other than the first."""
        return self.path / "logs" / f"rank-{rank}.log"

    def fault(self, rank: int) -> Path:
        """Name the file in which a process leaves the line it ended with."""
        return self.path / "logs" / f"rank-{rank}.fault"

    def samples(self, rank: int) -> Path:
        """Name the file that says which samples a process saw in which step."""
        return self.path / "samples" / f"rank-{rank}.csv"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; UserError when another run holds it or it is not a folder of ours."""
        self._make()
        descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"another run is at work in {self.path}; wait for it, or choose another --out"
                ) from error
            yield
        finally:
            os.close(descriptor)

    def claim(self, identity: Identity, on_change: Literal["refuse", "restart"]) -> None:
        """Take the folder for a recipe: new, or one that began under the same recipe."""
        former = self.identity()
        differences = former.differences(identity) if former else []
        if differences and on_change == "refuse":
            raise UserError(
                f"{self.path} holds a run under another recipe: {'; '.join(differences)};"
                " choose another --out, or pass --on_change restart to start anew"
            )
        if differences:
            self._clear()
        if differences or former is None:
            content = {"schema_version": SCHEMA_VERSION, **artifacts.plain(identity)}
            write_json(self.recipe, content)

    def identity(self) -> Identity | None:
        """Read whose run this is; None in a new folder."""
        if not self.recipe.is_file():
            return None
        content = read_json(self.recipe)
        return Identity(content["recipe"], content["parents"])

    def is_finished(self, identity: Identity) -> bool:
        """Say whether this very run is done and its last checkpoint intact."""
        former = self.identity()
        if former is None or former.differences(identity) or not self.finished.is_file():
            return False
        end = read_json(self.finished)
        try:
            return artifacts.load(self.path / end["checkpoint"]).sha256 == str(end["sha256"])
        except UserError:
            return False

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(f"{self.path} lies at or under a file; choose another --out") from error
        # A first start that was cut off leaves the lock and perhaps part of the recipe.
        found = {entry.name for entry in self.path.iterdir()} - {_LOCK, _temp(self.recipe).name}
        if found and self.recipe.name not in found:
            raise UserError(
                f"{self.path} holds something that is not a run; it is left alone,"
                " choose another --out"
            )

    def _clear(self) -> None:
        self.finished.unlink(missing_ok=True)
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name not in (_LOCK, self.recipe.name):
                entry.unlink()


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of this folder; a damaged one is a UserError."""
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise UserError(f"{path} is damaged; delete {path.parent} and run again") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file of this folder in one step."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True))


def write_text(path: Path, text: str) -> None:
    """Write a file of this folder in one step."""
    temp = _temp(path)
    with temp.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temp.replace(path)


def _temp(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name nested values by dotted keys, as flags do."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found
