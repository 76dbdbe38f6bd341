"""Which two reports are compared, and how that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Compare two reports run by run: b less a, paired over the same questions."""

    POSITIONAL: ClassVar[tuple[str, ...]] = ("report_a", "report_b")

    report_a: str
    """A report folder, as `just evaluate` writes it; what b is measured against."""
    report_b: str
    """Another one."""
    json: bool = False
    """Print the rows as JSON on stdout instead of a table."""
    seed: int = 0
    """Of the bootstrap."""
