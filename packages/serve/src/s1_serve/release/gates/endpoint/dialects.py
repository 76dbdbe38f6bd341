"""The four dialects as a client meets them: what is asked, and what a reply or a stream says.

Pure. Refuses what is not as the dialect promises: a reply without an answer, a stream without end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from s1_core.errors import S1Error
from s1_serve.contract.api import Dialect
from s1_serve.contract.promise import Promise

Json = dict[str, Any]
_ENDS = ("response.completed", "response.incomplete")


class Broken(S1Error):
    """A request that did not get what its dialect promises."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """An answer, in whatever dialect."""

    thinking: str
    answer: str
    told: Json | None
    """what the response says of the thinking"""
    counted: int | None
    """thinking tokens by the usage; None in the dialect that has no place for them"""


def body(dialect: Dialect, model: str, question: str, budget: Promise, room: int) -> Json:
    """Write a request that thinks within `budget` and has `room` tokens behind it."""
    most = budget.maximum + room
    messages = [{"role": "user", "content": question}]
    asked: Json = {
        Dialect.CHAT: {"messages": messages, "max_tokens": most},
        Dialect.COMPLETIONS: {"prompt": question, "max_tokens": most},
        Dialect.RESPONSES: {"input": question, "max_output_tokens": most},
        Dialect.MESSAGES: {"messages": messages, "max_tokens": most},
    }[dialect]
    return asked | {
        "model": model,
        "temperature": 0,
        "thinking_token_budget": budget.maximum,
        "min_thinking_tokens": budget.minimum,
        "num_extends": budget.extends,
    }


def whole(dialect: Dialect, reply: Json) -> Said:
    """Read a response that did not stream."""
    return _read(lambda: _checked(_WHOLE[dialect](reply)))


def streamed(dialect: Dialect, lines: Iterable[bytes]) -> Said:
    """Read a stream to its end; one that stops before it is Broken."""
    events, is_done = [], False
    for event in _events(lines):
        is_done = event is None
        if event is not None:
            events.append(event)
    if dialect in (Dialect.CHAT, Dialect.COMPLETIONS) and not is_done:
        raise Broken("the stream stopped before [DONE]")
    return _read(lambda: _checked(_STREAMED[dialect](events)))


def _events(lines: Iterable[bytes]) -> Iterator[Json | None]:
    """Give the events of a stream, None for [DONE]."""
    for line in lines:
        if line.startswith(b"data: "):
            content = line.removeprefix(b"data: ").strip()
            yield None if content == b"[DONE]" else _parsed(content)


def _parsed(content: bytes) -> Json:
    try:
        event: Json = json.loads(content)
    except ValueError as error:
        raise Broken(f"an event is no JSON: {content[:80]!r}") from error
    if event.get("error"):
        raise Broken(f"the stream ended with an error: {str(event['error'])[:200]}")
    return event


def _read(read: Callable[[], Said]) -> Said:
    try:
        return read()
    except (KeyError, IndexError, TypeError, AttributeError, StopIteration) as error:
        raise Broken(f"a field is missing or misplaced ({error!r})") from error


def _checked(said: Said) -> Said:
    if said.told is None:
        raise Broken("nothing is said of the thinking")
    if not said.answer:
        raise Broken("there is no answer")
    if said.counted is not None and said.counted != said.told["tokens"]:
        raise Broken(f"usage counts {said.counted} tokens, thinking {said.told['tokens']}")
    return said


def _chat(reply: Json) -> Said:
    (choice,) = reply["choices"]
    message = choice["message"]
    return Said(
        thinking=message["reasoning"] or "",
        answer=message["content"] or "",
        told=choice["thinking"],
        counted=reply["usage"]["completion_tokens_details"]["reasoning_tokens"],
    )


def _completion(reply: Json) -> Said:
    (choice,) = reply["choices"]
    return Said(
        thinking="",
        answer=choice["text"],
        told=choice["thinking"],
        counted=reply["usage"]["completion_tokens_details"]["reasoning_tokens"],
    )


def _response(reply: Json) -> Said:
    items = {item["type"]: item for item in reply["output"]}
    reasoning = items.get("reasoning", {"content": None})["content"] or []
    return Said(
        thinking="".join(part["text"] for part in reasoning),
        answer="".join(part["text"] for part in items["message"]["content"]),
        told=reply["output"][-1]["thinking"],
        counted=reply["usage"]["output_tokens_details"]["reasoning_tokens"],
    )


def _message(reply: Json) -> Said:
    blocks = reply["content"]
    return Said(
        thinking="".join(b["thinking"] for b in blocks if b["type"] == "thinking"),
        answer="".join(b["text"] for b in blocks if b["type"] == "text"),
        told=reply["thinking"],
        counted=None,
    )


def _chat_chunks(events: Sequence[Json]) -> Said:
    choices = [choice for event in events for choice in event["choices"]]
    deltas = [choice["delta"] for choice in choices]
    return Said(
        thinking="".join(delta.get("reasoning") or "" for delta in deltas),
        answer="".join(delta.get("content") or "" for delta in deltas),
        told=_ending(choices)["thinking"],
        counted=events[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"],
    )


def _completion_chunks(events: Sequence[Json]) -> Said:
    choices = [choice for event in events for choice in event["choices"]]
    return Said(
        thinking="",
        answer="".join(choice["text"] for choice in choices),
        told=_ending(choices)["thinking"],
        counted=events[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"],
    )


def _ending(choices: Sequence[Json]) -> Json:
    return next(choice for choice in reversed(choices) if choice["finish_reason"] is not None)


def _response_events(events: Sequence[Json]) -> Said:
    if events[-1]["type"] not in _ENDS:
        raise Broken(f"the stream stopped with {events[-1]['type']}")
    said = _response(events[-1]["response"])
    pieces = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    if "".join(pieces) != said.answer:
        raise Broken("the pieces of the answer are not the answer")
    return said


def _message_events(events: Sequence[Json]) -> Said:
    if events[-1]["type"] != "message_stop":
        raise Broken(f"the stream stopped with {events[-1]['type']}")
    deltas = [e["delta"] for e in events if e["type"] == "content_block_delta"]
    return Said(
        thinking="".join(delta.get("thinking") or "" for delta in deltas),
        answer="".join(delta.get("text") or "" for delta in deltas),
        told=next(e for e in events if e["type"] == "message_delta")["thinking"],
        counted=None,
    )


_WHOLE: dict[Dialect, Callable[[Json], Said]] = {
    Dialect.CHAT: _chat,
    Dialect.COMPLETIONS: _completion,
    Dialect.RESPONSES: _response,
    Dialect.MESSAGES: _message,
}
_STREAMED: dict[Dialect, Callable[[Sequence[Json]], Said]] = {
    Dialect.CHAT: _chat_chunks,
    Dialect.COMPLETIONS: _completion_chunks,
    Dialect.RESPONSES: _response_events,
    Dialect.MESSAGES: _message_events,
}
