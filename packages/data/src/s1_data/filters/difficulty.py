"""Names the easy questions (spec 1.4, 1.5). Reads attempts and their grades, never makes them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from s1_core import artifacts
from s1_core.errors import UserError
from s1_core.records import Question
from s1_data.filters.grades import Grade
from s1_data.funnel import Row, Rules

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_REMEDY = "use --difficulty.tokenizer words, embedded, a file or folder, or a model's id"


def tokenizer_file(name: str) -> Path | None:
    """Return the tokenizer.json that `name` stands for, None for plain words.

    `name` is words, embedded, a file, a folder, or the id of a model on the hub, which is asked
    for that one file unless it is in its cache.
    """
    if name == "words":
        return None
    named = artifacts.embedded() if name == "embedded" else Path(name)
    file = named / "tokenizer.json" if named.is_dir() else named
    if not file.is_file() and HUB_ID.fullmatch(name) and not name.endswith(".json"):
        file = _from_hub(name)
    if not file.is_file():
        raise UserError(f"no tokenizer at {file}; {_REMEDY}")
    return file


def _from_hub(name: str) -> Path:
    import httpx
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    found = try_to_load_from_cache(name, "tokenizer.json")
    if isinstance(found, str):
        return Path(found)
    try:
        return Path(hf_hub_download(name, "tokenizer.json"))
    except (httpx.HTTPError, HfHubHTTPError, EntryNotFoundError, LocalEntryNotFoundError) as error:
        raise UserError(f"cannot fetch the tokenizer of {name} from the hub; {_REMEDY}") from error


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


def solved(rows: Sequence[Row], grades: Sequence[Grade], models: Collection[str]) -> Rules:
    """Name the rows that any model answered right, and those that one of `models` left ungraded.

    Of several attempts of a model the best counts. Every model must have a verdict on every row:
    in the paper a missing feature sends a row away too (spec 0.4).
    """
    verdicts: dict[str, dict[str, str]] = {model: {} for model in models}
    for verdict in ("none", "wrong", "right"):
        for grade in grades:
            if grade.verdict == verdict:
                verdicts[grade.model][grade.question_id] = verdict

    def rule(question: Question) -> str | None:
        found = {model: verdict.get(question.id) for model, verdict in sorted(verdicts.items())}
        for model, verdict in found.items():
            if verdict == "right":
                return f"solved by {model}"
        for model, verdict in found.items():
            if verdict != "wrong":
                return f"no {'attempt by' if verdict is None else 'verdict on'} {model}"
        return None

    return [rule(question) for question, _ in rows]


def shortest(rows: Sequence[Row], lengths: Mapping[str, int], fraction: float) -> Rules:
    """Name the share of rows with the shortest traces: a stand-in where no model was asked."""
    return _lowest(rows, lengths, fraction, "short solution")


def easiest(rows: Sequence[Row], field: str, fraction: float) -> Rules:
    """Name the share of rows with the lowest `field` of their metadata, and those without one."""
    levels = {question.id: _level(question, field) for question, _ in rows}
    known = {name: level for name, level in levels.items() if level is not None}
    low = _lowest([row for row in rows if row[0].id in known], known, fraction, f"low {field}")
    rules = iter(low)
    return [next(rules) if q.id in known else f"no {field} in the metadata" for q, _ in rows]


def _lowest(
    rows: Sequence[Row], values: Mapping[str, float], fraction: float, rule: str
) -> list[str | None]:
    """Name exactly `int(fraction * rows)` of them; among equals the id decides."""
    ids = [question.id for question, _ in rows]
    order = sorted(ids, key=lambda name: (values[name], name))
    low = set(order[: int(fraction * len(order))])
    return [rule if name in low else None for name in ids]


def _level(question: Question, field: str) -> float | None:
    """Read a number, also one behind a word ("Level 5")."""
    value = json.loads(question.metadata).get(field)
    try:
        level = float(str(value).split()[-1])
    except (ValueError, IndexError):
        return None
    return level if math.isfinite(level) else None
