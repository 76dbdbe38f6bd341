"""Records: names of questions, and the way through Arrow and JSON and back."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1_core import records
from s1_core.errors import UserError
from s1_core.records import Attempt, Example, Question, Trace

COUNTS = st.integers(0, 2**40)
TEXTS = st.tuples() | st.lists(st.text(), max_size=3).map(tuple)
RECORDS = st.one_of(
    st.builds(Question),
    st.builds(Trace),
    st.builds(Attempt, num_tokens=COUNTS),
    st.builds(Example, thinking_tokens=COUNTS, thinking_trajectories=TEXTS),
)
QUESTION = Question(
    id="1", question="q", solution=None, answer="3", cot_type="math", source_type="s", metadata=""
)


@given(RECORDS, st.integers(0, 3))
def test_arrow_round_trip(record: object, count: int) -> None:
    rows = [record] * count
    assert records.from_table(records.to_table(rows, type(record)), type(record)) == rows


@given(RECORDS)
def test_json_round_trip(record: object) -> None:
    line = records.to_json(record)
    assert "\n" not in line
    assert records.from_json(line, type(record)) == record


def test_a_question_is_named_by_sha256_of_its_text() -> None:
    assert records.question_id("abc") == "ba7816bf8f01cfea"
    assert records.question_id("é") != records.question_id("e\u0301")


def test_columns_missing_and_unknown_are_named() -> None:
    table = records.to_table([QUESTION], Question)
    changed = table.drop_columns(["answer"]).append_column("anwser", pa.array(["3"]))
    with pytest.raises(UserError, match=r"missing \['answer'\], unknown \['anwser'\]"):
        records.from_table(changed, Question)
    row = json.loads(records.to_json(QUESTION))
    del row["id"]
    with pytest.raises(UserError, match=r"missing \['id'\]"):
        records.from_json(json.dumps(row), Question)


def test_columns_may_come_in_any_order_and_as_large_strings() -> None:
    table = records.to_table([QUESTION], Question)
    large = table.cast(pa.schema([pa.field(n, pa.large_string()) for n in table.column_names]))
    assert records.from_table(large.select(table.column_names[::-1]), Question) == [QUESTION]


def test_a_null_where_a_value_is_due_is_refused() -> None:
    table = records.to_table([QUESTION], Question)
    nulls = pa.array([None], pa.string())
    with pytest.raises(UserError, match="'question'"):
        records.from_table(table.set_column(1, "question", nulls), Question)


def test_a_column_of_another_type_is_refused() -> None:
    row = Attempt(question_id="1", model="m", text="t", num_tokens=1, finish_reason="stop")
    table = records.to_table([row], Attempt)
    with pytest.raises(UserError, match="Attempt"):
        records.from_table(table.set_column(3, "num_tokens", pa.array(["many"])), Attempt)
