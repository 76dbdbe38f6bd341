"""Small records for tests; every field can be said, none has to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s1_core import artifacts
from s1_core.records import Attempt, Example, Question, Trace, question_id


def question(text: str = "What is 2 + 3?", **fields: Any) -> Question:
    values: dict[str, Any] = {
        "solution": "Two and three make five.",
        "answer": "5",
        "cot_type": "math",
        "source_type": "test",
        "metadata": "{}",
    }
    return Question(**({"id": question_id(text), "question": text} | values | fields))


def trace(of: Question, thinking: str = "2 + 3 = 5.", **fields: Any) -> Trace:
    values = {"attempt": of.answer or "", "model": "teacher"}
    return Trace(**({"question_id": of.id, "thinking": thinking} | values | fields))


def attempt(of: Question, text: str = "The answer is 5", **fields: Any) -> Attempt:
    values: dict[str, Any] = {"model": "base", "num_tokens": 4, "finish_reason": "stop"}
    return Attempt(**({"question_id": of.id, "text": text} | values | fields))


def example(text: str = "What is 2 + 3?", **fields: Any) -> Example:
    values: dict[str, Any] = {
        "solution": None,
        "cot_type": "math",
        "source_type": "test",
        "metadata": "{}",
        "cot": None,
        "thinking_trajectories": ("2 + 3 = 5.",),
        "attempt": "5",
        "answer": "5",
        "domain": "arithmetic",
        "thinking_tokens": 5,
    }
    return Example(**({"question_id": question_id(text), "question": text} | values | fields))


def sums(out: Path, count: int, **fields: Any) -> Path:
    """Write a benchmark of sums as a questions artifact, named as its folder."""
    rows = [
        question(
            f"What is {n} plus {n * n}?", **{"answer": str(n + n * n), "solution": None, **fields}
        )
        for n in range(count)
    ]
    with artifacts.create(out, kind="questions", config={"benchmark": out.name}) as draft:
        draft.write("questions", rows, Question)
    return out
