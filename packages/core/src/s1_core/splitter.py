"""Part a stream of text into thinking and answer, whatever the pieces it arrives in.

Knows no delimiter: `s1_core.chat` hands them in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Channel = Literal["thinking", "answer"]


@dataclass(frozen=True, kw_only=True)
class Marks:
    """The strings that rule a split; every one begins with "<" and holds no other "<"."""

    start: str
    switch: str
    stops: tuple[str, ...]
    step_start: str = ""
    """Empty in formats without a countdown of steps."""
    step_tail: str = ""


class Splitter:
    """The first switch parts thinking from answer; a stop ends all; outer white space is dropped.

    Holds back only what may still become a mark, and white space that may be the last.
    `channel` says where the text has got to.
    """

    def __init__(self, marks: Marks) -> None:
        self.channel: Channel = "thinking"
        self._marks = marks
        self._pending = self._gap = ""
        self._is_open = self._is_over = self._has_spoken = False
        self._skips_newline = self._has_lent_start = False
        self._answer_marks = re.compile("|".join(map(re.escape, marks.stops)))
        pattern = f"{self._answer_marks.pattern}|{re.escape(marks.switch)}"
        if marks.step_start:
            pattern += rf"|{re.escape(marks.step_start)}-?\d+{re.escape(marks.step_tail)}"
        self._thinking_marks = re.compile(pattern)

    def feed(self, delta: str) -> list[tuple[Channel, str]]:
        """Take the next piece; give what is certain by now."""
        self._pending += delta
        return self._drain(is_last=False)

    def close(self) -> list[tuple[Channel, str]]:
        """Give what was held back."""
        return self._drain(is_last=True)

    def _drain(self, *, is_last: bool) -> list[tuple[Channel, str]]:
        if not self._is_open and not self._open(is_last=is_last):
            return []
        pieces = []
        while not self._is_over and (mark := self._next_mark()):
            pieces += self._say(self._pending[: mark.start()])
            self._pending = self._pending[mark.end() :]
            self._pass(mark[0])
        if not self._is_over:
            sure = len(self._pending) if is_last else self._num_sure()
            pieces += self._say(self._pending[:sure])
            self._pending = self._pending[sure:]
        return pieces

    def _open(self, *, is_last: bool) -> bool:
        """Drop a start that the engine repeats; False while that cannot be told yet.

        Where steps are counted the start opens the first step's header: it is lent to the text.
        """
        start = self._marks.start
        if not is_last and len(self._pending) < len(start) and start.startswith(self._pending):
            return False
        self._pending = self._marks.step_start + self._pending.removeprefix(start)
        self._has_lent_start = bool(self._marks.step_start)
        self._is_open = True
        return True

    def _next_mark(self) -> re.Match[str] | None:
        marks = self._thinking_marks if self.channel == "thinking" else self._answer_marks
        return marks.search(self._pending)

    def _num_sure(self) -> int:
        """Count the pending characters that no later piece can turn into a mark."""
        at = self._pending.rfind("<")
        if at < 0:
            return len(self._pending)
        tail, marks = self._pending[at:], self._marks
        grows = any(mark.startswith(tail) for mark in (*marks.stops, marks.switch))
        if marks.step_start and tail.startswith(marks.step_start):
            rest = tail.removeprefix(marks.step_start).lstrip("-").lstrip("0123456789")
            grows = grows or marks.step_tail.startswith(rest)
        return at if grows else len(self._pending)

    def _pass(self, mark: str) -> None:
        self._has_lent_start = False
        if mark in self._marks.stops:
            self._is_over = True
        elif mark == self._marks.switch:
            self.channel, self._gap = "answer", ""
            self._has_spoken = self._skips_newline = False
        else:
            self._gap = self._gap.removesuffix("\n") + "\n\n"
            self._skips_newline = True

    def _say(self, text: str) -> list[tuple[Channel, str]]:
        if text and self._has_lent_start:
            text, self._has_lent_start = text.removeprefix(self._marks.step_start), False
        if text and self._skips_newline:
            text, self._skips_newline = text.removeprefix("\n"), False
        text = self._gap + text
        if not self._has_spoken:
            text = text.lstrip()
        body = text.rstrip()
        self._gap = text[len(body) :]
        self._has_spoken = self._has_spoken or bool(body)
        return [(self.channel, body)] if body else []
