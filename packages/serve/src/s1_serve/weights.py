"""`just weights`: a model artifact, from a folder or an HTTP server, to `<store>/<its hash>`.

Owns the kept folder beside the target, where files grow and outlive a kill. What does not have the
manifest's hashes never stands where a server would read it.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from s1_core import artifacts, cli, folder_swap
from s1_core.errors import UserError, require
from s1_serve import download
from s1_serve.download import Source
from s1_serve.release.record import is_sha256


@dataclass(frozen=True, kw_only=True)
class WeightsConfig:
    """Bring a model into a store of models by hash, verified before it is seen there."""

    sha256: str
    """The hash of the model's manifest.json."""
    source: str
    """The model's folder or its http(s) URL; the variable S1_SOURCE_TOKEN holds a bearer token."""
    store: str = "/models"
    """The folder of models, which is there; this one becomes STORE/SHA256."""
    retries: int = 6
    """How often in a row a file may be cut without a byte gained; waits double from a second."""
    timeout_s: float = 60.0
    """How long a server may be silent."""

    def __post_init__(self) -> None:
        require(
            is_sha256(self.sha256),
            f"sha256 is {self.sha256!r}: give the 64 digits of `sha256sum manifest.json`",
        )
        require(
            "://" not in self.source or bool(re.fullmatch(r"https?://[^/?#][^?#]*", self.source)),
            f"source is {self.source!r}: give a folder, or the http(s) URL of one",
        )
        require(self.retries >= 0, f"retries is {self.retries}: give a count from 0")
        require(self.timeout_s > 0, f"timeout_s is {self.timeout_s}: give more than 0")


def main(config: WeightsConfig) -> None:
    """Bring the model, unless it is there intact; of two runs at once one waits for the other."""
    store = Path(config.store).resolve()
    if not store.is_dir():
        raise UserError(f"no store at {store}: mount or make it, or give another --store")
    os.umask(0o022)  # nobody knows as whom a server will read
    target = store / config.sha256
    waiting = f"another run is bringing {config.sha256}: waiting for it"
    with folder_swap.locked(target, waiting=lambda: cli.say(waiting)):
        if target.exists():
            _check(target)
            cli.say(f"up to date: {target}")
        else:
            folder_swap.put(_brought(config, target), target)
    sys.stdout.write(f"{target}\n")


def _check(target: Path) -> None:
    """See that the model in the store is still what it was.

    Raises:
        UserError: it is not; nothing is mended here, as servers may be reading it.
    """
    with cli.working(f"checking {target}"):
        found = artifacts.load(target, kind="model").sha256
    if found != target.name:
        raise UserError(f"{target} holds the model {found}: delete it and run again")


def _brought(config: WeightsConfig, target: Path) -> Path:
    """Give the kept folder once it holds the whole model, each file verified."""
    kept = target.with_name(f".{target.name}.kept")
    kept.mkdir(exist_ok=True)
    with download.opened(config.source, config.timeout_s) as source:
        content = _manifest(config, source)
        entries = _entries(config, content)
        for number, entry in enumerate(entries, 1):
            _bring(entry, source, kept, config)
            size = f"{entry['bytes'] / 1e6:,.1f} MB"
            cli.say(f"{number} of {len(entries)}: {entry['path']}, {size}, verified")
    (kept / artifacts.MANIFEST).write_bytes(content)
    return kept


def _manifest(config: WeightsConfig, source: Source) -> bytes:
    """Read the manifest; a UserError when its hash is not the one wanted."""
    name = artifacts.MANIFEST
    content = download.patiently(
        lambda: b"".join(source.pieces(name, 0, None)), name, config.retries
    )
    found = hashlib.sha256(content).hexdigest()
    if found != config.sha256:
        raise UserError(
            f"the manifest at {config.source} has sha256 {found}, wanted {config.sha256}:"
            " give the source of that model"
        )
    return content


def _entries(config: WeightsConfig, content: bytes) -> list[dict[str, Any]]:
    """List the files of a model's manifest; a UserError when one lies outside of its folder."""
    manifest = artifacts.parsed(content, Path(config.source))
    require(manifest["kind"] == "model", f"{config.source} holds {manifest['kind']!r}, no model")
    for entry in manifest["files"]:
        parts = PurePosixPath(entry["path"]).parts
        require(
            bool(parts) and not {"/", "//", ".."} & set(parts),
            f"{config.source} names a file outside of it: {entry['path']!r}",
        )
    return list(manifest["files"])


def _bring(entry: dict[str, Any], source: Source, kept: Path, config: WeightsConfig) -> None:
    """Make a file of the manifest whole, going on from what is kept of it.

    Raises:
        UserError: the source's bytes are not the manifest's; they are not kept.
    """
    path, size, file = entry["path"], entry["bytes"], kept / entry["path"]
    file.parent.mkdir(parents=True, exist_ok=True)
    num_kept = file.stat().st_size if file.exists() else 0
    if num_kept <= size:
        work = partial(download.append, source, path, file, size)
        download.patiently(work, path, config.retries)
        if _is_right(file, entry):
            return
    file.unlink()
    if not num_kept:
        raise UserError(
            f"{path} at {config.source} is not the manifest's: it was altered, or changed while"
            " it was read; mend it and run again, what was verified is kept"
        )
    _bring(entry, source, kept, config)  # what was kept did not fit what came behind it


def _is_right(file: Path, entry: dict[str, Any]) -> bool:
    with cli.working(f"verifying {entry['path']}"):
        return artifacts.sha256_of(file) == str(entry["sha256"])


if __name__ == "__main__":
    cli.run(WeightsConfig, main, package="serve")
