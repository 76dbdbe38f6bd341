"""Folders handed between packages: written once and atomically, hashed, checked when read.

Owns manifest.json (what identifies the content) and run.json (where, when and with what it was
made). Refuses to overwrite a folder that is not an artifact, and to read an altered one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, TypeVar

from s1_core import folder_swap, provenance, records
from s1_core.errors import UserError

MANIFEST, RUN = "manifest.json", "run.json"
RecordT = TypeVar("RecordT")


@dataclass(frozen=True)
class Draft:
    """A folder being written; whatever lies in `path` at the end becomes the artifact.

    `sha256` may hold hashes of files already known, by path below the folder; `notes` go to
    run.json, as what was measured and is never the same twice.
    """

    path: Path
    sha256: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def write(self, name: str, rows: Iterable[RecordT], cls: type[RecordT]) -> None:
        """Write records as Parquet; equal records give equal bytes under one pyarrow."""
        import pyarrow.parquet as pq

        target = self.path / _parquet(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(records.to_table(rows, cls), target, compression="zstd")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file as UTF-8, newlines as they are."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode())


@dataclass(frozen=True)
class Artifact:
    """A folder whose manifest and files have been checked; `sha256` is that of the manifest."""

    path: Path
    kind: str
    config: dict[str, Any]
    parents: dict[str, str]
    sha256: str
    files: tuple[dict[str, Any], ...]

    def num_rows(self, name: str) -> int:
        """Return how many records a Parquet file holds, without opening it."""
        rows = {entry["path"]: entry["rows"] for entry in self.files}
        return int(rows[_parquet(name)])

    def read(self, name: str, cls: type[RecordT]) -> list[RecordT]:
        """Read a Parquet file of records; a missing file is a UserError."""
        import pyarrow.parquet as pq

        source = self.path / _parquet(name)
        if not source.is_file():
            raise UserError(f"{self.path} ({self.kind}) holds no {source.name}; rebuild it")
        return records.from_table(pq.read_table(source, partitioning=None), cls)


@contextmanager
def create(
    out: Path | str, *, kind: str, config: Any, parents: Mapping[str, str] | None = None
) -> Iterator[Draft]:
    """Write an artifact: yield a draft folder, and put it in the place of `out` if all went well.

    `config` is a dataclass or a mapping. What identifies the content goes to the manifest; paths,
    and the fields a dataclass lists in `RUN_ONLY: ClassVar[tuple[str, ...]]`, go to run.json.
    `parents` maps a name to the manifest sha256 of an input.
    Raises UserError when another run is writing here or `out` is a folder of something else.
    """
    out = Path(out).resolve()
    _refuse_foreign(out)
    with folder_swap.replacing(out) as temp:
        draft = Draft(temp)
        yield draft
        manifest = {
            "schema_version": records.SCHEMA_VERSION,
            "kind": kind,
            "files": [_entry(file, draft) for file in files_in(temp)],
            "config": identity(config),
            "parents": dict(parents or {}),
        }
        about = provenance.describe(out) | {"config": plain(config)} | draft.notes
        (temp / RUN).write_text(_json(about))
        (temp / MANIFEST).write_text(_json(manifest))


def load(path: Path | str, *, kind: str | None = None) -> Artifact:
    """Open an artifact after checking its schema, kind and every file's sha256.

    The path "embedded" means the base model shipped in this package.
    Raises UserError naming the file at fault and what to do.
    """
    folder = embedded() if str(path) == "embedded" else Path(path)
    content = _manifest(folder)
    manifest = parsed(content, folder)
    if kind is not None and manifest["kind"] != kind:
        raise UserError(
            f"{folder} holds {manifest['kind']!r}, wanted {kind!r}; name another folder"
        )
    with ThreadPoolExecutor() as pool:  # hashing lets go of the GIL, and a checkpoint is large
        list(pool.map(lambda entry: _check_file(folder, entry), manifest["files"]))
    return Artifact(
        path=folder,
        kind=manifest["kind"],
        config=manifest["config"],
        parents=manifest["parents"],
        sha256=hashlib.sha256(content).hexdigest(),
        files=tuple(manifest["files"]),
    )


def is_current(
    out: Path | str, *, kind: str, config: Any, parents: Mapping[str, str] | None = None
) -> bool:
    """Say whether `out` already is what these inputs would write, intact."""
    try:
        found = load(out, kind=kind)
    except UserError:
        return False
    return found.config == identity(config) and found.parents == dict(parents or {})


def embedded() -> Path:
    """Name the folder of the base model that ships in this package."""
    return Path(__file__).parent / "embedded"


def identity(config: Any) -> dict[str, Any]:
    """Reduce a configuration to what shapes content: no paths, nothing listed in RUN_ONLY."""
    run_only = getattr(config, "RUN_ONLY", ())
    fields = {key: value for key, value in _pairs(config) if key not in run_only}
    return {
        key: identity(value) if dataclasses.is_dataclass(value) else plain(value)
        for key, value in fields.items()
        if not isinstance(value, PurePath)
    }


def plain(value: Any) -> Any:
    """Turn a configuration into what JSON can hold; anything else is our bug."""
    if dataclasses.is_dataclass(value) or isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in _pairs(value)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    assert value is None or isinstance(value, str | int | float | bool), f"not JSON: {value!r}"
    return value


def _pairs(config: Any) -> list[tuple[str, Any]]:
    if isinstance(config, Mapping):
        return list(config.items())
    return [(item.name, getattr(config, item.name)) for item in dataclasses.fields(config)]


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, wanted a folder; choose another --out")
    if out.is_dir() and not (out / MANIFEST).is_file() and any(out.iterdir()):
        raise UserError(
            f"{out} holds something that is not an artifact; it is left alone, choose another --out"
        )


def _manifest(folder: Path) -> bytes:
    if not folder.is_dir():
        raise UserError(f"no artifact at {folder}; run the command that writes it, or fix the path")
    try:
        return (folder / MANIFEST).read_bytes()
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} has no {MANIFEST}, so it is not an artifact; rebuild it"
        ) from error


def parsed(content: bytes, folder: Path) -> dict[str, Any]:
    """Read what a manifest says; UserError when it is damaged or of another schema."""
    try:
        manifest = json.loads(content)
        version = manifest["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder / MANIFEST} is damaged; delete {folder} and rebuild it"
        ) from error
    if version != records.SCHEMA_VERSION:
        raise UserError(
            f"{folder} has schema version {version}, this version reads {records.SCHEMA_VERSION};"
            " rebuild it"
        )
    if not {"kind", "files", "config", "parents"} <= manifest.keys() or not _are_entries(
        manifest["files"]
    ):
        raise UserError(f"{folder / MANIFEST} is incomplete; delete {folder} and rebuild it")
    return dict(manifest)


def _are_entries(files: Any) -> bool:
    wanted = {"path", "sha256", "bytes", "rows"}
    return isinstance(files, list) and all(
        isinstance(entry, dict) and wanted <= entry.keys() for entry in files
    )


def _check_file(folder: Path, entry: Mapping[str, Any]) -> None:
    remedy = (
        "reinstall s1-core (git checkout restores it)"
        if folder == embedded()
        else f"delete {folder} and rebuild it"
    )
    file = folder / entry["path"]
    if not file.is_file():
        raise UserError(f"{file} is missing; {remedy}")
    if file.stat().st_size != entry["bytes"] or sha256_of(file) != entry["sha256"]:
        raise UserError(f"{file} was altered or cut short since it was written; {remedy}")


def files_in(folder: Path) -> list[Path]:
    """List the files that make up an artifact's content, in order."""
    found = (path for path in folder.rglob("*") if not path.is_dir())
    return sorted(path for path in found if path not in (folder / MANIFEST, folder / RUN))


def _entry(file: Path, draft: Draft) -> dict[str, Any]:
    assert not file.is_symlink(), f"an artifact holds no links: {file}"
    rows = None
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        rows = pq.read_metadata(file).num_rows
    name, size = file.relative_to(draft.path).as_posix(), file.stat().st_size
    known = draft.sha256.get(name) or sha256_of(file)
    return {"path": name, "sha256": known, "bytes": size, "rows": rows}


def sha256_of(file: Path) -> str:
    """Hash a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _parquet(name: str) -> str:
    return name if name.endswith(".parquet") else f"{name}.parquet"
