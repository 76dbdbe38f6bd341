"""What a replay reads and which rules it tries. Refuses settings that cannot choose anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from s1_core.errors import UserError
from s1_serve.evaluate.config import TIES
from s1_serve.evaluate.specs import joined

ORDERS = ("any", "first")


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """Choose among stored samples by other rules, without a model, and draw what it would give."""

    POSITIONAL: ClassVar[str] = "samples"
    RUN_ONLY: ClassVar[tuple[str, ...]] = ("samples", "out", "workers", "calibration")

    samples: str
    """A report folder, its samples.parquet, or a JSONL of problem_num, gold_answer, all_answers."""
    out: str = "artifacts/replay"
    """Where replay.json and the figure go."""
    method: tuple[str, ...] = ()
    """Rules such as maj@8,shortest-3@8, or strategies as they are served: adaptive@64,
    adaptive:n_max=64,threshold=10. Named ones are shown alone: where none is named,
    whole curves are drawn and methods compared at equal tokens."""
    run: str | None = None
    """Which sampled run of a report, where it holds several."""
    tie: str = TIES[0]
    """Who wins a tied vote: fractional shares the credit; first, shortest."""
    order: str = ORDERS[0]
    """any averages over many choices of k samples; first takes the first k as the paper does."""
    num_subsets: int = 200
    """Choices of k samples that are averaged; all of them where there are no more."""
    num_orders: int = 8
    """Orders in which a strategy gets a question's samples; its runs are averaged."""
    equal_tokens: list[float] = field(default_factory=lambda: [1, 2, 4, 8, 16, 32, 64])
    """Where methods are compared at equal tokens, in mean traces: 4 spends what 4 traces cost."""
    equal_sequential: list[float] = field(default_factory=lambda: [0.5, 0.75, 1, 1.25, 1.5, 2])
    """The same for tokens one after another, which is time."""
    calibration: str | None = None
    """What `just calibrate` wrote, for auto; without it these samples calibrate it themselves."""
    seed: int = 0
    """Of all choices and of the bootstrap."""
    workers: int = 2
    """Processes that grade the answers of a JSONL."""

    def __post_init__(self) -> None:
        if self.tie not in TIES:
            raise UserError(f"tie is {self.tie!r}: give one of {', '.join(TIES)}")
        if self.order not in ORDERS:
            raise UserError(f"order is {self.order!r}: give one of {', '.join(ORDERS)}")
        if min(self.num_subsets, self.num_orders, self.workers) < 1 or self.seed < 0:
            raise UserError(
                "num_subsets, num_orders and workers must be at least 1, seed at least 0"
            )
        for name in ("equal_tokens", "equal_sequential"):
            if not all(0 < traces < float("inf") for traces in getattr(self, name)):
                raise UserError(f"{name} are {getattr(self, name)}: give counts above 0")
        if len({*self.methods}) < len(self.methods):
            raise UserError(f"method names {', '.join(self.methods)}: give every rule once")

    @property
    def methods(self) -> tuple[str, ...]:
        """List the methods, put together where the command line cut them at a comma."""
        return joined(self.method)
