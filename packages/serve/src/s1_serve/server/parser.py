"""Our formats as vLLM's reasoning parsers: what is thinking and what is answer, for its handlers
and its grammars. vLLM loads this file by its path, in the server and in the engine.

Looks for delimiters behind the last assistant's turn alone: a history may hold old ones.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Sequence
from typing import Any

from vllm.entrypoints.generate.base.protocol import DeltaMessage
from vllm.reasoning import ReasoningParser, ReasoningParserManager

from s1_core import chat
from s1_core.processes import die_with_parent

_PREFIX = "s1_"


def parser_name(fmt: chat.Format) -> str:
    """Give the name under which vLLM knows the parser of a format."""
    return f"{_PREFIX}{fmt.name}"


class FormatParser(ReasoningParser):
    """Thinking and answer of one stream. A subclass names the format."""

    format: chat.Format
    # vLLM then asks what was parsed, not which tokens came: text lags behind them.
    engine_based_streaming = True

    def __init__(self, tokenizer: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(tokenizer, *args, **kwargs)
        self._turn = self._ids(f"{chat.TURN_START}assistant")
        self._start = self._ids(self.format.thinking_start)
        self._end = self._ids(chat.end_string(self.format))
        self._splitter = chat.StreamSplitter(self.format, is_verbatim=True)
        self._has_answered = False

    def _ids(self, text: str) -> list[int]:
        return list(self.model_tokenizer.encode(text, add_special_tokens=False))

    def is_reasoning_end(self, input_ids: Sequence[int]) -> bool:
        """Say whether no thinking is open at the end of a prompt."""
        ids = list(input_ids)
        turn = ids[max(_last(ids, self._turn), 0) :]
        return _last(turn, self._start) <= _last(turn, self._end)

    def is_reasoning_end_streaming(
        self, input_ids: Sequence[int], delta_ids: Iterable[int]
    ) -> bool:
        """Say whether the end string ended within the newest tokens."""
        since = len(list(delta_ids)) + len(self._end) - 1
        return _last(list(input_ids[-since:]), self._end) >= 0

    def extract_content_ids(self, input_ids: list[int]) -> list[int]:
        """Give the tokens behind the end string."""
        at = _last(input_ids, self._end)
        return [] if at < 0 else input_ids[at + len(self._end) :]

    def count_reasoning_tokens(self, token_ids: Sequence[int]) -> int:
        """Count what lies before the end string; of a cut, its newline too."""
        at = _last(list(token_ids), self._end)
        return len(token_ids) if at < 0 else at

    def extract_reasoning(self, model_output: str, request: Any) -> tuple[str | None, str | None]:
        """Part a whole output; all is answer where the request opened no thinking."""
        if not getattr(request, "add_generation_prompt", True):
            return None, model_output
        splitter = chat.StreamSplitter(self.format, is_verbatim=True)
        message = _message(splitter.feed(model_output) + splitter.close())
        return (message.reasoning, message.content) if message else (None, None)

    def extract_reasoning_streaming(
        self,
        previous_text: str,
        current_text: str,
        delta_text: str,
        previous_token_ids: Sequence[int],
        current_token_ids: Sequence[int],
        delta_token_ids: Sequence[int],
    ) -> DeltaMessage | None:
        """Part the newest piece; what may become a delimiter waits for the next."""
        message = _message(self._splitter.feed(delta_text))
        self._has_answered |= message is not None and bool(message.content)
        return message

    def has_engine_confirmed_reasoning_end(self) -> bool:
        """Say whether the answer is visible: from then on vLLM passes text on as it comes."""
        return self._has_answered

    def finish_streaming(self) -> DeltaMessage | None:
        """Give what waited."""
        return _message(self._splitter.close())

    def adjust_request(self, request: Any) -> Any:
        """Let control tokens into the text: the delimiters are made of them."""
        request.skip_special_tokens = False
        return request


def _last(ids: Sequence[int], wanted: Sequence[int]) -> int:
    """Find where `wanted` starts last; -1 where it does not occur."""
    for at in range(len(ids) - len(wanted), -1, -1):
        if ids[at] == wanted[0] and list(ids[at : at + len(wanted)]) == list(wanted):
            return at
    return -1


def _message(parts: Sequence[tuple[str, str]]) -> DeltaMessage | None:
    if not parts:
        return None
    said = {"thinking": "", "answer": ""}
    for channel, text in parts:
        said[channel] += text
    return DeltaMessage(reasoning=said["thinking"] or None, content=said["answer"] or None)


if multiprocessing.parent_process() is not None:
    # vLLM's engine goes on, busy, when the server is killed: it has this file as a plugin.
    die_with_parent(os.getppid())

for _format in chat.FORMATS.values():
    ReasoningParserManager.register_module(
        parser_name(_format), module=type("Parser", (FormatParser,), {"format": _format})
    )
