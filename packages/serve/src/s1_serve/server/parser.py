"""Our formats as vLLM's reasoning parsers: what is thinking and what is answer, for its handlers
and its grammars. vLLM loads this file by its path, in the server and in the engine.

Looks for delimiters behind the last assistant's turn alone: a history may hold old ones.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from typing import Any

from vllm.entrypoints.generate.base.protocol import DeltaMessage
from vllm.reasoning import ReasoningParser, ReasoningParserManager

from s1_core import chat
from s1_core.processes import die_with_parent
from s1_serve.contract.exchange import CURRENT

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
        self._pending = ""
        self._has_thought = self._is_ending = self._is_answering = self._has_answered = False

    def _ids(self, text: str) -> list[int]:
        return list(self.model_tokenizer.encode(text, add_special_tokens=False))

    def is_reasoning_end(self, input_ids: Sequence[int]) -> bool:
        """Say whether no thinking is open at the end of a prompt."""
        if _is_plain():
            return True
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
        if _is_plain():
            return 0
        at = _last(list(token_ids), self._end)
        return len(token_ids) if at < 0 else at

    def extract_reasoning(self, model_output: str, request: Any) -> tuple[str | None, str | None]:
        """Part a whole output where its token ids do; text alone may spell a delimiter."""
        if _is_plain():
            return None, model_output
        delimiter = chat.end_string(self.format)
        at = model_output.find(delimiter, self._thought(model_output))
        if at < 0:
            return model_output.strip() or None, None
        answer = model_output[at + len(delimiter) :].lstrip()
        return model_output[:at].strip() or None, answer or None

    def _thought(self, output: str) -> int:
        """Count the characters of thinking, by the answer whose thinking the output starts with."""
        exchange = CURRENT.get()
        for thought in exchange.thoughts if exchange else []:
            if thought.outcome is not None:
                ids = list(thought.outcome.thinking_ids)
                said = self.model_tokenizer.decode(ids, skip_special_tokens=False)
                if output.startswith(said):
                    return len(said)
        return 0

    def extract_reasoning_streaming(
        self,
        previous_text: str,
        current_text: str,
        delta_text: str,
        previous_token_ids: Sequence[int],
        current_token_ids: Sequence[int],
        delta_token_ids: Sequence[int],
    ) -> DeltaMessage | None:
        """Part the newest piece: thinking goes on until the end string's first token came.

        Text lags behind its tokens and never leads them.
        """
        self._pending += delta_text
        self._is_ending = self._is_ending or self._end[0] in delta_token_ids
        thinking = ""
        if not self._is_ending:
            thinking = self._pending.rstrip()
            self._pending = self._pending[len(thinking) :]
        elif not self._is_answering:
            before, found, behind = self._pending.partition(chat.end_string(self.format))
            if found:
                self._is_answering, thinking, self._pending = True, before.rstrip(), behind
        return self._told(thinking)

    def _told(self, thinking: str) -> DeltaMessage | None:
        thinking = thinking if self._has_thought else thinking.lstrip()
        self._has_thought = self._has_thought or bool(thinking)
        answer = self._pending.lstrip() if self._is_answering else ""
        if answer:
            self._pending, self._has_answered = "", True
        if not thinking and not answer:
            return None
        return DeltaMessage(reasoning=thinking or None, content=answer or None)

    def has_engine_confirmed_reasoning_end(self) -> bool:
        """Say whether the answer is visible: from then on vLLM passes text on as it comes."""
        return self._has_answered

    def finish_streaming(self) -> DeltaMessage | None:
        """Give what waited."""
        thinking = "" if self._is_answering else self._pending.rstrip()
        return self._told(thinking)

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


def _is_plain() -> bool:
    """Say whether the current request opens no thinking; the engine's process knows of none."""
    exchange = CURRENT.get()
    return exchange is not None and exchange.asked.budget is None


if (_parent := multiprocessing.parent_process()) is not None:
    # vLLM's engine goes on, busy, when the server is killed: it has this file as a plugin.
    die_with_parent(_parent.pid)

for _format in chat.FORMATS.values():
    ReasoningParserManager.register_module(
        parser_name(_format), module=type("Parser", (FormatParser,), {"format": _format})
    )
