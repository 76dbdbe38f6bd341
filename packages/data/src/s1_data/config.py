"""The options of `s1_data.build` and `s1_data.benchmarks`. Imports nothing heavy.

Only what shapes the content goes into a manifest: `out`, `path` and `workers` never do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from s1_core.errors import require

BENCHMARKS = ("aime24", "math500", "gsm8k", "heldout")


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Where questions come from and who writes their traces."""

    kind: Literal["bank", "local"] = "bank"
    """bank: generated; local: the folder that --path or S1_DATA names"""
    num_questions: int = 6000
    """how many the bank generates (bank only)"""
    teacher: Literal["bank", "reference"] = "bank"
    """reference: the human solution is the trace, and rows without one leave"""

    def __post_init__(self) -> None:
        require(self.num_questions > 0, "source.num_questions must be at least 1")
        fits = (self.kind, self.teacher) in (("bank", "bank"), ("local", "reference"))
        require(
            fits,
            f"source.teacher {self.teacher} has no traces for source.kind {self.kind};"
            " bank goes with bank, reference with local",
        )


@dataclass(frozen=True, kw_only=True)
class DecontaminationConfig:
    """What may never be trained on."""

    benchmarks: tuple[str, ...] = ("heldout",)
    """any of aime24, math500, gsm8k, heldout"""
    rule: Literal["shingles", "exact"] = "exact"
    """shingles: s1's rule; exact: equal texts, for the bank, whose templates share shingles"""
    shingle_words: int = 8
    """words in a shingle"""

    def __post_init__(self) -> None:
        unknown = [name for name in self.benchmarks if name not in BENCHMARKS]
        require(
            not unknown,
            f"unknown benchmark {', '.join(unknown)}; valid are {', '.join(BENCHMARKS)}",
        )
        require(self.shingle_words > 0, "decontamination.shingle_words must be at least 1")


@dataclass(frozen=True, kw_only=True)
class DifficultyConfig:
    """Which questions are too easy to teach anything."""

    by: Literal["attempts", "solution_length", "none"] = "attempts"
    """attempts: a model answered right; solution_length: the human solution is short"""
    drop_fraction: float = 0.5
    """solution_length: the share of rows, shortest first, that leaves"""
    tokenizer: str = "embedded"
    """what counts the thinking: embedded, words, or the path of a tokenizer.json"""

    def __post_init__(self) -> None:
        require(0 <= self.drop_fraction < 1, "difficulty.drop_fraction must be in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class DiversityConfig:
    """Hashed TF-IDF + SVD vectors, and what is read off them."""

    num_features: int = 2**18
    """width of the hashed TF-IDF vectors"""
    num_dimensions: int = 128
    """width after the SVD"""
    num_domains: int = 50
    """clusters of spherical k-means"""
    near_duplicate: float | None = 0.98
    """cosine from which two questions count as one; null: never"""

    def __post_init__(self) -> None:
        smallest = min(self.num_features - 1, self.num_dimensions, self.num_domains)
        require(smallest > 0, "diversity.num_* must be at least 1 (num_features 2)")


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """How many rows s1K gets."""

    num_rows: int = 1000
    """exactly this many, or an error"""

    def __post_init__(self) -> None:
        require(self.num_rows > 0, "selection.num_rows must be at least 1")


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """Everything `python -m s1_data.build` can be told."""

    out: str = "artifacts/demo"
    """questions/ and s1k/ are written below this folder"""
    path: str | None = None
    """folder of real data; falls back to the environment's S1_DATA"""
    attempts: str | None = None
    """attempts artifact, wanted by difficulty.by attempts"""
    until: Literal["questions", "s1k"] = "s1k"
    """the last artifact to write"""
    seed: int = 42
    """of the bank, the embedding, the clusters and the selection"""
    workers: int = 2
    """processes that grade attempts; never changes the result"""
    documents: int = 0
    """more than 0: that many pre-training documents of the bank instead of a selection"""
    source: SourceConfig = field(default_factory=SourceConfig)
    decontamination: DecontaminationConfig = field(default_factory=DecontaminationConfig)
    difficulty: DifficultyConfig = field(default_factory=DifficultyConfig)
    diversity: DiversityConfig = field(default_factory=DiversityConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**31, "seed must be in [0, 2^31)")
        require(self.workers > 0, "workers must be at least 1")
        require(self.documents >= 0, "documents must not be negative")


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Everything `python -m s1_data.benchmarks` can be told."""

    name: Literal["aime24", "math500", "gsm8k", "heldout"] = "heldout"
    """heldout is the bank's; the others are files of the data folder"""
    out: str = "artifacts/demo/heldout"
    """the artifact to write"""
    path: str | None = None
    """folder of real data; falls back to the environment's S1_DATA"""
    num_questions: int | None = None
    """the first n only; heldout: how many, 300 when not said"""
    seed: int = 42
    """of the bank (heldout only)"""

    def __post_init__(self) -> None:
        require(self.num_questions is None or self.num_questions > 0, "num_questions must be > 0")
