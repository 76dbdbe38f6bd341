"""The Hugging Face hub as a source of rows: the only importer of `datasets`.

A dataset of plain files goes through `datasets.load_dataset`, at the commit its revision stands
for. `datasets` 5 runs no loading scripts, so a repository that ships one is read otherwise: the
files that its part names (LiveCodeBench), else the hub's own conversion to Parquet on the branch
refs/convert/parquet, `<config>/<split>/*.parquet` (AGIEval, and whichever other still has a
script). Not verified offline: that this branch exists for baber/agieval, and that
the datasets still have the columns and splits that s1's loaders read in January 2025.

Refuses to hang: a dataset that cannot be reached ends in one line that names the way around it.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1_core import cli
from s1_core.errors import UserError
from s1_data.sources import copies, files
from s1_data.sources.source import Part, RawRow, Source

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo

CONVERTED = "refs/convert/parquet"
TIMEOUT_S = 10.0
BATCH_ROWS = 1000
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A dataset at one commit; `is_converted` when it is the hub's conversion to Parquet."""

    hub_id: str
    commit: str
    names: tuple[str, ...]
    is_converted: bool

    def __str__(self) -> str:
        return f"{self.hub_id}@{self.commit}" + (f" ({CONVERTED})" if self.is_converted else "")


def resolve(source: Source, revision: str | None, remedy: str) -> dict[str, Repository]:
    """Find the commit of each dataset that a source reads, by its hub id.

    Raises UserError, closing with `remedy`, for one that cannot be reached. A revision is that of
    the source's own dataset.
    """
    _quiet()
    ids = dict.fromkeys(part.hub_id or source.hub_id for part in source.parts)
    with _faults(source, remedy):
        return {
            hub_id: _repository(source, hub_id, revision if hub_id == source.hub_id else None)
            for hub_id in ids
        }


def rows(source: Source, repositories: dict[str, Repository], remedy: str) -> Iterator[RawRow]:
    """Walk over the rows of every part in order, downloading what the cache of the hub lacks."""
    for part in source.parts:
        repository = repositories[part.hub_id or source.hub_id]
        with _faults(source, remedy):
            yield from _rows(source, part, repository)


def _repository(source: Source, hub_id: str, revision: str | None) -> Repository:
    info = _info(hub_id, revision)
    names = _names(info)
    has_script = f"{hub_id.rpartition('/')[2]}.py" in names
    own = [part for part in source.parts if (part.hub_id or source.hub_id) == hub_id]
    is_converted = revision == CONVERTED
    if has_script and not all(part.data_files for part in own):
        if revision is not None:
            raise ValueError(
                f"revision {revision} wants a loading script, which no longer runs; {CONVERTED}"
                " may do"
            )
        info, is_converted = _info(hub_id, CONVERTED), True
    assert info.sha is not None, f"the hub named no commit of {hub_id}"
    return Repository(hub_id=hub_id, commit=info.sha, names=_names(info), is_converted=is_converted)


def _info(hub_id: str, revision: str | None) -> DatasetInfo:
    from huggingface_hub import HfApi

    return HfApi().dataset_info(hub_id, revision=revision, timeout=TIMEOUT_S)


def _names(info: DatasetInfo) -> tuple[str, ...]:
    return tuple(sibling.rfilename for sibling in info.siblings or ())


def _rows(source: Source, part: Part, repository: Repository) -> Iterator[RawRow]:
    if not (repository.is_converted or part.data_files):
        yield from _loaded(source, part, repository)
        return
    for path in _downloaded(part, repository):
        for row in files.rows(path):
            _check(source, part, row.fields)
            yield RawRow(part, row.fields)


def _loaded(source: Source, part: Part, repository: Repository) -> Iterator[RawRow]:
    import datasets

    found = datasets.load_dataset(
        repository.hub_id, part.config, split=part.split, revision=repository.commit
    )
    _check(source, part, found.column_names)
    # As Arrow: a picture then stays the bytes it is, and nothing needs decoding.
    for batch in found.with_format("arrow").iter(batch_size=BATCH_ROWS):
        for fields in batch.to_pylist():
            yield RawRow(part, fields)


def _downloaded(part: Part, repository: Repository) -> list[Path]:
    """Fetch the files of a part as they are."""
    from huggingface_hub import hf_hub_download

    names = part.data_files
    if repository.is_converted:
        start = f"{part.config or 'default'}/{part.split}/"
        names = tuple(sorted(name for name in repository.names if name.startswith(start)))
        if not names:
            raise ValueError(f"{CONVERTED} holds no {start}*.parquet")
    return [
        Path(
            hf_hub_download(
                repository.hub_id, name, repo_type="dataset", revision=repository.commit
            )
        )
        for name in names
    ]


def _check(source: Source, part: Part, found: Any) -> None:
    missing = copies.lacking(source.columns_of(part), found)
    if missing:
        raise ValueError(
            f"{part} has no column {', '.join(missing)}, found {', '.join(sorted(found))}"
        )


def _quiet() -> None:
    """Leave the console to us: one line for a fault, bars only where someone looks."""
    import datasets

    for name in ("huggingface_hub", "datasets"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if not cli.console().is_terminal:
        datasets.disable_progress_bars()


@contextmanager
def _faults(source: Source, remedy: str) -> Iterator[None]:
    """Turn whatever keeps the rows of a source from us into one line."""
    import datasets
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # whichever it uses

    errors = (
        httpx.HTTPError, OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError
    )  # fmt: skip
    try:
        yield
    except errors as error:
        disk = _disk_fault(error)
        if disk is not None:
            raise disk from error
        gate = f" (it is gated: accept the terms of {source.hub_id} on the hub, then set HF_TOKEN)"
        raise UserError(
            f"source {source.name} ({source.hub_id}) cannot be read: {_reason(error)}"
            f"{gate if source.is_gated else ''}; {remedy}"
        ) from error


def _disk_fault(error: BaseException | None) -> OSError | None:
    """Find a full or read-only disk among the causes: that is said elsewhere, in its own words."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK:
            return error
        error = error.__cause__ or error.__context__
    return None


def _reason(error: BaseException) -> str:
    """Say in a few words what happened."""
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    known: tuple[tuple[type[BaseException], str], ...] = (
        (errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE is set"),
        (errors.GatedRepoError, "access is gated"),
        (errors.RevisionNotFoundError, "no such revision"),
        (errors.RepositoryNotFoundError, "not found, or not for this token"),
        (httpx.TimeoutException, "the hub did not answer in time"),
        (httpx.TransportError, "the hub cannot be reached"),
        (ConnectionError, "the hub cannot be reached"),
    )
    for kind, words in known:
        if isinstance(error, kind):
            return words
    if isinstance(error, errors.HfHubHTTPError) and error.response is not None:
        return f"the hub answered {error.response.status_code}"
    return " ".join(str(error.__cause__ or error).split())[:300]
