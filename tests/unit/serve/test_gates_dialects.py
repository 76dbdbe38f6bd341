"""Replies and streams of the four dialects: whole ones are read, others are Broken."""

from __future__ import annotations

import json

import pytest

from s1_serve.contract.api import Dialect
from s1_serve.release.gates.endpoint.dialects import Broken, Said, streamed, whole

TOLD = {"tokens": 8, "end": "budget", "extends": 0, "max": 8, "min": 8}
DETAILS = {"completion_tokens_details": {"reasoning_tokens": 8}}
DONE = b"data: [DONE]"
RESPONSE = {
    "output": [
        {"type": "reasoning", "content": [{"text": "hm"}]},
        {"type": "message", "content": [{"text": "4"}], "thinking": TOLD},
    ],
    "usage": {"output_tokens_details": {"reasoning_tokens": 8}},
}
MESSAGE = {
    "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "4"}],
    "thinking": TOLD,
}
WHOLE = {
    Dialect.CHAT: {
        "choices": [{"message": {"reasoning": "hm", "content": "4"}, "thinking": TOLD}],
        "usage": DETAILS,
    },
    Dialect.COMPLETIONS: {"choices": [{"text": "4", "thinking": TOLD}], "usage": DETAILS},
    Dialect.RESPONSES: RESPONSE,
    Dialect.MESSAGES: MESSAGE,
}
STREAMED = {
    Dialect.CHAT: [
        {"choices": [{"delta": {"reasoning": "hm"}, "finish_reason": None}]},
        {"choices": [{"delta": {"content": "4"}, "finish_reason": "stop", "thinking": TOLD}]},
        {"choices": [], "usage": DETAILS},
    ],
    Dialect.COMPLETIONS: [
        {"choices": [{"text": "4", "finish_reason": "stop", "thinking": TOLD}]},
        {"choices": [], "usage": DETAILS},
    ],
    Dialect.RESPONSES: [
        {"type": "response.output_text.delta", "delta": "4"},
        {"type": "response.completed", "response": RESPONSE},
    ],
    Dialect.MESSAGES: [
        {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "4"}},
        {"type": "message_delta", "delta": {}, "thinking": TOLD},
        {"type": "message_stop"},
    ],
}


def lines(dialect: Dialect) -> list[bytes]:
    found = [b"data: " + json.dumps(event).encode() for event in STREAMED[dialect]]
    return found + [b"", DONE] * (dialect in (Dialect.CHAT, Dialect.COMPLETIONS))


@pytest.mark.parametrize("dialect", Dialect)
def test_whole_and_streamed_say_the_same(dialect):
    counted = None if dialect is Dialect.MESSAGES else 8
    thinking = "" if dialect is Dialect.COMPLETIONS else "hm"
    wanted = Said(thinking=thinking, answer="4", told=TOLD, counted=counted)
    assert whole(dialect, WHOLE[dialect]) == streamed(dialect, lines(dialect)) == wanted


@pytest.mark.parametrize("dialect", Dialect)
def test_a_stream_that_stops_anywhere_is_broken(dialect):
    for end in range(len(lines(dialect))):
        with pytest.raises(Broken):
            streamed(dialect, lines(dialect)[:end])


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"4"', '""'),
        ('"tokens": 8', '"tokens": 9'),
        ('"thinking": {"tokens"', '"thought": {"tokens"'),
        ("reasoning_tokens", "thinking_tokens"),
        ('"content"', '"contents"'),
        ('"choices"', '"choice"'),
    ],
)
def test_a_field_that_is_missing_or_does_not_agree_is_broken(dialect, old, new):
    texts = [json.dumps(WHOLE[dialect]), *(line.decode() for line in lines(dialect))]
    altered = [text.replace(old, new) for text in texts]
    if altered[0] != texts[0] and not (dialect is Dialect.MESSAGES and "tokens" in old[:8]):
        with pytest.raises(Broken):
            whole(dialect, json.loads(altered[0]))
    if altered[1:] != texts[1:] and not (dialect is Dialect.MESSAGES and "tokens" in old[:8]):
        with pytest.raises(Broken):
            streamed(dialect, [line.encode() for line in altered[1:]])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'data: {"error": {"message": "engine dead"}}', "engine dead"),
        (b"data: <html>", "is no JSON"),
    ],
)
def test_an_error_in_a_stream_is_said(line, said):
    with pytest.raises(Broken, match=said):
        streamed(Dialect.CHAT, [line, DONE])
