"""Names the easy questions. Reads attempts and grades them, never makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from s1_core import answers, artifacts
from s1_core.errors import UserError
from s1_core.records import Attempt
from s1_data.funnel import Row, Rules

GRADING_TIMEOUT_S = 10.0


def tokenizer_file(name: str) -> Path | None:
    """Return the tokenizer.json that `name` stands for, None for plain words."""
    if name == "words":
        return None
    file = artifacts.embedded() / "tokenizer.json" if name == "embedded" else Path(name)
    if not file.is_file():
        raise UserError(f"no tokenizer at {file}; use --difficulty.tokenizer words or a path")
    return file


def thinking_tokens(rows: Sequence[Row], tokenizer: str) -> dict[str, int]:
    """Map each question id to its trace's length under the training tokenizer, or in words."""
    counts = _count([trace.thinking for _, trace in rows], tokenizer_file(tokenizer))
    return {question.id: count for (question, _), count in zip(rows, counts, strict=True)}


def _count(texts: list[str], file: Path | None) -> list[int]:
    if file is None:
        return [len(text.split()) for text in texts]
    from tokenizers import Tokenizer

    encoded = Tokenizer.from_file(str(file)).encode_batch(texts, add_special_tokens=False)
    return [len(encoding) for encoding in encoded]


def solved(rows: Sequence[Row], attempts: Sequence[Attempt], workers: int) -> Rules:
    """Name the rows that any model answered right (spec 1.5), and those no model was asked."""
    gold = {question.id: question.answer or "" for question, _ in rows}
    asked = [attempt for attempt in attempts if attempt.question_id in gold]
    grades = answers.grade(
        [(attempt.text, gold[attempt.question_id]) for attempt in asked],
        workers=workers,
        timeout_s=GRADING_TIMEOUT_S,
    )
    rules: dict[str, str | None] = dict.fromkeys(gold, "no attempt")
    rules.update({attempt.question_id: None for attempt in asked})
    for attempt, is_right in zip(asked, grades, strict=True):
        if is_right:
            rules[attempt.question_id] = f"solved by {attempt.model}"
    return [rules[question.id] for question, _ in rows]


def shortest(rows: Sequence[Row], lengths: Mapping[str, int], fraction: float) -> Rules:
    """Name the share of rows with the shortest traces: a stand-in where no model was asked."""
    ids = [question.id for question, _ in rows]
    order = sorted(ids, key=lambda name: (lengths[name], name))
    short = set(order[: int(fraction * len(order))])
    return ["short solution" if name in short else None for name in ids]
