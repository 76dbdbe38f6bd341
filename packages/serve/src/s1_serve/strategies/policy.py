"""The interface of a strategy: a pure function from what is known to what happens next.

A policy holds its parameters and nothing else. known.heard takes (state, event) to a state,
`decide` the state to what to do; deciding twice from the same state decides the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from s1_serve.strategies.calls import Call
from s1_serve.strategies.known import Known


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The sample that answers, and why it was that one."""

    id: str
    why: str
    """One clause for the response: what ended the search and what decided."""
    votes: Mapping[str, float] = field(default_factory=dict)
    """Weight by answer, the heaviest first; empty where nobody voted."""
    margin: float | None = None
    """The share of all weight by which the winner leads; None where nobody voted."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """What a verifier made of each sample, by id; empty where none was asked."""
    is_degraded: bool = False
    """Chosen by less than was asked for: a verifier failed, nobody had an answer."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do now: start calls, stop some, answer. Empty is to wait."""

    start: tuple[Call, ...] = ()
    abort: tuple[str, ...] = ()
    answer: Choice | None = None


WAIT = Decision()


class Policy(Protocol):
    """A strategy with its parameters; a frozen dataclass whose fields a request may set."""

    name: ClassVar[str]
    watches: ClassVar[bool]
    """Wants to decide at every `Heard`, not only when a sample ends."""
    ignores_order: ClassVar[bool]
    """Answers the same whatever the order in which samples end."""

    def decide(self, known: Known) -> Decision:
        """Say what to do; at the latest when nothing is live it starts something or answers."""
        ...

    def best(self, known: Known) -> Choice | None:
        """Choose among what there is, for when time or tokens are over; None where nothing is."""
        ...
