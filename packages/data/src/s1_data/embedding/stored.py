"""Vectors on disk, by the hash of all that shaped them; delete the folder at any time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s1_data.embedding.vectors import Vectors


def kept(
    cache: Path | None, shape: Sequence[str | int], num: int, work: Callable[[], Vectors]
) -> Vectors:
    """Return `num` rows from the folder `cache`, calling `work` only where it has no whole ones."""
    if cache is None:
        return work()
    file = cache / f"{hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:32]}.npy"
    found = _read(file, num)
    if found is None:
        found = work()
        _write(file, found)
    return found


def _read(file: Path, num: int) -> Vectors | None:
    """Return the rows of a file; None, and so worked out again, where they are not all there."""
    import numpy as np

    try:
        found: Vectors = np.load(file)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and len(found) == num else None


def _write(file: Path, rows: Vectors) -> None:
    import numpy as np

    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}")
    with draft.open("wb") as target:
        np.save(target, rows)
    draft.replace(file)
