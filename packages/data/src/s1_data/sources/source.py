"""A source of questions: where its rows lie, and the pure mapping from them to Questions.

Owns what all mappings share: metadata, missing values, the order of a seeded shuffle. Reads no
file and knows no network.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from s1_core import answers
from s1_core.errors import UserError
from s1_core.records import Question, question_id

SEED = 42
NOT_STATED = "not stated"
T = TypeVar("T")
Fields = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One split of one configuration of a dataset on the hub."""

    config: str | None = None
    split: str = "train"
    hub_id: str | None = None
    """the dataset, where it is not the source's own"""
    columns: tuple[str, ...] | None = None
    """what its rows must have, where that is not what the source's must"""
    data_files: tuple[str, ...] = ()
    """files of the repository to read as they are: what a loading script would have read"""

    @property
    def folder(self) -> str:
        """Name the folder that holds this part in a copy of one's own; "" is the copy itself."""
        return self.config or (self.hub_id or "").rpartition("/")[2]

    def __str__(self) -> str:
        return "/".join(name for name in (self.folder, self.split) if name)


class RawRow(NamedTuple):
    """A row as the hub has it, and the part it belongs to."""

    part: Part
    fields: Fields


Convert = Callable[[Iterable[RawRow]], list[Question]]
Arrange = Callable[[Sequence[Question]], list[Question]]


def shuffled(rows: Sequence[T]) -> list[T]:
    """Return the rows in the order that `datasets.Dataset.shuffle(seed=42)` gives them."""
    import numpy as np

    return [rows[index] for index in np.random.default_rng(SEED).permutation(len(rows))]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A dataset of questions with a license, and two pure functions.

    `convert` maps its raw rows, in the order of the parts, to the questions it asks; `arrange`
    then orders them and takes the share that s1 took. What `columns` names, every row must have;
    `a|b` means either.
    """

    name: str
    hub_id: str
    parts: tuple[Part, ...]
    columns: tuple[str, ...]
    convert: Convert
    arrange: Arrange = shuffled
    license: str = NOT_STATED
    """SPDX identifier, or the words of the dataset card"""
    homepage: str = ""
    revision: str | None = None
    """commit, tag or branch, unless the options name another"""
    variant: str = ""
    """which of several ways the mapping goes, in the words of the options"""
    is_published: bool = True
    """whether its text may stand in a public card"""
    is_gated: bool = False
    """whether the hub wants a token of someone who accepted its terms"""
    needs_every_part: bool = False
    """whether a copy of one's own that lacks a part would mean something else"""

    def columns_of(self, part: Part) -> tuple[str, ...]:
        """Name the columns that rows of a part must have."""
        return self.columns if part.columns is None else part.columns


def converted(source: Source, rows: Iterable[RawRow]) -> list[Question]:
    """Map the rows of a source; UserError where one holds what the mapping cannot read."""
    num = 0

    def walked() -> Iterator[RawRow]:
        nonlocal num
        for num, row in enumerate(rows, start=1):  # noqa: B007  (told when the mapping fails)
            yield row

    try:
        return source.convert(walked())
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"source {source.name}: its mapping fails at row {num} or before"
            f" ({type(error).__name__}: {error}); mend the row, or leave the source out with"
            f" --sources.skip {source.name}"
        ) from error


def each(row_to_question: Callable[[Part, Fields], Question | None]) -> Convert:
    """Make a `convert` of a function of one row; where that gives None, the row is left out."""

    @functools.wraps(row_to_question)
    def convert(rows: Iterable[RawRow]) -> list[Question]:
        found = (row_to_question(part, dict(fields)) for part, fields in rows)
        return [question for question in found if question is not None]

    return convert


def question(
    text: Any,
    rest: Mapping[str, Any],
    *,
    solution: Any = None,
    answer: Any = None,
    cot_type: str,
    source_type: str,
) -> Question:
    """Build a Question; `rest` are the original fields that become its metadata.

    A text that is null becomes "", which a filter rejects and counts; a blank solution or answer
    becomes None.
    """
    text = "" if text is None else str(text)
    return Question(
        id=question_id(text),
        question=text,
        solution=filled(solution),
        answer=filled(answer),
        cot_type=cot_type,
        source_type=source_type,
        metadata=metadata(rest),
    )


def metadata(fields: Mapping[str, Any]) -> str:
    """Write fields as JSON text, keys sorted; what JSON has no form for becomes its str()."""
    return json.dumps(dict(fields), sort_keys=True, ensure_ascii=False, default=str)


def filled(value: Any) -> str | None:
    """Return a value as text, None when it is null or blank."""
    return None if value is None or not str(value).strip() else str(value)


def first(value: Any) -> Any:
    """Return the first of a list, None of an empty one, and what is no list as it is."""
    if isinstance(value, list | tuple):
        return value[0] if value else None
    return value


def boxed(solution: str | None) -> str | None:
    """Return the final answer of a solution that boxes one; any other has none to go by."""
    return answers.extract(solution) if solution and "\\boxed" in solution else None
