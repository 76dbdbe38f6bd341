"""Turns questions into vectors with the embedder that the options name.

Near vectors mean like questions; everything else in this room reads only the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from s1_data.config import DiversityConfig
from s1_data.embedding import encoder, hashed, stored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]  # (N, D), rows of length 1, or 0 where there was nothing to read

HASHED = "hashed"


def embed(
    texts: Sequence[str], config: DiversityConfig, seed: int, cache: Path | None = None
) -> Vectors:
    """Return one row a text: float32 (N, D), of length 1.

    `seed` is the hashed embedder's. The folder `cache` keeps the rows, an encoder's chunk by
    chunk. Raises UserError when the encoder cannot be loaded.
    """
    if config.embedder == HASHED:
        key = [*hashed.identity(config), seed, *texts]
        return stored.kept(cache, key, len(texts), lambda: hashed.embed(texts, config, seed))
    return encoder.embed(texts, config, cache)


def shape(config: DiversityConfig) -> dict[str, str | int | None]:
    """Name the options that the embedder reads; a folder only by its name."""
    if config.embedder == HASHED:
        return {
            "embedder": HASHED,
            "num_features": config.num_features,
            "num_dimensions": config.num_dimensions,
        }
    name = config.embedder
    return {
        "embedder": Path(name).name if Path(name).is_dir() else name,
        "revision": config.revision,
        "pooling": config.pooling,
        "max_length": config.max_length,
        "batch_size": config.batch_size,
    }


def parents(config: DiversityConfig) -> dict[str, str]:
    """Identify a local encoder by the hash of its files; an id of the hub names itself."""
    local = config.embedder != HASHED and Path(config.embedder).is_dir()
    return {"encoder": encoder.folder_sha256(Path(config.embedder))} if local else {}
