"""The options of `s1_data.build` and `s1_data.benchmarks`. Imports nothing heavy.

Only what shapes the content goes into a manifest: `out`, `path`, `workers` and what an endpoint
costs never do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from s1_core import chat
from s1_core.errors import require
from s1_core.records import BENCHMARKS
from s1_data.endpoint.config import JudgeConfig, TeacherConfig
from s1_data.sources.config import SourceOptions, SourcesConfig


@dataclass(frozen=True, kw_only=True)
class DecontaminationConfig:
    """What may never be trained on (spec 1.2)."""

    benchmarks: tuple[str, ...] = ("aime24", "math500", "gpqa_diamond")
    """any of aime24, aime25, math500, gpqa_diamond, gsm8k, aimo_validation (AIME 2022-24),
    livecodebench_v4, heldout; the default is the paper's list"""
    rule: Literal["shingles", "exact"] = "shingles"
    """shingles: s1's rule; exact: equal texts, for the bank, whose templates share shingles"""
    shingle_words: int = 8
    """words in a shingle"""
    across_sources: bool = True
    """each source is also held against those before it, as in the released code"""

    def __post_init__(self) -> None:
        unknown = [name for name in self.benchmarks if name not in BENCHMARKS]
        require(
            not unknown,
            f"unknown benchmark {', '.join(unknown)}; valid are {', '.join(BENCHMARKS)}",
        )
        require(self.shingle_words > 0, "decontamination.shingle_words must be at least 1")


@dataclass(frozen=True, kw_only=True)
class DifficultyConfig:
    """Which questions are too easy to teach anything (spec 1.4, 1.5)."""

    by: Literal["auto", "attempts", "metadata", "solution_length", "none"] = "auto"
    """attempts: a model answered right; metadata: a low level; solution_length: a short human
    solution; auto: attempts where --attempts are given, else metadata for the bank,
    solution_length for human solutions, and otherwise an error"""
    grader: Literal["answers", "judge"] = "answers"
    """who says that an attempt is right: math-verify in worker processes, or the judge"""
    field: str = "level"
    """metadata: the field that holds a number, larger is harder"""
    drop_fraction: float = 0.5
    """metadata, solution_length: the share of rows, easiest first, that leaves"""
    tokenizer: str = "embedded"
    """what counts the thinking: embedded, words, or the path of a tokenizer.json"""

    def __post_init__(self) -> None:
        require(0 <= self.drop_fraction < 1, "difficulty.drop_fraction must be in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class DiversityConfig:
    """Questions as vectors, and the domains and near-duplicates read off them."""

    embedder: str = "hashed"
    """hashed: TF-IDF + SVD; else a Hugging Face encoder: its id or a folder"""
    num_features: int = 2**18
    """hashed: width of the TF-IDF vectors"""
    num_dimensions: int = 128
    """hashed: width after the SVD"""
    revision: str | None = None
    """encoder: commit, tag or branch on the hub"""
    pooling: Literal["mean", "cls"] = "mean"
    """encoder: how token vectors become one"""
    max_length: int = 512
    """encoder: tokens of a question that are read"""
    batch_size: int = 64
    """encoder: questions in a batch"""
    domains: Literal["kmeans", "msc-nearest", "llm"] = "kmeans"
    """kmeans: clusters; msc-nearest: the nearest class; llm: the class that the judge picks"""
    num_domains: int = 50
    """kmeans: how many clusters"""
    classes: str | None = None
    """msc-nearest, llm: JSON list of {code, title, topics}; falls back to msc.json in the data
    folder"""
    near_duplicate: float | None = 0.98
    """cosine from which two questions count as one; null: never"""

    def __post_init__(self) -> None:
        smallest = min(self.num_features - 1, self.num_dimensions, self.num_domains)
        require(smallest > 0, "diversity.num_* must be at least 1 (num_features 2)")
        require(
            self.near_duplicate is None or 0 < self.near_duplicate <= 1,
            "diversity.near_duplicate must be in (0, 1], or null",
        )
        require(self.max_length > 1, "diversity.max_length must be at least 2")
        require(self.batch_size > 0, "diversity.batch_size must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a way of selecting wants to be known or filtered before it draws."""

    quality: bool = True
    difficulty: bool = True
    domains: bool = True
    verdicts: bool = False
    """whether the traces are right"""
    num_rows: bool = True
    """False: it takes all there are"""


NEEDS = {
    "embedding": Needs(),
    "paper": Needs(verdicts=True),
    "released": Needs(verdicts=True),
    "random": Needs(difficulty=False, domains=False),
    "diverse": Needs(difficulty=False),
    "longest": Needs(difficulty=False, domains=False),
    "full": Needs(quality=False, difficulty=False, domains=False, num_rows=False),
}


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """Which rows s1K gets, and how many."""

    by: Literal["embedding", "paper", "released", "random", "diverse", "longest", "full"] = (
        "embedding"
    )
    """embedding: Algorithm 1 over the domains without near-duplicates; paper: Algorithm 1 as
    printed; released: as its code ran it; random, diverse, longest, full: the ablations, which
    skip the difficulty filter"""
    num_rows: int = 1000
    """exactly this many, or an error (full: every row)"""
    long_math_tokens: int = 5600
    """paper, released: MATH rows with a right trace longer than this are always taken"""
    render: tuple[str, ...] = ()
    """text formats (s1, s1-steps, think) to write beside the examples, one file each"""

    def __post_init__(self) -> None:
        require(self.num_rows > 0, "selection.num_rows must be at least 1")
        require(self.long_math_tokens >= 0, "selection.long_math_tokens must not be negative")
        for name in self.render:
            chat.format_named(name)

    @property
    def needs(self) -> Needs:
        """What this way of selecting wants before it."""
        return NEEDS[self.by]


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """Everything `python -m s1_data.build` can be told."""

    out: str = "artifacts/data"
    """questions/, traces/ and s1k/ are written below this folder"""
    path: str | None = None
    """folder of real data; falls back to the environment's S1_DATA"""
    traces: str | None = None
    """traces artifact made earlier (`just traces`, `just merge`), instead of asking the teacher"""
    attempts: tuple[str, ...] = ()
    """attempts artifacts, one a model, for difficulty.by attempts"""
    until: Literal["questions", "traces", "s1k"] = "s1k"
    """the last artifact to write"""
    dry_run: bool = False
    """print the plan, the calls that are left and what they may cost, and stop"""
    push: str | None = None
    """dataset repository on the hub that receives s1k/ with its card"""
    seed: int = 42
    """of the bank, the embedding, the clusters and the selection"""
    workers: int = 2
    """processes that grade attempts; never changes the result"""
    documents: int = 0
    """more than 0: that many pre-training documents of the bank instead of a selection"""
    max_question_chars: int = 100_000
    """longer questions are rejected"""
    sources: SourcesConfig = field(default_factory=SourcesConfig)
    decontamination: DecontaminationConfig = field(default_factory=DecontaminationConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    difficulty: DifficultyConfig = field(default_factory=DifficultyConfig)
    diversity: DiversityConfig = field(default_factory=DiversityConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**31, "seed must be in [0, 2^31)")
        require(self.workers > 0, "workers must be at least 1")
        require(self.documents >= 0, "documents must not be negative")
        require(self.max_question_chars > 0, "max_question_chars must be at least 1")
        misfits = (("bank", "reference"), ("local", "bank"), ("hub", "bank"))
        require(
            (self.sources.kind, self.teacher.kind) not in misfits,
            f"teacher.kind {self.teacher.kind} has no traces for sources.kind {self.sources.kind};"
            " bank goes with bank, reference with human solutions, endpoint with all",
        )
        require(
            self.teacher.kind != "endpoint"
            or self.teacher.url is not None
            or not self.wants_teacher,
            "teacher.kind endpoint wants --teacher.url and --teacher.model, or --traces DIR",
        )
        require(
            not (self.judges_answers or self.domains_rule == "llm")
            or self.judge.url is not None
            or self.until != "s1k",
            "difficulty.grader judge and diversity.domains llm want --judge.url and --judge.model",
        )
        require(
            not self.attempts or self.difficulty.by in ("auto", "attempts"),
            f"--attempts are given, but difficulty.by {self.difficulty.by} does not read them",
        )
        require(
            self.push is None or (self.until == "s1k" and not self.documents),
            "--push uploads s1k/, which --until and --documents leave unwritten",
        )

    @property
    def wants_teacher(self) -> bool:
        """Whether traces must still be written."""
        return not (self.traces or self.until == "questions" or self.documents or self.dry_run)

    @property
    def judges_answers(self) -> bool:
        """Whether the judge is asked which attempts, or which traces, are right."""
        if self.difficulty.grader != "judge":
            return False
        return self.difficulty_rule == "attempts" or self.selection.needs.verdicts

    @property
    def domains_rule(self) -> Literal["kmeans", "msc-nearest", "llm"]:
        """How domains are told: a judge is not paid where the selection looks at none."""
        is_idle = self.diversity.domains == "llm" and not self.selection.needs.domains
        return "kmeans" if is_idle else self.diversity.domains

    @property
    def difficulty_rule(self) -> Literal["attempts", "metadata", "solution_length", "none"]:
        """The rule that `difficulty.by` stands for; a selection without difficulty has none."""
        if not self.selection.needs.difficulty:
            return "none"
        if self.difficulty.by != "auto":
            return self.difficulty.by
        if self.attempts:
            return "attempts"
        if self.sources.kind == "bank":
            return "metadata"
        require(
            self.teacher.kind == "reference",
            "nothing says which questions are easy: pass --attempts DIR[,DIR] or --difficulty.by",
        )
        return "solution_length"


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig(SourceOptions):
    """Everything `python -m s1_data.benchmarks` can be told."""

    name: Literal[
        "aime24", "aime25", "math500", "gpqa_diamond", "gsm8k", "aimo_validation",
        "livecodebench_v4", "heldout",
    ] = "heldout"  # fmt: skip
    """heldout is the bank's; the others come from the data folder or the hub"""
    out: str = "artifacts/demo/heldout"
    """the artifact to write"""
    path: str | None = None
    """folder of real data with eval/, or a file; falls back to S1_DATA, then to the hub"""
    num_questions: int | None = None
    """the first n only; heldout: how many, 300 when not said"""
    seed: int = 42
    """of the bank and of the order of choices"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.num_questions is None or self.num_questions > 0, "num_questions must be > 0")
