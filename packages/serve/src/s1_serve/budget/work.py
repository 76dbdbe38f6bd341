"""Jobs for whatever generates, and how it hands back each one as it ends.

A worker keeps itself full: what a finished job leads to joins the same queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from s1_serve.budget.plan import Plan
from s1_serve.completions import CompletionRequest

K = TypeVar("K")


@dataclass(frozen=True)
class Planned:
    """A prompt to be answered within a plan, which the engine itself keeps."""

    prompt_ids: tuple[int, ...]
    plan: Plan
    wants_logprob: bool = False
    """Its outcome is to say its mean logprob; a server of token ids says none."""


Job = CompletionRequest | Planned
Done = Callable[[K, Any, float], Iterable[tuple[K, Job]]]
"""from a job's key, its Completion or Outcome and the seconds it took to the jobs that follow"""


class Worker(Protocol):
    """Works on jobs until there are none."""

    def work(self, jobs: Iterable[tuple[K, Job]], done: Done[K]) -> None: ...
