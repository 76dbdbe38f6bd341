"""What a replay reads and which rules it tries. Refuses settings that cannot choose anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s1_core.errors import UserError
from s1_serve.evaluate.config import TIES

ORDERS = ("any", "first")


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """Choose among stored samples by other rules, without a model, and draw what it would give."""

    POSITIONAL: ClassVar[str] = "samples"
    RUN_ONLY: ClassVar[tuple[str, ...]] = ("samples", "out", "workers")

    samples: str
    """A report folder, its samples.parquet, or a JSONL of problem_num, gold_answer, all_answers."""
    out: str = "artifacts/replay"
    """Where replay.json and the figure go."""
    method: tuple[str, ...] = ()
    """Rules such as maj@8,shortest-3@8; none draws whole curves."""
    run: str | None = None
    """Which sampled run of a report, where it holds several."""
    tie: str = TIES[0]
    """Who wins a tied vote: fractional shares the credit; first, shortest."""
    order: str = ORDERS[0]
    """any averages over many choices of k samples; first takes the first k as the paper does."""
    num_subsets: int = 200
    """Choices of k samples that are averaged; all of them where there are no more."""
    seed: int = 0
    """Of these choices and of the bootstrap."""
    workers: int = 2
    """Processes that grade the answers of a JSONL."""

    def __post_init__(self) -> None:
        if self.tie not in TIES:
            raise UserError(f"tie is {self.tie!r}: give one of {', '.join(TIES)}")
        if self.order not in ORDERS:
            raise UserError(f"order is {self.order!r}: give one of {', '.join(ORDERS)}")
        if min(self.num_subsets, self.workers) < 1 or self.seed < 0:
            raise UserError("num_subsets and workers must be at least 1, seed at least 0")
        if len({*self.method}) < len(self.method):
            raise UserError(f"method names {', '.join(self.method)}: give every rule once")
