"""One answer while it is generated: its plan, its tokens, what the machine decided, its times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from s1_serve.budget.outcome import Outcome
from s1_serve.budget.plan import Plan
from s1_serve.budget.request import Board, Decided, Ticket
from s1_serve.completions import Completion


@dataclass(kw_only=True)
class Thought:
    """What is known of one answer so far."""

    plan: Plan
    ticket: Ticket
    board: Board
    started: float = field(default_factory=time.monotonic)
    ids: list[int] = field(default_factory=list)
    outcome: Outcome | None = None
    thinking_after_s: float | None = None
    """Seconds until the first thinking token; None until then, and where nothing streams."""
    answer_after_s: float | None = None
    """Seconds until the first token behind the end or cut string."""
    is_forced: bool = False
    """The newest tokens are of an extend string."""
    has_mark_due: bool = False
    """Some tokens of an extend string have not been seen as text: their characters may wait."""
    _answer_at: int | None = None

    def hear(self, token_ids: Sequence[int], reason: str | None, *, is_delta: bool) -> None:
        """Take what the engine sent: the newest tokens, or at the end all of them."""
        before = len(self.ids) if is_delta else 0
        self.ids[before:] = token_ids
        if is_delta:
            self._time(before)
        if reason in ("stop", "length"):
            self._end(reason)

    def _time(self, before: int) -> None:
        decided, header = self.board.decided(self.ticket), len(self.plan.delimiters.header)
        if self.thinking_after_s is None and len(self.ids) > header:
            self.thinking_after_s = time.monotonic() - self.started
        newest = decided.extends - 1
        self.is_forced = any(
            at < len(self.ids) and before < at + len(self.plan.extend_ids(newest - nth))
            for nth, at in enumerate(decided.extended_at)
        )
        self.has_mark_due |= self.is_forced
        if self.answer_after_s is None and self._has_answered(decided):
            self.answer_after_s = time.monotonic() - self.started

    def _has_answered(self, decided: Decided) -> bool:
        marks = self.plan.delimiters
        if decided.end == "length":
            return False
        if self._answer_at is None:
            found = find(self.ids, marks.end, len(marks.header))
            if found < 0:
                return False
            behind = len(marks.cut) - 1 if decided.end == "budget" else len(marks.end)
            self._answer_at = found + behind
        return len(self.ids) > self._answer_at

    def _end(self, reason: str) -> None:
        ids = tuple(self.ids)
        is_stop = reason == "stop" and ids and ids[-1] in self.plan.delimiters.stop_ids
        completion = Completion(
            token_ids=ids[:-1] if is_stop else ids,
            finish_reason="stop" if reason == "stop" else "length",
        )
        self.outcome = Outcome.read(completion, self.plan, self.board.decided(self.ticket))

    @property
    def summary(self) -> dict[str, Any] | None:
        """What the response says of the thinking; None before its end."""
        if self.outcome is None:
            return None
        return {
            "tokens": len(self.outcome.thinking_ids),
            "end": self.outcome.end,
            "extends": self.outcome.extends,
            "max": self.plan.maximum,
            "min": self.plan.minimum,
        }


def find(ids: Sequence[int], wanted: Sequence[int], start: int) -> int:
    """Find where `wanted` starts first, from `start` on; -1 where it does not."""
    for at in range(start, len(ids) - len(wanted) + 1):
        if tuple(ids[at : at + len(wanted)]) == tuple(wanted):
            return at
    return -1
