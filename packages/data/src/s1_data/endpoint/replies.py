"""A chat completion's body to thinking and answer, wherever the server put the thinking.

Refuses, with a complaint, what holds neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from s1_core import chat

THINK = chat.FORMATS["think"]
THINKING_FIELDS = ("reasoning", "reasoning_content")
_SURROGATES = re.compile("[\ud800-\udfff]")
_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the model said; the counts are None where the server did not give them."""

    thinking: str
    text: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None

    @property
    def usage(self) -> tuple[int, int] | None:
        """Give prompt and completion tokens, None unless both are known."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        return self.prompt_tokens, self.completion_tokens


class Unusable(ValueError):
    """A body with no reply in it; `usage` is what it cost, where it says so."""

    def __init__(self, complaint: str, usage: tuple[int, int] | None = None) -> None:
        super().__init__(complaint)
        self.usage = usage


def read(body: bytes) -> Reply:
    """Read the first choice of a chat completion; raise Unusable when there is none."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"the reply is not JSON: {quote(body)}") from error
    if not isinstance(content, dict):
        raise Unusable(f"the reply is no JSON object: {quote(body)}")
    usage = _usage(content.get("usage"))
    choices = content.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise Unusable(f"the reply holds no choice: {quote(body)}", usage)
    thinking, text = _parts(message)
    finish_reason = str(choice.get("finish_reason") or "stop")
    # Cut or filtered before the first word is an outcome that a second try would only repeat.
    if not thinking and not text and finish_reason == "stop":
        raise Unusable("the reply is empty", usage)
    return Reply(
        thinking=thinking,
        text=text,
        finish_reason=finish_reason,
        prompt_tokens=usage and usage[0],
        completion_tokens=usage and usage[1],
    )


def quote(body: bytes) -> str:
    """Show the message of a server's error, else the beginning of what it sent."""
    text = body[: 100 * _SHOWN].decode("utf-8", "replace")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        error = content.get("error", content)
        found = error.get("message") if isinstance(error, dict) else error
        text = found if isinstance(found, str) else text
    line = " ".join(_clean(text).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def _parts(message: Mapping[str, Any]) -> tuple[str, str]:
    content = message.get("content")
    content = _clean(content) if isinstance(content, str) else ""
    for field in THINKING_FIELDS:
        thinking = message.get(field)
        if isinstance(thinking, str) and thinking.strip():
            return _clean(thinking).strip(), content.strip()
    return _split(content)


def _split(content: str) -> tuple[str, str]:
    """Part tagged thinking from the answer; the prompt may have held the opening tag."""
    before, end, after = content.partition(THINK.answer_start)
    start = before.lstrip().startswith(THINK.thinking_start)
    if not end and not start:
        return "", content.strip()
    return before.replace(THINK.thinking_start, "", 1).strip(), after.strip()


def _usage(usage: object) -> tuple[int, int] | None:
    if not isinstance(usage, dict):
        return None
    counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if any(not isinstance(count, int) or count < 0 for count in counts):
        return None
    return counts  # type: ignore[return-value]


def _clean(text: str) -> str:
    """Replace half surrogate pairs, which JSON can carry and UTF-8 cannot."""
    return _SURROGATES.sub("\ufffd", text)
