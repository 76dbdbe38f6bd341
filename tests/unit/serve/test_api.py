"""The request contract: every name of a budget in every dialect, and what is refused, and how."""

import copy
import itertools
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_serve.budget.request import KEY
from s1_serve.config import ThinkingBudget
from s1_serve.contract.api import MOST_STRANGERS, Asked, Dialect, Refusal, read
from s1_serve.contract.fields import (
    ALIASES,
    CANONICAL,
    LARGEST,
    LONGEST_STRING,
    MOST_STRINGS,
    SHARES,
    Fields,
    said,
    shown,
)

CHAT, COMPLETIONS, RESPONSES, MESSAGES = Dialect
TALK = [{"role": "user", "content": "How many r in raspberry?"}]
LEAST = {
    CHAT: {"model": "s1", "messages": TALK},
    COMPLETIONS: {"model": "s1", "prompt": "How"},
    RESPONSES: {"model": "s1", "input": "How many r in raspberry?"},
    MESSAGES: {"model": "s1", "messages": TALK, "max_tokens": 9000},
}
COMMON = {"model", "temperature", "top_p", "top_k", "stream", "vllm_xargs", "seed", "user"}
KNOWN = {
    CHAT: COMMON
    | {"messages", "n", "max_tokens", "max_completion_tokens", "chat_template_kwargs", "echo"}
    | {"reasoning_effort", "include_reasoning", "thinking_token_budget", "use_beam_search"}
    | {"continue_final_message", "add_generation_prompt", "response_format", "tools", "stop"},
    COMPLETIONS: COMMON
    | {"prompt", "n", "max_tokens", "echo", "suffix", "skip_special_tokens", "use_beam_search"}
    | {"thinking_token_budget", "logprobs"},
    RESPONSES: COMMON
    | {"input", "max_output_tokens", "reasoning", "include_reasoning", "chat_template_kwargs"}
    | {"skip_special_tokens", "text"},
    MESSAGES: COMMON
    | {"messages", "max_tokens", "thinking", "output_config", "chat_template_kwargs", "system"},
}
OURS = (*CANONICAL, *ALIASES)
EVERY = pytest.mark.parametrize("dialect", Dialect, ids=lambda one: one.name)


def asked(dialect, body=None, max_answers=256, **fields) -> Asked:
    whole = LEAST[dialect] | (body or {}) | fields
    before = copy.deepcopy(whole)
    found = read(dialect, whole, KNOWN[dialect], max_answers)
    assert whole == before
    return found


def refused(dialect, body=None, max_answers=256, **fields) -> Refusal:
    whole = LEAST[dialect] | (body or {}) | fields
    before = copy.deepcopy(whole)
    with pytest.raises(Refusal) as caught:
        read(dialect, whole, KNOWN[dialect], max_answers)
    assert whole == before
    refusal = caught.value
    assert refusal.message == str(refusal)
    assert refusal.message.isprintable()
    if refusal.field is not None:
        assert refusal.field in refusal.message
    return refusal


@EVERY
def test_a_request_that_says_nothing_has_the_default_budget_and_text_none(dialect):
    found = asked(dialect)
    assert found.budget == (None if dialect is COMPLETIONS else ThinkingBudget())
    assert (found.effort, found.shows_thinking, found.num_answers) == (None, True, 1)
    assert found.body == LEAST[dialect]


@EVERY
def test_the_canonical_fields_make_the_budget_and_leave_the_body(dialect):
    found = asked(
        dialect,
        thinking_token_budget=100,
        min_thinking_tokens=10,
        num_extends=2,
        extend_with=["Wait", ""],
    )
    assert found.budget == ThinkingBudget(max=100, min=10, extends=2, extend_with=["Wait", ""])
    shows = {"skip_special_tokens": False} if dialect is COMPLETIONS else {}
    assert found.body == LEAST[dialect] | shows


@EVERY
@pytest.mark.parametrize(
    ("field", "value", "budget"),
    [
        ("thinking_token_budget", -1, ThinkingBudget(max=-1)),
        ("thinking_token_budget", 0, ThinkingBudget(max=0)),
        ("thinking_token_budget", LARGEST, ThinkingBudget(max=LARGEST)),
        ("min_thinking_tokens", 0, ThinkingBudget()),
        ("min_thinking_tokens", LARGEST, ThinkingBudget(min=LARGEST)),
        ("num_extends", 0, ThinkingBudget()),
        ("extend_with", "", ThinkingBudget(extend_with="")),
        ("extend_with", "Wärte 等", ThinkingBudget(extend_with="Wärte 等")),
        ("extend_with", "x" * LONGEST_STRING, ThinkingBudget(extend_with="x" * LONGEST_STRING)),
        ("extend_with", ["a"] * MOST_STRINGS, ThinkingBudget(extend_with=["a"] * MOST_STRINGS)),
    ],
)
def test_the_ends_of_each_range_are_inside(dialect, field, value, budget):
    assert asked(dialect, {field: value}).budget == budget


BAD_COUNTS = [
    True,
    False,
    1.0,
    3.5,
    float("nan"),
    "10",
    "",
    [],
    [1],
    {},
    {"a": 1},
    -2,
    2**31,
    10**99,
]


@EVERY
@pytest.mark.parametrize("value", BAD_COUNTS, ids=repr)
@pytest.mark.parametrize(
    "field", ["thinking_token_budget", "min_thinking_tokens", "num_extends", "thinking_budget"]
)
def test_a_count_is_a_whole_number_in_its_range(dialect, field, value):
    refusal = refused(dialect, {field: value})
    assert refusal.field == field
    assert f"{field} is {shown(value)}" in refusal.message
    assert "give a whole number from 0" in refusal.message
    assert ("fractional" in refusal.message) == isinstance(value, float)


@pytest.mark.parametrize("field", ["min_thinking_tokens", "num_extends"])
def test_what_fits_is_a_maximum_only(field):
    assert "-1 for what fits" not in refused(CHAT, {field: -1}).message


@EVERY
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "0 strings"),
        (["a"] * (MOST_STRINGS + 1), f"{MOST_STRINGS + 1} strings: give 1 to {MOST_STRINGS}"),
        (7, "holds 7: give a string or a list of strings"),
        (True, "holds true: give a string"),
        ({}, "an object"),
        (["a", None], "holds null"),
        (["a", ["b"]], "a list of 1"),
        ("x" * (LONGEST_STRING + 1), f"at most {LONGEST_STRING} characters, not"),
        (["ok", "\ud800"], "surrogate"),
    ],
)
def test_extend_strings_are_few_short_and_text(dialect, value, words):
    refusal = refused(dialect, extend_with=value)
    assert words in refusal.message
    assert refusal.field == "extend_with"


ZERO, FIFTY = ThinkingBudget(max=0), ThinkingBudget(max=50)
NONE = ThinkingBudget()
ALIAS_TABLE = [
    ({"thinking_budget": 50}, FIFTY, None),
    ({"thinking_budget": -1}, ThinkingBudget(max=-1), None),
    ({"enable_thinking": False}, ZERO, None),
    ({"enable_thinking": True}, NONE, None),
    ({"reasoning": {}}, NONE, None),
    ({"reasoning": {"effort": None, "max_tokens": None}}, NONE, None),
    ({"reasoning": {"max_tokens": 50}}, FIFTY, None),
    ({"reasoning": {"enabled": False}}, ZERO, None),
    ({"reasoning": {"enabled": True}}, NONE, None),
    ({"reasoning": {"effort": "none"}}, ZERO, None),
    ({"reasoning": {"effort": "high"}}, NONE, 3 / 4),
    ({"reasoning": {"effort": "low", "max_tokens": None, "enabled": True}}, NONE, 1 / 16),
    ({"reasoning_effort": "none"}, ZERO, None),
    ({"reasoning_effort": "minimal"}, NONE, 1 / 64),
    ({"reasoning_effort": "low"}, NONE, 1 / 16),
    ({"reasoning_effort": "medium"}, NONE, 1 / 4),
    ({"reasoning_effort": "high"}, NONE, 3 / 4),
    ({"reasoning_effort": "xhigh"}, NONE, 1.0),
    ({"reasoning_effort": "max"}, NONE, 1.0),
    ({"output_config": {"effort": "medium"}}, NONE, 1 / 4),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, ThinkingBudget(max=1024), None),
    ({"thinking": {"type": "disabled"}}, ZERO, None),
    ({"thinking": {"type": "disabled", "budget_tokens": None}}, ZERO, None),
    ({"thinking": {"type": "adaptive", "display": "summarized"}}, NONE, None),
    ({"nvext": {"max_thinking_tokens": 50}}, FIFTY, None),
    ({"nvext": {}}, NONE, None),
    ({"chat_template_kwargs": {"enable_thinking": False}}, ZERO, None),
    ({"chat_template_kwargs": {"thinking": False}}, ZERO, None),
    ({"chat_template_kwargs": {"thinking": True, "enable_thinking": True}}, NONE, None),
    ({"chat_template_kwargs": {}}, NONE, None),
]
SILENT = ("reasoning", "nvext", "chat_template_kwargs")


@EVERY
@pytest.mark.parametrize(("fields", "budget", "effort"), ALIAS_TABLE, ids=repr)
def test_every_alias_means_what_its_api_means_and_leaves_the_body(dialect, fields, budget, effort):
    found = asked(dialect, fields)
    ((field, value),) = fields.items()
    is_silent = field in SILENT and not any(one is not None for one in value.values())
    is_plain = dialect is COMPLETIONS and is_silent
    assert found.budget == (None if is_plain else budget)
    assert found.effort == effort
    assert found.shows_thinking
    assert not found.body.keys() & set(OURS)


def test_efforts_at_the_largest_context_are_the_table_of_the_conventions():
    granted = [int(asked(CHAT, reasoning_effort=effort).effort * 32768) for effort in EFFORTS[1:]]
    assert granted == [512, 2048, 8192, 24576, 32768, 32768]


EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]


@EVERY
@pytest.mark.parametrize("value", ["", "High", "ultra", "x" * 500, 3, 0.5, True, [], {}], ids=repr)
@pytest.mark.parametrize("path", ["reasoning_effort", "reasoning.effort", "output_config.effort"])
def test_an_unknown_effort_is_refused_with_those_there_are(dialect, path, value):
    refusal = refused(dialect, nested(path, value))
    assert refusal.field == path
    assert ", ".join(EFFORTS) in refusal.message
    assert len(refusal.message) < 250


def nested(path, value):
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


@EVERY
@pytest.mark.parametrize(
    ("fields", "shows"),
    [
        ({"include_reasoning": False}, False),
        ({"include_reasoning": True}, True),
        ({"reasoning": {"exclude": True}}, False),
        ({"reasoning": {"exclude": False}}, True),
        ({"include_reasoning": False, "reasoning": {"exclude": True}}, False),
        ({"thinking": {"type": "adaptive", "display": "updates"}}, True),
    ],
    ids=repr,
)
def test_what_is_not_shown_is_our_matter_and_never_the_engines(dialect, fields, shows):
    found = asked(dialect, fields)
    assert found.shows_thinking is shows
    assert not found.body.keys() & set(OURS)


def test_a_text_cannot_leave_its_thinking_out():
    fields = {"thinking": {"type": "adaptive", "display": "omitted"}}
    for dialect in (CHAT, RESPONSES, MESSAGES):
        assert not asked(dialect, fields).shows_thinking
    with pytest.raises(Refusal, match="a text completion is one text, thinking included"):
        asked(COMPLETIONS, fields)


@pytest.mark.parametrize("fields", [{"include_reasoning": False}, {"reasoning": {"exclude": True}}])
def test_showing_is_no_budget(fields):
    assert asked(COMPLETIONS, fields).budget is None
    assert asked(CHAT, fields, continue_final_message=True).budget is None


@EVERY
@pytest.mark.parametrize("field", OURS)
def test_null_is_absent(dialect, field):
    assert asked(dialect, {field: None}) == asked(dialect)


SUMMARY = {"summary": "auto", "generate_summary": "detailed"}


@EVERY
def test_a_reasoning_summary_stays_only_where_the_engine_knows_it(dialect):
    found = asked(dialect, reasoning={"effort": "low", **SUMMARY})
    assert found.effort == 1 / 16
    assert found.body.get("reasoning") == (SUMMARY if dialect is RESPONSES else None)


@EVERY
def test_of_objects_that_are_the_engines_too_only_our_part_is_taken(dialect):
    form = {"type": "json_schema", "schema": {}}
    body = {
        "output_config": {"effort": "low", "format": form},
        "chat_template_kwargs": {"thinking": True, "documents": None, "date": "today"},
    }
    found = asked(dialect, body)
    assert found.body["output_config"] == {"format": form}
    assert found.body["chat_template_kwargs"] == {"documents": None, "date": "today"}


def test_a_response_format_in_output_config_is_no_budget():
    assert asked(COMPLETIONS, output_config={"format": {}}).budget is None


AGREEING = [
    {"thinking_token_budget": 50, "thinking_budget": 50},
    {"thinking_token_budget": 50, "nvext": {"max_thinking_tokens": 50}, "enable_thinking": True},
    {"thinking_token_budget": -1, "thinking_budget": -1, "enable_thinking": True},
    {"thinking_token_budget": 0, "enable_thinking": False, "reasoning_effort": "none"},
    {"thinking_token_budget": 0, "thinking": {"type": "disabled"}},
    {"thinking_token_budget": 2000, "thinking": {"type": "enabled", "budget_tokens": 2000}},
    {"reasoning_effort": "low", "reasoning": {"effort": "low"}, "enable_thinking": True},
    {"reasoning_effort": "xhigh", "output_config": {"effort": "max"}},
    {"reasoning_effort": "low", "thinking": {"type": "adaptive"}},
    {"enable_thinking": False, "chat_template_kwargs": {"thinking": False}},
    {"include_reasoning": True, "reasoning": {"exclude": False}},
    {"include_reasoning": True, "enable_thinking": True},
    {"reasoning_effort": "low", "min_thinking_tokens": 100000},
    {"thinking_token_budget": -1, "min_thinking_tokens": 100000},
    {"thinking_token_budget": 7, "min_thinking_tokens": 7},
]


@EVERY
@pytest.mark.parametrize("fields", AGREEING, ids=repr)
def test_two_fields_may_say_the_same(dialect, fields):
    assert not asked(dialect, fields).body.keys() & set(OURS)


CONTRADICTING = [
    ({"thinking_token_budget": 10, "thinking_budget": 20}, "10", "20"),
    ({"thinking_token_budget": -1, "thinking_budget": 50}, "-1", "50"),
    ({"thinking_token_budget": -1, "enable_thinking": False}, "-1", "false"),
    ({"thinking_token_budget": -1, "reasoning_effort": "low"}, "-1", "'low'"),
    ({"thinking_token_budget": 1, "reasoning_effort": "max"}, "1", "'max'"),
    ({"thinking_token_budget": 0, "reasoning_effort": "low"}, "0", "'low'"),
    ({"thinking_token_budget": 10, "reasoning.max_tokens": 20}, "10", "20"),
    ({"thinking_token_budget": 10, "nvext.max_thinking_tokens": 20}, "10", "20"),
    ({"thinking_token_budget": 10, "thinking.type": "disabled"}, "10", "'disabled'"),
    ({"thinking_budget": 9, "enable_thinking": False}, "9", "false"),
    ({"thinking_budget": 9, "chat_template_kwargs.thinking": False}, "9", "false"),
    ({"thinking_budget": 9, "reasoning.enabled": False}, "9", "false"),
    ({"enable_thinking": True, "thinking_token_budget": 0}, "true", "0"),
    ({"enable_thinking": True, "reasoning_effort": "none"}, "true", "'none'"),
    ({"enable_thinking": True, "thinking.type": "disabled"}, "true", "'disabled'"),
    ({"enable_thinking": True, "reasoning.enabled": False}, "true", "false"),
    ({"enable_thinking": True, "chat_template_kwargs.enable_thinking": False}, "true", "false"),
    ({"enable_thinking": False, "reasoning.enabled": True}, "false", "true"),
    ({"enable_thinking": False, "reasoning_effort": "low"}, "false", "'low'"),
    ({"reasoning_effort": "low", "reasoning.effort": "high"}, "'low'", "'high'"),
    ({"reasoning_effort": "low", "output_config.effort": "none"}, "'low'", "'none'"),
    ({"reasoning_effort": "none", "reasoning.effort": "high"}, "'none'", "'high'"),
    ({"include_reasoning": True, "reasoning.exclude": True}, "true", "true"),
    ({"include_reasoning": False, "reasoning.exclude": False}, "false", "false"),
    ({"min_thinking_tokens": 6, "thinking_token_budget": 5}, "6", "5"),
    ({"min_thinking_tokens": 6, "thinking_budget": 5}, "6", "5"),
    ({"min_thinking_tokens": 1, "thinking.type": "disabled"}, "1", "'disabled'"),
    ({"min_thinking_tokens": 1, "enable_thinking": False}, "1", "false"),
    ({"min_thinking_tokens": 1, "reasoning_effort": "none"}, "1", "'none'"),
]


@EVERY
@pytest.mark.parametrize(("fields", "one", "other"), CONTRADICTING, ids=repr)
def test_two_fields_that_contradict_are_both_named_with_their_values(dialect, fields, one, other):
    body = {}
    for path, value in fields.items():
        body |= nested(path, value)
    message = refused(dialect, body).message
    for path, value in zip(fields, (one, other), strict=True):
        assert f"{path} is {value}" in message


@EVERY
@pytest.mark.parametrize(("effort", "most"), [("low", 5), ("none", 0)])
def test_reasoning_has_an_effort_or_a_maximum(dialect, effort, most):
    message = refused(dialect, reasoning={"effort": effort, "max_tokens": most}).message
    assert f"reasoning.effort is '{effort}' and reasoning.max_tokens is {most}" in message


@EVERY
@pytest.mark.parametrize(
    ("thinking", "words"),
    [
        ({}, "thinking.type is missing"),
        ({"type": None, "budget_tokens": 2000}, "thinking.type is missing"),
        ({"type": "on"}, "thinking.type is 'on': give one of enabled, disabled, adaptive"),
        ({"type": True}, "thinking.type is true"),
        ({"type": "enabled"}, "thinking.budget_tokens is missing"),
        ({"type": "enabled", "budget_tokens": 1023}, "1023: give a whole number from 1024"),
        ({"type": "enabled", "budget_tokens": -1}, "from 1024"),
        ({"type": "enabled", "budget_tokens": 2000.0}, "2000.0, fractional"),
        ({"type": "enabled", "budget_tokens": True}, "is true"),
        ({"type": "disabled", "budget_tokens": 2000}, "2000 and thinking.type is 'disabled'"),
        ({"type": "adaptive", "budget_tokens": 2000}, "2000 and thinking.type is 'adaptive'"),
        ({"type": "adaptive", "display": "all"}, "thinking.display is 'all'"),
        ({"type": "adaptive", "effort": "low"}, "thinking.effort is unknown"),
        (True, "thinking is true: give an object"),
        ("enabled", "thinking is 'enabled': give an object"),
        ([], "thinking is a list of 0: give an object"),
    ],
)
def test_anthropics_object_keeps_anthropics_rules(dialect, thinking, words):
    assert words in refused(dialect, thinking=thinking).message


@pytest.mark.parametrize(
    ("dialect", "room"),
    [
        (MESSAGES, "max_tokens"),
        (CHAT, "max_tokens"),
        (CHAT, "max_completion_tokens"),
        (COMPLETIONS, "max_tokens"),
        (RESPONSES, "max_output_tokens"),
    ],
)
def test_anthropics_budget_is_below_the_most_tokens(dialect, room):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    assert asked(dialect, {room: 1025}, thinking=thinking).budget == ThinkingBudget(max=1024)
    for most in (1024, 16):
        message = refused(dialect, {room: most}, thinking=thinking).message
        assert f"thinking.budget_tokens is 1024 and {room} is {most}" in message


@EVERY
@pytest.mark.parametrize(
    "path", ["reasoning", "nvext", "output_config", "chat_template_kwargs", "thinking"]
)
@pytest.mark.parametrize("value", [1, "low", True, False, [], ["a"]], ids=repr)
def test_an_object_of_ours_is_an_object(dialect, path, value):
    refusal = refused(dialect, {path: value})
    assert refusal.field == path
    assert f"{path} is {shown(value)}: give an object" in refusal.message


@EVERY
@pytest.mark.parametrize(
    "path",
    [
        "enable_thinking",
        "include_reasoning",
        "reasoning.enabled",
        "reasoning.exclude",
        "chat_template_kwargs.enable_thinking",
        "chat_template_kwargs.thinking",
    ],
)
@pytest.mark.parametrize("value", [0, 1, "true", "false", 1.0, [], {}], ids=repr)
def test_a_switch_is_true_or_false(dialect, path, value):
    refusal = refused(dialect, nested(path, value))
    assert refusal.field == path
    assert "give true or false" in refusal.message


@EVERY
@pytest.mark.parametrize("path", ["reasoning", "nvext", "thinking", "output_config"])
@pytest.mark.parametrize("key", ["tokens", "budget", "effrot", "a.b", "x\ny", "\ud800", "k" * 300])
def test_an_unknown_key_inside_an_object_of_ours_is_refused(dialect, path, key):
    refusal = refused(
        dialect, {path: {"type": "adaptive", key: 1} if path == "thinking" else {key: 1}}
    )
    assert refusal.field.startswith(f"{path}.")
    assert f"is unknown: give {path} only" in refusal.message
    assert len(refusal.message) < 300
    refusal.message.encode()


@EVERY
@pytest.mark.parametrize(
    "key",
    [
        *CANONICAL,
        *("thinking_budget", "reasoning_effort", "reasoning", "nvext", "effort"),
        *("max_thinking_tokens", "budget_tokens", "budget", "my_Budget", "include_reasoning"),
    ],
)
def test_a_budget_for_the_chat_template_is_sent_to_the_root(dialect, key):
    refusal = refused(dialect, chat_template_kwargs={"tools": 1, key: 5})
    assert refusal.field == f"chat_template_kwargs.{key}"
    root = key if key in OURS else "thinking_token_budget"
    assert f"put {root} at the root" in refusal.message
    assert asked(dialect, chat_template_kwargs={key: None}) == asked(dialect)


@EVERY
@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("thinking_token_bugdet", "thinking_token_budget"),
        ("thinking_tokens_budget", "thinking_token_budget"),
        ("Thinking_Token_Budget", "thinking_token_budget"),
        ("max_thinking_tokens", "thinking_token_budget"),
        ("maxThinkingTokens", "thinking_token_budget"),
        ("reasoning_max_tokens", "thinking_token_budget"),
        ("thinking_tokens", "thinking_token_budget"),
        ("budget_tokens", "thinking_token_budget"),
        ("thinkingBudget", "thinking_budget"),
        ("min_thinking_token", "min_thinking_tokens"),
        ("num_extend", "num_extends"),
        ("nun_extensd", "num_extends"),
        ("extend_wiht", "extend_with"),
        ("exten_with", "extend_with"),
        ("effort", "reasoning_effort"),
        ("reasoning_efort", "reasoning_effort"),
        ("include_resaoning", "include_reasoning"),
        ("enable_thinkng", "enable_thinking"),
        ("output_confg", "output_config"),
        ("chat_template_kwarg", "chat_template_kwargs"),
        ("nvextt", "nvext"),
    ],
)
def test_a_misspelt_budget_is_refused_with_the_name_that_was_meant(dialect, key, nearest):
    refusal = refused(dialect, {key: 5})
    assert refusal.field == key
    assert f"{key} is unknown: did you mean {nearest}?" in refusal.message
    assert asked(dialect, {key: None}).budget == asked(dialect).budget


@EVERY
@pytest.mark.parametrize(
    "key",
    [
        "best_of",
        "chat_template",
        "guided_json",
        "safety_identifier",
        "store",
        "x",
        "",
    ],
)
def test_other_unknown_fields_pass_untouched(dialect, key):
    value = {"deep": [1, None]}
    assert asked(dialect, {key: value}).body[key] == value


@EVERY
def test_the_word_of_a_client_is_refused(dialect):
    with pytest.raises(Refusal, match="extra_body is an object: it is a word of the openai client"):
        asked(dialect, {"extra_body": {"thinking_token_budget": 3}})


@EVERY
def test_what_the_engine_knows_passes_whatever_its_name(dialect):
    body = LEAST[dialect] | {"think_hard": 1}
    assert read(dialect, body, KNOWN[dialect] | {"think_hard"}, 1).body["think_hard"] == 1


@EVERY
@pytest.mark.parametrize("key", ["thinking\nbudget", "think\ud800", "reason" * 100, "budget\u2028"])
def test_the_message_is_one_line_whatever_the_key(dialect, key):
    message = refused(dialect, {key: 1}).message
    assert len(message) < 250
    message.encode()


@EVERY
def test_unknown_fields_are_not_without_number(dialect):
    many = {f"k{index}": 1 for index in range(MOST_STRANGERS)}
    assert asked(dialect, many).num_answers == 1
    message = refused(dialect, many | {"one_more": 1}).message
    assert f"{MOST_STRANGERS + 1} unknown fields" in message


@EVERY
def test_strategies_are_a_layer_above_and_of_chats_alone(dialect):
    refusal = refused(dialect, tts={"strategy": "vote"})
    assert refusal.field == "tts"
    assert "strategies are asked for at /v1/chat/completions" in refusal.message


@EVERY
@pytest.mark.parametrize("body", [None, [], "x", 1, True, [{"messages": TALK}]], ids=repr)
def test_a_body_is_an_object(dialect, body):
    with pytest.raises(Refusal, match=r"the body is .*: give a JSON object") as caught:
        read(dialect, body, KNOWN[dialect], 1)
    assert caught.value.field is None


@EVERY
@pytest.mark.parametrize("value", [None, [1, 2], "x"])
def test_the_key_between_the_processes_is_the_servers_own(dialect, value):
    refusal = refused(dialect, vllm_xargs={"a": 1, KEY: value})
    assert refusal.field == f"vllm_xargs.{KEY}"
    assert asked(dialect, vllm_xargs={"a": 1}).body["vllm_xargs"] == {"a": 1}
    assert asked(dialect, vllm_xargs=7).body["vllm_xargs"] == 7


@EVERY
def test_a_budget_takes_no_beam_search(dialect):
    assert refused(dialect, use_beam_search=True, num_extends=1).field == "use_beam_search"
    assert asked(dialect, use_beam_search=False, num_extends=1).body["use_beam_search"] is False
    if dialect is COMPLETIONS:
        assert asked(dialect, use_beam_search=True).budget is None
    else:
        assert refused(dialect, use_beam_search=True).field == "use_beam_search"
    for lax in (1, "true", "yes"):  # what pydantic would take for true
        assert "give true or false" in refused(dialect, use_beam_search=lax, num_extends=1).message


@pytest.mark.parametrize(
    ("dialect", "field", "value"),
    [
        *[(CHAT, "messages", value) for value in (None, [], "hi", {}, 1)],
        *[(MESSAGES, "messages", value) for value in (None, [], "hi", {}, 1)],
        *[(RESPONSES, "input", value) for value in (None, [], "", {}, 1)],
        (COMPLETIONS, "prompt", []),
    ],
)
def test_nothing_to_answer_is_refused(dialect, field, value):
    refusal = refused(dialect, {field: value})
    assert refusal.field == field
    without = {key: one for key, one in LEAST[dialect].items() if key != field}
    if dialect is COMPLETIONS:
        assert read(dialect, without, KNOWN[dialect], 1).num_answers == 1
    else:
        with pytest.raises(Refusal, match=f"{field} is missing"):
            read(dialect, without, KNOWN[dialect], 1)


def test_the_input_of_responses_is_a_text_or_a_list():
    assert asked(RESPONSES, input=TALK).num_answers == 1


@EVERY
@pytest.mark.parametrize("n", [0, -1, 1.0, True, "2", [], 2**31], ids=repr)
def test_n_is_a_count_from_one(dialect, n):
    refusal = refused(dialect, n=n)
    assert refusal.field == "n"
    assert "whole number from 1" in refusal.message


@EVERY
def test_n_counts_where_the_dialect_has_it(dialect):
    assert asked(dialect, n=None).num_answers == 1
    has_n = dialect in (CHAT, COMPLETIONS)
    assert asked(dialect, n=8, max_answers=8).num_answers == (8 if has_n else 1)
    refusal = refused(dialect, n=9, max_answers=8)
    assert refusal.field == "n"
    assert "n is 9: 9 answers, the limit is 8" in refusal.message


@pytest.mark.parametrize(
    ("prompt", "num_prompts"),
    [
        ("one", 1),
        (["one"], 1),
        (["one", "two", "three"], 3),
        ([5, 6, 7, 8], 1),
        ([[5, 6], [7]], 2),
        ([[]], 1),
        (None, 1),
        ({"odd": 1}, 1),
    ],
)
def test_answers_are_n_for_each_prompt(prompt, num_prompts):
    for n in (None, 1, 4):
        assert asked(COMPLETIONS, prompt=prompt, n=n).num_answers == num_prompts * (n or 1)


def test_too_many_answers_are_refused_with_the_numbers():
    refusal = refused(COMPLETIONS, prompt=["a"] * 300, n=2)
    assert refusal.field == "prompt"
    assert "600 answers, the limit is 256" in refusal.message
    refusal = refused(COMPLETIONS, prompt=["a", "b"], n=200)
    assert refusal.field == "n"
    assert "400 answers" in refusal.message


OPENS_NOTHING = [{"continue_final_message": True}, {"add_generation_prompt": False}]


@pytest.mark.parametrize("fields", OPENS_NOTHING, ids=repr)
def test_a_message_that_goes_on_opens_no_thinking(fields):
    found = asked(CHAT, fields)
    assert found.budget is None
    assert found.body == LEAST[CHAT] | fields
    (field,) = fields
    for stated, *_ in ALIAS_TABLE:
        if asked(COMPLETIONS, stated).budget is not None:
            refusal = refused(CHAT, fields | stated)
            assert refusal.field == field
            assert next(iter(stated)) in refusal.message
    for own in ({"min_thinking_tokens": 1}, {"num_extends": 1}, {"extend_with": "Wait"}):
        assert f"{next(iter(own))} asks for it" in refused(CHAT, fields | own).message


def test_a_message_that_does_not_go_on_thinks():
    usual = {"continue_final_message": False, "add_generation_prompt": True}
    assert asked(CHAT, usual).budget == ThinkingBudget()
    assert refused(CHAT, continue_final_message="true").field == "continue_final_message"
    assert refused(CHAT, add_generation_prompt=0).field == "add_generation_prompt"


def test_a_text_with_a_budget_is_neither_echoed_nor_inserted():
    assert refused(COMPLETIONS, num_extends=1, echo=True).field == "echo"
    assert refused(COMPLETIONS, num_extends=1, suffix="end").field == "suffix"
    assert asked(COMPLETIONS, num_extends=1, echo=False, suffix=None).budget.extends == 1
    assert asked(COMPLETIONS, echo=True, suffix="end").budget is None


@pytest.mark.parametrize(
    ("stated", "found"), [({}, False), ({"skip_special_tokens": None}, False)]
    + [({"skip_special_tokens": value}, value) for value in (True, False)],
)  # fmt: skip
def test_a_text_with_a_budget_shows_the_delimiters_unless_told_otherwise(stated, found):
    body = asked(COMPLETIONS, stated, num_extends=0).body
    assert body["skip_special_tokens"] is found
    assert asked(COMPLETIONS, stated).body == LEAST[COMPLETIONS] | stated


COUNTS = st.one_of(st.integers(-1, 5000), st.none())
EFFORT = st.one_of(st.sampled_from(EFFORTS), st.none())
SWITCH = st.one_of(st.booleans(), st.none())
STATED = st.fixed_dictionaries(
    {},
    optional={
        "thinking_token_budget": COUNTS,
        "thinking_budget": COUNTS,
        "enable_thinking": SWITCH,
        "reasoning_effort": EFFORT,
        "min_thinking_tokens": st.integers(0, 5000),
        "num_extends": st.integers(0, 9),
        "extend_with": st.one_of(st.text(max_size=9), st.lists(st.text(), min_size=1, max_size=3)),
        "include_reasoning": SWITCH,
        "reasoning": st.fixed_dictionaries(
            {}, optional={"effort": EFFORT, "max_tokens": COUNTS, "enabled": SWITCH}
        ),
        "nvext": st.fixed_dictionaries({}, optional={"max_thinking_tokens": COUNTS}),
        "chat_template_kwargs": st.fixed_dictionaries(
            {}, optional={"thinking": SWITCH, "enable_thinking": SWITCH, "date": st.text()}
        ),
        "output_config": st.fixed_dictionaries(
            {}, optional={"effort": EFFORT, "format": st.none()}
        ),
        "thinking": st.one_of(
            st.fixed_dictionaries({"type": st.sampled_from(["disabled", "adaptive"])}),
            st.fixed_dictionaries(
                {"type": st.just("enabled"), "budget_tokens": st.integers(1024, 5000)}
            ),
        ),
    },
)
DIALECTS = st.sampled_from(Dialect)


@given(DIALECTS, STATED)
def test_what_is_accepted_holds_every_statement_and_what_is_refused_names_a_field(dialect, stated):
    whole = LEAST[dialect] | stated
    before = copy.deepcopy(whole)
    try:
        found = read(dialect, whole, KNOWN[dialect], 1)
    except Refusal as refusal:
        assert refusal.field in refusal.message
        assert refusal.message.isprintable()
        return
    finally:
        assert whole == before
    json.dumps(found.body)
    left = found.body.get("chat_template_kwargs", {})
    assert not found.body.keys() & set(OURS) - {"chat_template_kwargs"}
    assert left.keys() <= {"date"}
    statements = list(said(Fields(dict(stated))))
    assert not any(a.contradicts(b) for a, b in itertools.combinations(statements, 2))
    for one in statements:
        assert one.maximum in (None, found.budget and found.budget.max)
        assert one.effort in (None, found.effort)
        assert one.shows in (None, found.shows_thinking)
        assert not (one.thinks and found.budget.max == 0)
    if found.effort is not None:
        assert found.budget.max is None
    if found.budget is None:
        assert dialect is COMPLETIONS
    elif found.budget.max not in (None, -1):
        assert found.budget.min <= found.budget.max


@given(STATED)
def test_the_order_of_fields_does_not_matter(stated):
    def outcome(fields):
        try:
            return read(CHAT, LEAST[CHAT] | fields, KNOWN[CHAT], 1)
        except Refusal as refusal:
            return refusal.message

    assert outcome(stated) == outcome(dict(reversed(stated.items())))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PATHS = st.sampled_from(
    [
        *OURS,
        *("reasoning.effort", "reasoning.max_tokens", "reasoning.enabled", "reasoning.exclude"),
        *("thinking.type", "thinking.budget_tokens", "thinking.display", "output_config.effort"),
        *("nvext.max_thinking_tokens", "chat_template_kwargs.thinking", "n", "messages", "input"),
        *("prompt", "echo", "suffix", "use_beam_search", "vllm_xargs", "max_tokens", "tts"),
        *("continue_final_message", "add_generation_prompt", "skip_special_tokens"),
    ]
)


@settings(max_examples=300)
@given(DIALECTS, PATHS, JSON)
def test_any_json_anywhere_is_read_or_refused_in_one_printable_line(dialect, path, value):
    body = LEAST[dialect] | nested(path, value)
    before = repr(body)
    try:
        read(dialect, body, KNOWN[dialect], 4)
    except Refusal as refusal:
        assert refusal.field == path or refusal.field.startswith(path.split(".")[0])
        assert refusal.field in refusal.message
        assert refusal.message.isprintable()
        assert len(refusal.message) < 350
    assert repr(body) == before


@given(st.data(), DIALECTS, st.sampled_from(OURS))
def test_a_name_with_one_slip_is_never_ignored(data, dialect, name):
    at = data.draw(st.integers(0, len(name) - 1))
    slip = data.draw(
        st.sampled_from([name[:at] + name[at + 1 :], name[:at] + "x" + name[at:], name.upper()])
    )
    if slip not in OURS:
        assert refused(dialect, {slip: 1}).field == slip


@given(st.one_of(JSON, st.integers(-(10**200), 10**200)))
def test_a_value_is_shown_in_a_short_printable_line(value):
    assert len(shown(value)) <= 80
    assert shown(value).isprintable()
    shown(value).encode()


def test_the_shares_are_sorted_and_start_with_none():
    assert list(SHARES) == EFFORTS
    assert sorted(SHARES.values()) == list(SHARES.values())


def test_the_contract_needs_no_engine():
    line = "import sys, s1_serve.contract.api; print(*sys.modules)"
    words = [sys.executable, "-c", line]
    loaded = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert not {"vllm", "torch", "transformers", "fastapi", "pydantic"} & set(loaded)
