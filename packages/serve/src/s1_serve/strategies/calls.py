"""What a policy may ask for: a whole answer, one step of thinking, the scores of steps.

Data alone. A call is known by its id: asking for the same id again asks for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Chat:
    """Think within the request's budget, then answer."""

    id: str
    index: int = 0
    """Fans the request's seed out: the call draws with seed + index."""
    under: str = ""
    """Text under the client's last message: candidates to combine, a draft to criticise."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Request fields of this call alone: temperature, top_p, thinking_token_budget, seed ..."""
    model: str | None = None
    """Another model of the deployment, by the name the server knows it by."""
    top_logprobs: int = 0
    """How many logprobs a token; 0 is none, 1 is enough for a mean likelihood."""
    is_verifier: bool = False
    """Judges others: its tokens count apart, the client's tools, schema and stops are not its."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Think one step further behind `parent`, and answer where thinking ends in it."""

    id: str
    index: int = 0
    parent: str | None = None
    """The step that this one continues; None starts at the prompt."""
    max_tokens: int = 256
    """Most thinking tokens of this step; a step cut there is continued like any other."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    ends_thinking: bool = False
    """The last step of its path: thinks to its end and answers."""


@dataclass(frozen=True, kw_only=True)
class Reward:
    """Score the steps of a finished answer, or of a path of steps, by a reward model."""

    id: str
    of: str
    """The call whose thinking is scored; for a step all of its path."""
    verifier: str
    """The reward model, by the name the server knows it by."""


Call = Chat | Step | Reward


def is_verifier(call: Call) -> bool:
    """Say whether a call judges candidates rather than being one."""
    return isinstance(call, Reward) or (isinstance(call, Chat) and call.is_verifier)
