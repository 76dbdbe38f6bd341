"""Every source of s1 in the order in which it was processed (spec 1.1), and those of a user.

A new source is one module under `published/` and one line here; one of your own is any importable
module with a `SOURCE`, named by `sources.modules`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from s1_core.errors import UserError
from s1_data.sources.config import HUB_SOURCES, SourcesConfig
from s1_data.sources.published import (
    competitions,
    exams,
    gpqa,
    olympiads,
    programming,
    puzzles,
    scieval,
)
from s1_data.sources.source import NOT_STATED, Source

OTHER_LICENSES = {"gsm8k": "MIT", "bank": "Apache-2.0"}
"""Names that a local file or the bank may go by, though they are none of the 16."""


_BROKEN = (
    ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError, LookupError,
)  # fmt: skip


def published(aime_until: int) -> tuple[Source, ...]:
    """Return the 16 sources, AIME last; `aime_until` is the last year of AIME taken."""
    return (
        competitions.MATH,
        olympiads.OLYMPIC_ARENA,
        exams.THEOREMQA,
        competitions.NUMINAMATH,
        competitions.OMNI_MATH,
        scieval.SCIEVAL,
        olympiads.OLYMPIADBENCH,
        exams.JEEBENCH,
        exams.AGIEVAL,
        exams.S1_PROB,
        gpqa.GPQA,
        puzzles.XWORD,
        programming.USACO,
        puzzles.S1_TEASERS,
        programming.LIVECODEBENCH,
        competitions.aime(aime_until),
    )


def sources(config: SourcesConfig) -> list[Source]:
    """Return the sources to collect in order, the user's own after the others, none skipped."""
    found = [*published(config.aime_until), *map(_own, config.modules)]
    names = [source.name for source in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"sources.modules: the name {', '.join(twice)} is taken; give your SOURCE another name"
        )
    unknown = sorted(set(config.skip) - set(names))
    if unknown:
        raise UserError(f"sources.skip holds {', '.join(unknown)}; valid are {', '.join(names)}")
    return [source for source in found if source.name not in config.skip]


def known(name: str, aime_until: int) -> Source | None:
    """Return the source that goes by a name, None when none of the 16 does."""
    return next((source for source in published(aime_until) if source.name == name), None)


def license_of(name: str) -> str:
    """Return the license of a source or of a local file by its name without ending."""
    source = known(name, aime_until=0)
    return source.license if source else OTHER_LICENSES.get(name, NOT_STATED)


def in_order(names: Sequence[str]) -> list[str]:
    """Sort names: those of the 16 in their order, then the others by the alphabet."""
    rank = {name: index for index, name in enumerate(HUB_SOURCES)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def _own(module: str) -> Source:
    try:
        found = getattr(importlib.import_module(module), "SOURCE", None)
    except _BROKEN as error:
        raise UserError(
            f"sources.modules: cannot import {module} ({type(error).__name__}: {error}); is it"
            " installed or in PYTHONPATH, and does it run by itself?"
        ) from error
    if not isinstance(found, Source):
        raise UserError(
            f"sources.modules: {module} has no SOURCE, wanted a module-level"
            " `SOURCE = Source(...)` (s1_data.sources.source)"
        )
    return found
