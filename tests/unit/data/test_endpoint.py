"""Replies as servers write them, addresses and waits, the key of a call, and its options."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1_core import chat
from s1_core.errors import UserError
from s1_core.records import question_id
from s1_data.endpoint import asking, replies
from s1_data.endpoint.asking import Failure, Inquiry, Prompt
from s1_data.endpoint.client import LONGEST_RETRY_AFTER_S, completions_url, retry_after_s
from s1_data.endpoint.config import AskConfig, EndpointConfig, JudgeConfig, TeacherConfig
from s1_data.endpoint.replies import Reply, Unusable
from s1_data.endpoint.shard import WHOLE, Shard

THINK = chat.FORMATS["think"]
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


def body(message: Any, finish_reason: str | None = "stop", **fields: Any) -> bytes:
    usage = {"prompt_tokens": 3, "completion_tokens": 7}
    choice = {"message": message, "finish_reason": finish_reason}
    return json.dumps({"choices": [choice], "usage": usage} | fields).encode()


@pytest.mark.parametrize(
    ("message", "thinking", "text"),
    [
        ({"content": "a", "reasoning": "t"}, "t", "a"),
        ({"content": "\n\na\n", "reasoning": "", "reasoning_content": " t\n"}, "t", "a"),
        ({"content": None, "reasoning": "t"}, "t", ""),
        ({"content": "a"}, "", "a"),
        ({"content": f"{THINK.thinking_start}\nt\n{THINK.answer_start}\n\na"}, "t", "a"),
        ({"content": f"\nt\n{THINK.answer_start}a"}, "t", "a"),
        ({"content": f"  {THINK.thinking_start}\nt, cut"}, "t, cut", ""),
        ({"content": f"{THINK.thinking_start}{THINK.answer_start}a"}, "", "a"),
        ({"content": f"in text, {THINK.thinking_start} stays"}, "",
         f"in text, {THINK.thinking_start} stays"),
        ({"content": "half \ud83d"}, "", "half \ufffd"),
    ],
)  # fmt: skip
def test_thinking_is_found_wherever_it_is(
    message: dict[str, Any], thinking: str, text: str
) -> None:
    found = replies.read(body(message))
    assert (found.thinking, found.text, found.usage) == (thinking, text, (3, 7))


words = st.text("ab \n<>/", max_size=30).map(str.strip).filter(bool)


@given(thinking=words, text=words, tagged=st.sampled_from(["field", "tags", "unopened"]))
def test_thinking_and_answer_come_apart_as_they_were_put_together(
    thinking: str, text: str, tagged: str
) -> None:
    start = THINK.thinking_start if tagged == "tags" else ""
    message = {"content": f"{start}\n{thinking}\n{THINK.answer_start}\n{text}"}
    if tagged == "field":
        message = {"content": text, "reasoning": thinking}
    found = replies.read(body(message))
    assert (found.thinking, found.text) == (thinking, text)


@pytest.mark.parametrize(
    ("raw", "complaint", "usage"),
    [
        (b"<html>\n<b>Bad  gateway</b>", "not JSON: <html> <b>Bad gateway</b>", None),
        (body({"content": "cut"})[:40], "not JSON", None),
        (b"[]", "no JSON object", None),
        (b'{"error": {"message": "overloaded"}}', "no choice: overloaded", None),
        (b'{"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 0}}', "no choice",
         (2, 0)),
        (b'{"choices": [{"text": "old"}]}', "no choice", None),
        (body({"content": None}), "empty", (3, 7)),
        (body({"content": " ", "reasoning": ""}, None), "empty", (3, 7)),
        (b"\xff\xfe", "not JSON", None),
    ],
)  # fmt: skip
def test_what_is_no_reply_is_a_complaint(
    raw: bytes, complaint: str, usage: tuple[int, int] | None
) -> None:
    with pytest.raises(Unusable, match=complaint) as caught:
        replies.read(raw)
    assert caught.value.usage == usage


def test_an_empty_reply_that_a_second_try_would_repeat_is_one() -> None:
    found = replies.read(body({"content": None}, "length"))
    assert (found.thinking, found.text, found.finish_reason) == ("", "", "length")


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": 3}, {"prompt_tokens": -1, "completion_tokens": 2}, []]
)
def test_a_usage_that_says_nothing_is_none(usage: Any) -> None:
    assert replies.read(body({"content": "a"}, usage=usage)).usage is None


@given(raw=st.binary(max_size=60) | st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["choices", "message", "content", "usage", "error"]), inner, max_size=4
    ),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_body_breaks_the_reader(raw: bytes) -> None:
    try:
        found = replies.read(raw)
    except Unusable as error:
        assert str(error)
    else:
        assert found.text or found.thinking


def test_a_body_nested_beyond_reason_is_unusable() -> None:
    with pytest.raises(Unusable, match="not JSON"):
        replies.read(b"[" * 200_000)
    assert replies.quote(b"[" * 200_000).startswith("[[[")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://h:8000", "/v1"),
        ("http://h:8000/", "/v1"),
        ("http://h:8000/v1/", "/v1"),
        ("http://h:8000/api/v3", "/api/v3"),
        ("http://h:8000/v1beta/openai", "/v1beta/openai"),
        ("http://h:8000/v1/chat/completions", "/v1"),
        ("http://h:8000/video", "/video/v1"),
    ],
)
def test_a_url_may_lack_its_version(url: str, path: str) -> None:
    assert completions_url(url) == f"http://h:8000{path}/chat/completions"


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        (None, 0), ("", 0), ("7", 7), (" 1.5 ", 1.5), ("-3", 0), ("soon", 0), ("nan", 0),
        ("99999", LONGEST_RETRY_AFTER_S),
        (format_datetime(NOW + timedelta(seconds=9), usegmt=True), 9),
        (format_datetime(NOW - timedelta(seconds=9), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), LONGEST_RETRY_AFTER_S),
        ("Sat, 32 Foo 2025", 0),
    ],
)  # fmt: skip
def test_retry_after_is_read_and_bounded(header: str | None, wait_s: float) -> None:
    assert retry_after_s(header, NOW) == wait_s


@given(ids=st.lists(st.text(max_size=9).map(question_id), max_size=20), count=st.integers(1, 7))
def test_every_question_has_one_shard(ids: list[str], count: int) -> None:
    shards = [Shard.parse(f"{index}/{count}") for index in range(count)]
    assert all(sum(shard.holds(name) for shard in shards) == 1 for name in ids)
    assert len({shard.path(Path("a/out")) for shard in shards}) == count
    assert Shard.parse(None) == Shard.parse("0/1") == WHOLE


PROMPT = Prompt(question_id="00ff", text="q?")
BASE = EndpointConfig(url="http://h", model="m", seed=3)


def test_the_key_is_what_shapes_the_reply_and_nothing_else() -> None:
    keys = {
        asking.key(EndpointConfig(**({"url": "http://h", "model": "m", "seed": 3} | options)),
                   Prompt(**({"question_id": "00ff", "text": "q?"} | prompt)), num)
        for options, prompt, num in [
            ({}, {}, 0), ({}, {}, 1), ({}, {"text": "r?"}, 0), ({}, {"system": ""}, 0),
            ({}, {"question_id": "0ff0"}, 0), ({"model": "n"}, {}, 0), ({"seed": 4}, {}, 0),
            ({"temperature": 0.0}, {}, 0), ({"top_p": 0.5}, {}, 0), ({"max_tokens": 9}, {}, 0),
        ]
    }  # fmt: skip
    assert len(keys) == 10
    same = EndpointConfig(
        url="http://other", model="m", seed=3, api_key_env="K", max_retries=1, concurrency=2,
        timeout_s=1, usd_per_million_input=1, max_cost_usd=1, max_tokens_total=1, backoff_s=0,
        max_tokens_field="max_completion_tokens",
    )  # fmt: skip
    assert asking.key(same, PROMPT, 0) == asking.key(BASE, PROMPT, 0)


def test_rejected_replies_are_remembered_as_such() -> None:
    def said(text: str) -> Reply:
        return Reply(
            thinking="", text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1
        )

    inquiry = Inquiry(
        prompts=[PROMPT], config=BASE, folder=Path("nowhere"), max_asks=3,
        accept=lambda reply: None if reply.text == "good" else f"{reply.text} is no good",
    )  # fmt: skip
    keys = [asking.key(BASE, PROMPT, num) for num in range(3)]
    assert inquiry.recall(PROMPT, {}) == (None, 0)
    assert inquiry.recall(PROMPT, {keys[0]: said("bad")}) == (None, 1)
    assert inquiry.recall(PROMPT, {keys[0]: said("bad"), keys[1]: said("good")})[0] == said("good")
    worn = {name: said(f"try {num}") for num, name in enumerate(keys)}
    assert inquiry.recall(PROMPT, worn)[0] == Failure("00ff", "try 2 is no good")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "http://h"}, "wants a model"),
        *(
            ({"url": url, "model": "m"}, "wanted http://")
            for url in ("h:8000", "http://", "http://h:99999", "http://[h", "ftp://h")
        ),
        ({"max_tokens": 0}, "max_tokens"),
        ({"backoff_s": -1.0}, "backoff_s"),
        ({"max_cost_usd": 1.0}, "without prices"),
    ],
)
@pytest.mark.parametrize("kind", [EndpointConfig, TeacherConfig, JudgeConfig])
def test_a_wrong_option_is_named(
    kind: type[EndpointConfig], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        kind(**options)


@pytest.mark.parametrize("shard", ["2/2", "1", "a/b", "-1/2", "1/0", "0/2/3"])
def test_a_shard_is_i_of_n(shard: str) -> None:
    with pytest.raises(UserError, match="wanted i/n"):
        AskConfig(questions="q", out="o", shard=shard, teacher=BASE)
    with pytest.raises(UserError, match=r"wanted --teacher\.url"):
        AskConfig(questions="q", out="o")
