"""The one exchange between budget forcing and whatever generates: token ids in, token ids out.

Refuses nothing itself: an engine or an endpoint that implements `Completer` refuses.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is drawn; temperature 0 is greedy. Penalties are not offered."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0

    def fanned(self, index: int) -> Sampling:
        """Give the sampling of one of several answers, its seed so far from that of the first."""
        if self.seed is None or not index:
            return self
        return replace(self, seed=fanned(self.seed, index))


def fanned(seed: int, index: int) -> int:
    """Give a seed so far from another one; they are 64 bits wide and wrap."""
    return (seed + index + (1 << 63)) % (1 << 64) - (1 << 63)


@dataclass(frozen=True, kw_only=True)
class CompletionRequest:
    """Continue `prompt_ids`; `stop_ids` are masked for the first `min_tokens` tokens."""

    prompt_ids: tuple[int, ...]
    max_tokens: int
    stop_ids: tuple[int, ...]
    min_tokens: int = 0
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The tokens generated, without the stop token that ended them."""

    token_ids: tuple[int, ...]
    finish_reason: FinishReason


class Completer(Protocol):
    """Answers a batch of requests, in their order."""

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]: ...


class Streamer(Protocol):
    """Answers one request token by token; the generator's value is the whole completion."""

    def stream(
        self, request: CompletionRequest
    ) -> Generator[tuple[int, ...], None, Completion]: ...
