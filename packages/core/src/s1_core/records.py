"""The rows that travel between the packages, and their form in Arrow and JSON.

Owns the schema version. Refuses tables whose columns are not exactly the record's fields.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from s1_core.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
BENCHMARKS = (
    "aime24", "aime25", "math500", "gpqa_diamond", "gsm8k", "aimo_validation", "livecodebench_v4",
    "heldout",
)  # fmt: skip
"""what models are judged by, and what decontamination keeps out of training"""
UNPUBLISHED = ("gpqa_diamond",)
"""those whose authors ask that no question be published as plain text"""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One problem; `metadata` is JSON text, and a missing solution or answer is None."""

    id: str
    question: str
    solution: str | None
    answer: str | None
    cot_type: str
    source_type: str
    metadata: str


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A teacher's reply: its thinking and the text of its answer."""

    question_id: str
    thinking: str
    attempt: str
    model: str


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What a model under test generated for a question, thinking included."""

    question_id: str
    model: str
    text: str
    num_tokens: int
    finish_reason: str


@dataclass(frozen=True, kw_only=True)
class Example:
    """A row of s1K, free of any text format (spec 1.3 and the labels of the selection)."""

    question_id: str
    question: str
    solution: str | None
    cot_type: str
    source_type: str
    metadata: str
    cot: str | None
    thinking_trajectories: tuple[str, ...]
    attempt: str
    answer: str | None
    domain: str
    thinking_tokens: int

    @classmethod
    def of(cls, question: Question, trace: Trace, *, domain: str, thinking_tokens: int) -> Example:
        """Join a question with its trace and its labels."""
        return cls(
            question_id=question.id,
            question=question.question,
            solution=question.solution,
            cot_type=question.cot_type,
            source_type=question.source_type,
            metadata=question.metadata,
            cot=None,
            thinking_trajectories=(trace.thinking,),
            attempt=trace.attempt,
            answer=question.answer,
            domain=domain,
            thinking_tokens=thinking_tokens,
        )


@dataclass(frozen=True, kw_only=True)
class GradedSteps:
    """A thinking in its steps, each of them right or wrong: what a reward model learns from."""

    question_id: str
    question: str
    steps: tuple[str, ...]
    are_right: tuple[bool, ...]


RecordT = TypeVar("RecordT")


def question_id(text: str) -> str:
    """Name a question by its text: the first 16 hex digits of SHA-256 of the UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_table(records: Iterable[RecordT], cls: type[RecordT]) -> pa.Table:
    """Lay records out as an Arrow table, one column a field, in the order of the fields."""
    import pyarrow as pa

    rows = list(records)
    schema = _schema(cls)
    columns = [
        pa.array([getattr(row, field.name) for row in rows], type=field.type) for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def from_table(table: pa.Table, cls: type[RecordT]) -> list[RecordT]:
    """Read records back; a column missing, unknown, of another type or null is a UserError."""
    import pyarrow as pa

    schema = _schema(cls)
    _check_names(set(table.column_names), set(schema.names), cls)
    try:
        table = table.select(schema.names).cast(schema)
    except (pa.ArrowNotImplementedError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise UserError(f"the table does not hold {cls.__name__} records: {error}") from error
    for field in schema:
        if not field.nullable and table.column(field.name).null_count:
            raise UserError(
                f"column {field.name!r} of {cls.__name__} holds nulls; fill or drop them"
            )
    sequences = {field.name for field in schema if pa.types.is_list(field.type)}
    return [
        cls(**{name: tuple(value) if name in sequences else value for name, value in row.items()})
        for row in table.to_pylist()
    ]


def to_json(record: Any) -> str:
    """Write one record as one line of JSON."""
    return json.dumps(dataclasses.asdict(record), ensure_ascii=False)


def from_json(text: str, cls: type[RecordT]) -> RecordT:
    """Read one line of JSON; a field missing or unknown is a UserError."""
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"not a JSON line of {cls.__name__}: {error}") from error
    if not isinstance(row, dict):
        raise UserError(f"a {cls.__name__} is a JSON object, found {type(row).__name__}")
    _check_names(set(row), {field.name for field in dataclasses.fields(cls)}, cls)  # type: ignore[arg-type]
    return cls(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    )


def _schema(cls: type[Any]) -> pa.Schema:
    """Derive the Arrow schema from the annotations; an optional field is nullable."""
    import pyarrow as pa

    arrow = {
        str: (pa.string(), False),
        str | None: (pa.string(), True),
        int: (pa.int64(), False),
        int | None: (pa.int64(), True),
        float: (pa.float64(), False),
        float | None: (pa.float64(), True),
        bool: (pa.bool_(), False),
        tuple[str, ...]: (pa.list_(pa.field("element", pa.string(), nullable=False)), False),
        tuple[bool, ...]: (pa.list_(pa.field("element", pa.bool_(), nullable=False)), False),
    }
    hints = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    return pa.schema([pa.field(n, arrow[hints[n]][0], nullable=arrow[hints[n]][1]) for n in names])


def _check_names(found: set[str], wanted: set[str], cls: type[Any]) -> None:
    missing, unknown = sorted(wanted - found), sorted(found - wanted)
    if missing or unknown:
        raise UserError(
            f"not the columns of {cls.__name__}: missing {missing}, unknown {unknown};"
            " rebuild the artifact with this version or rename the columns"
        )
