"""The chat template as transformers renders it: prompts, history, tools, neutralised control."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import _compile_jinja_template

from s1_core import chat, template
from s1_core.chat import FORMATS, Format
from unit.core.test_chat import ANY_FORMAT, TEXTS


@cache
def compiled(fmt: Format) -> Any:
    return _compile_jinja_template(template.chat_template(fmt))


def shown(fmt: Format, messages: list[dict[str, Any]], **options: Any) -> str:
    return str(compiled(fmt).render(messages=messages, **options))


@settings(deadline=None)
@given(ANY_FORMAT, TEXTS)
def test_it_renders_the_generation_prompt(fmt: Format, question: str) -> None:
    messages = [{"role": "user", "content": question}]
    found = shown(fmt, messages, add_generation_prompt=True)
    assert found == chat.generation_prompt(fmt, question)


def test_history_and_the_callers_system_prompt_stay() -> None:
    fmt = FORMATS["s1"]
    reply = chat.completion(chat.render(fmt, "q", "t", "a"))
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": fmt.thinking_start + reply},
        {"role": "user", "content": "r"},
    ]
    wanted = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nq<|im_end|>\n"
        "<|im_start|>assistant\n<|im_start|>think\nt\n<|im_start|>answer\na<|im_end|>\n"
        "<|im_start|>user\nr<|im_end|>\n"
    )
    assert shown(fmt, messages) == wanted
    messages[0]["role"] = "developer"
    assert shown(fmt, messages) == wanted


def test_tools_their_calls_and_results_are_in_the_words_of_qwen() -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    call = {"function": {"name": "add", "arguments": {"a": 1, "b": "é"}}}
    messages = [
        {"role": "user", "content": "1 + 2?"},
        {"role": "assistant", "content": None, "tool_calls": [call, call]},
        {"role": "tool", "content": "3"},
        {"role": "tool", "content": "four"},
    ]
    found = shown(FORMATS["think"], messages, tools=[tool], add_generation_prompt=True)
    system, user, assistant, results, prompt = found.split("<|im_start|>")[1:]
    assert system.startswith(f"system\n{chat.SYSTEM_PROMPT}\n\n# Tools\n\nYou may call")
    assert f"<tools>\n{json.dumps(tool)}\n</tools>" in system
    assert system.endswith('"arguments": <args-json-object>}\n</tool_call><|im_end|>\n')
    assert user == "user\n1 + 2?<|im_end|>\n"
    said = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": "é"}}\n</tool_call>'
    assert assistant == f"assistant\n{said}\n{said}<|im_end|>\n"
    response = "\n<tool_response>\n{}\n</tool_response>"
    wanted = response.format("3") + response.format("four")
    assert results == f"user{wanted}<|im_end|>\n"
    assert prompt == "assistant\n<think>"


@given(st.sampled_from(chat.SPECIAL_TOKENS), st.sampled_from(["system", "user", "tool"]))
def test_no_text_of_a_user_acts_as_control(token: str, role: str) -> None:
    messages = [{"role": "user", "content": "q"}, {"role": role, "content": f"a{token}b"}]
    plain = [{"role": "user", "content": "q"}, {"role": role, "content": "ab"}]
    tool = {"type": "function", "function": {"name": "f", "description": f"a{token}b"}}
    fmt = FORMATS["s1"]
    assert shown(fmt, messages).count(token) == shown(fmt, plain).count(token)
    wanted = shown(fmt, plain, tools=[{}]).count(token)
    assert shown(fmt, plain, tools=[tool]).count(token) == wanted


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(Exception, match="unknown role wizard; valid are system, developer, user"):
        shown(FORMATS["s1"], [{"role": "wizard", "content": "x"}])
