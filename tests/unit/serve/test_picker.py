"""The page's choice of a strategy: what is typed becomes a request, or one line."""

from __future__ import annotations

import json

import gradio as gr
import pytest

from s1_core.errors import UserError
from s1_serve.server.ui.picker import Picker
from s1_serve.strategies.catalogue import Available

NAME = "adaptive"


def body(parameters: str = "", total: str = "") -> dict:
    picker = Picker(Available(), gr.Slider())
    return picker.body(
        {
            picker.strategy: NAME, picker._shown: NAME, picker.samples: 8,
            picker.parameters: parameters, picker.total: total,
        }
    )  # fmt: skip


def test_what_is_typed_is_asked():
    asked = body("threshold=5, batch=2", "1,000")["tts"]
    assert asked == {
        "strategy": NAME, "return_candidates": True, "threshold": 5, "batch": 2,
        "budget": {"total_tokens": 1000},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"parameters": "threshold=nan"}, "'nan' is no finite number"),
        ({"parameters": "threshold=1e999"}, "'1e999' is no finite number"),
        ({"parameters": "threshold=-inf"}, "'-inf' is no finite number"),
        ({"parameters": "batch=" + "9" * 5000}, "is no finite number"),
        ({"total": "9" * 5000}, "give a smaller number or nothing"),
        ({"total": "many"}, "give a whole number or nothing"),
        ({"total": "²"}, "give a whole number or nothing"),
    ],
)
def test_what_is_no_number_is_one_short_line(typed, told):
    with pytest.raises(UserError, match=told) as raised:
        body(**typed)
    assert len(str(raised.value)) < 200 and "\n" not in str(raised.value)


def test_whatever_is_taken_can_be_sent():
    assert json.dumps(body("threshold=" + "9" * 400, "9" * 400), allow_nan=False)
