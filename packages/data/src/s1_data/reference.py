"""Human solutions as traces: the teacher of pools that come with worked solutions."""

from __future__ import annotations

from collections.abc import Sequence

from s1_core.records import Question, Trace
from s1_data.funnel import Rules

TEACHER = "human"


def missing(pool: Sequence[Question]) -> Rules:
    """Name the questions that nobody wrote a solution for."""
    return [None if question.solution else "no solution" for question in pool]


def trace(question: Question) -> Trace:
    """Return the human solution as the thinking and the reference answer as the attempt."""
    return Trace(
        question_id=question.id,
        thinking=(question.solution or "").strip(),
        attempt=(question.answer or "").strip(),
        model=TEACHER,
    )
