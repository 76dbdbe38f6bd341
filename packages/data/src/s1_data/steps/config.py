"""What `just steps` can be told. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from s1_core.errors import require


@dataclass(frozen=True, kw_only=True)
class StepsConfig:
    """Write thinking about problems of the bank whose steps are known to be right or wrong."""

    out: str = "artifacts/prm/steps"
    """the artifact to write"""
    split: Literal["train", "heldout"] = "train"
    """whose problems: train and held-out ones never meet"""
    num_questions: int = 4000
    """each is thought through once right and once with a mistake"""
    seed: int = 1
    """of the problems and the mistakes"""

    def __post_init__(self) -> None:
        require(self.num_questions > 0, "num_questions must be at least 1")
        require(0 <= self.seed < 2**31, "seed must be in [0, 2^31)")
