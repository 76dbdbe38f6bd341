"""What a response says of the thinking, written into what vLLM's handlers answer.

Pure: JSON objects in, JSON objects out, one rule a dialect. Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from s1_serve.contract.api import Dialect
from s1_serve.contract.exchange import Exchange
from s1_serve.contract.thought import Thought

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The response of one exchange. `mirrors` repeats `reasoning` as `reasoning_content`."""

    exchange: Exchange
    mirrors: bool

    def whole(self, body: Json) -> Json:
        """Complete a response that does not stream."""
        self._by_dialect()(body)
        return body

    def event(self, body: Json) -> Json | None:
        """Complete one event of a stream; None where nothing of it may be shown."""
        return body if self._by_dialect()(body) else None

    def _by_dialect(self) -> Callable[[Json], bool]:
        return {
            Dialect.CHAT: self._chat,
            Dialect.COMPLETIONS: self._completion,
            Dialect.RESPONSES: self._responses,
            Dialect.MESSAGES: self._messages,
        }[self.exchange.dialect]

    @property
    def _shows(self) -> bool:
        return self.exchange.asked.shows_thinking

    def _chat(self, body: Json) -> bool:
        choices = body.get("choices") or []
        shown = [self._chat_choice(choice) for choice in choices]
        if not any("delta" in choice for choice in choices):  # else a count of one choice so far
            self._usage(body.get("usage"), "completion_tokens_details")
        return any(shown) or not choices

    def _chat_choice(self, choice: Json) -> bool:
        """Complete a choice; False for a chunk that holds thinking alone and may not show it."""
        said = choice.get("message") or choice.get("delta") or {}
        hidden = False
        if not self._shows:
            hidden = said.pop("reasoning", None) is not None
        elif self.mirrors and "reasoning" in said:
            said["reasoning_content"] = said["reasoning"]
        self._thinking(choice)
        return not hidden or bool(said) or choice.get("finish_reason") is not None

    def _completion(self, body: Json) -> bool:
        for choice in body.get("choices") or []:
            self._thinking(choice)
        self._usage(body.get("usage"), "completion_tokens_details")
        return True

    def _thinking(self, choice: Json) -> None:
        thoughts, index = self.exchange.thoughts, choice.get("index", 0)
        if index >= len(thoughts):
            return
        if choice.get("finish_reason") is not None:
            choice["thinking"] = thoughts[index].summary
        elif self._marks and thoughts[0].has_mark_due and "delta" in choice:
            self._mark(thoughts[0], choice)

    def _mark(self, thought: Thought, choice: Json) -> None:
        """Mark a piece that may hold text of an extend, and go on until some text was there."""
        delta = choice["delta"]
        if not delta.get("content"):
            choice["forced"] = True
        thought.has_mark_due = not (delta.get("reasoning") or delta.get("content"))

    @property
    def _marks(self) -> bool:
        """Say whether the newest tokens are the newest text.

        Of several answers the next tokens may have come already; stop strings hold text back.
        """
        is_one = len(self.exchange.thoughts) == 1
        return is_one and not self.exchange.asked.body.get("stop")

    def _usage(self, usage: Json | None, details: str) -> None:
        """Count thinking by token ids, as far as it has ended."""
        if usage and self.exchange.thoughts and all(t.summary for t in self.exchange.thoughts):
            usage[details] = (usage.get(details) or {}) | {
                "reasoning_tokens": self.exchange.thinking_tokens
            }

    def _responses(self, body: Json) -> bool:
        kind = body.get("type", "")
        whole = body.get("response") if kind else body
        if not self._shows:
            if kind.startswith("response.reasoning") and kind.endswith(".delta"):
                return False
            for item in [body.get("item"), body, *((whole or {}).get("output") or [])]:
                _blank_responses(item)
            if whole:
                whole["output_messages"] = None
        if whole and whole.get("status") in ("completed", "incomplete"):
            self._usage(whole.get("usage"), "output_tokens_details")
            output = whole.get("output") or []
            holders = [item for item in output if item.get("type") != "reasoning"] or output
            for item in holders[-1:]:
                item["thinking"] = self.exchange.summary(0)
        return True

    def _messages(self, body: Json) -> bool:
        kind = body.get("type")
        if not self._shows:
            if (body.get("delta") or {}).get("type") == "thinking_delta":
                return False
            for block in [body.get("content_block"), *(body.get("content") or [])]:
                if block and block.get("type") == "thinking":
                    block["thinking"] = ""
        if kind in ("message", "message_delta"):
            body["thinking"] = self.exchange.summary(0)
        return True


def _blank_responses(item: Json | None) -> None:
    """Empty the text of a reasoning item or of an event that repeats it."""
    if not item:
        return
    if item.get("type") == "response.reasoning_text.done":
        item["text"] = ""
    for part in [item.get("part"), *(item.get("content") or [])]:
        if part and part.get("type") == "reasoning_text":
            part["text"] = ""
