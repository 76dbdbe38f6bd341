"""Waiting for a round of calls: what most strategies do between two decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from s1_serve.strategies.calls import Call, Chat
from s1_serve.strategies.known import Known
from s1_serve.strategies.policy import WAIT, Decision


def drawn(known: Known, num: int, **fields: Any) -> Decision | None:
    """Draw samples "0", "1" ...; None once `num` are there and nothing is live.

    `fields` are of every call. The calls are made only where some are missing: a vote over many
    samples asks at every one that ends.
    """
    if len(known.samples) < num:
        return Decision(start=tuple(Chat(id=str(i), index=i, **fields) for i in range(num)))
    return WAIT if any(sample.is_live for sample in known) else None


def awaited(known: Known, calls: Sequence[Call]) -> Decision | None:
    """Start those of `calls` that are missing, wait for the others; None once all have ended."""
    missing = tuple(call for call in calls if call.id not in known)
    if missing:
        return Decision(start=missing)
    return WAIT if any(known[call.id].is_live for call in calls) else None
