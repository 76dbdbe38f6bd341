"""Where questions come from. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

from s1_core.errors import require


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """One source of the hub list: a copy of one's own, or a fixed revision."""

    path: str | None = None
    """file or folder, JSONL or Parquet, read instead of the hub"""
    revision: str | None = None
    """commit, tag or branch on the hub; null: the newest"""

    def __post_init__(self) -> None:
        both = self.path is not None and self.revision is not None
        require(not both, "a source has a path or a revision, not both")


@dataclass(frozen=True, kw_only=True)
class SourcesConfig:
    """The generated bank, a folder of files, or the 16 sources of s1 (spec 1.1, in its order)."""

    kind: Literal["bank", "local", "hub"] = "hub"
    """bank: generated; local: the folder that --path or S1_DATA names; hub: the list of s1"""
    num_questions: int = 6000
    """how many the bank generates (bank only)"""
    skip: tuple[str, ...] = ()
    """sources of the hub list, or files by their names without ending, to leave out; the card
    says so"""
    modules: tuple[str, ...] = ()
    """importable modules with a SOURCE of your own, collected after the others (hub only)"""
    aime_until: int = 2021
    """last year of AIME taken: 2021 in the paper, 2022 in its code"""
    math: SourceOptions = field(default_factory=SourceOptions)
    olympic_arena: SourceOptions = field(default_factory=SourceOptions)
    theoremqa: SourceOptions = field(default_factory=SourceOptions)
    numinamath: SourceOptions = field(default_factory=SourceOptions)
    omni_math: SourceOptions = field(default_factory=SourceOptions)
    scieval: SourceOptions = field(default_factory=SourceOptions)
    olympiadbench: SourceOptions = field(default_factory=SourceOptions)
    jeebench: SourceOptions = field(default_factory=SourceOptions)
    agieval: SourceOptions = field(default_factory=SourceOptions)
    s1_prob: SourceOptions = field(default_factory=SourceOptions)
    gpqa: SourceOptions = field(default_factory=SourceOptions)
    xword: SourceOptions = field(default_factory=SourceOptions)
    usaco: SourceOptions = field(default_factory=SourceOptions)
    s1_teasers: SourceOptions = field(default_factory=SourceOptions)
    livecodebench: SourceOptions = field(default_factory=SourceOptions)
    aime: SourceOptions = field(default_factory=SourceOptions)

    def __post_init__(self) -> None:
        require(self.num_questions > 0, "sources.num_questions must be at least 1")
        set_ = [name for name in HUB_SOURCES if getattr(self, name) != SourceOptions()]
        require(
            self.kind == "hub" or not (set_ or self.modules),
            f"sources.{(set_ or ['modules'])[0]} is set, but sources.kind is {self.kind}; it is"
            " for hub (--config s1k, or --sources.kind hub)",
        )
        require(self.kind != "bank" or not self.skip, "sources.skip has nothing to skip in a bank")


HUB_SOURCES = tuple(
    entry.name for entry in fields(SourcesConfig) if "SourceOptions" in str(entry.type)
)
"""The names of the 16 sources, in the order in which they are collected."""
