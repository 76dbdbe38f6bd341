"""Names what cannot train well: unusable texts, null features, the string patterns of spec 1.5."""

from __future__ import annotations

import re
from collections.abc import Sequence

from s1_core.records import Question, Trace
from s1_data.funnel import Row, Rules
from s1_data.selection.candidates import kind

IMAGE = "![Image]"
FIGURE = "[asy]"
NUMBERED_PROBLEM = re.compile(r"p[1-9]\d{0,2}\.")
BREAK = re.compile(r"[\s\]]+")
DIGIT = re.compile(r"\d")


def unusable(pool: Sequence[Question], max_chars: int) -> Rules:
    """Name the empty, NUL-bearing and endless questions."""

    def rule(text: str) -> str | None:
        if not text.strip():
            return "empty"
        if "\0" in text:
            return "NUL byte"
        return f"longer than {max_chars:,} characters" if len(text) > max_chars else None

    return [rule(question.question) for question in pool]


def repeated(pool: Sequence[Question]) -> Rules:
    """Name the questions that occurred before; the first of equals is kept (spec 1.1)."""
    seen: set[str] = set()

    def rule(question: Question) -> str | None:
        if question.id in seen:
            return "duplicate"
        seen.add(question.id)
        return None

    return [rule(question) for question in pool]


def flaws(rows: Sequence[Row]) -> Rules:
    """Name the first rule that each row breaks."""
    return [_null(*row) or pattern(row[0]) for row in rows]


def pattern(question: Question) -> str | None:
    """Name the unwanted pattern in the question; AIME rows are kept whatever they hold."""
    text = question.question
    if kind(question.source_type) == "AIME":
        return None
    if FIGURE in text or IMAGE in text:
        return FIGURE if FIGURE in text else IMAGE
    if NUMBERED_PROBLEM.search(text):
        return "p1. to p999."
    return "bold number" if _has_bold_number(text) else None


def _has_bold_number(text: str) -> bool:
    """Look for a digit between two asterisks and two more, no space or "]" between.

    In linear time: as one expression it is quadratic in a line of asterisks.
    """
    for run in BREAK.split(text):
        start, end = run.find("**") + 2, run.rfind("**")
        if 2 <= start <= end and DIGIT.search(run, start, end):
            return True
    return False


def _null(question: Question, trace: Trace) -> str | None:
    """Name the missing feature: a row without a reference can be graded by nobody (spec 0.4)."""
    if not trace.thinking.strip():
        return "no thinking"
    if not trace.attempt.strip():
        return "no answer"
    return None if question.answer or question.solution else "no reference"
