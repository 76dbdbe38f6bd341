"""A chat reply as it streams in: how far it has come, and at its end what the call came to.

Pure: events in, counts and text out. Tokens are the engine's numbers wherever it gives them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from s1_serve.strategies import ballots
from s1_serve.strategies.known import Heard, Result

Json = Mapping[str, Any]


@dataclass(kw_only=True)
class Transcript:
    """One reply so far. Thinking is counted as all that came before the answer's first text."""

    reasoning: list[str] = field(default_factory=list)
    forced: list[bool] = field(default_factory=list)
    """Of each piece of reasoning: it holds text of an extend."""
    content: list[str] = field(default_factory=list)
    tokens: int = 0
    thinking_tokens: int = 0
    has_thought: bool = False
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[Json] = field(default_factory=list)
    _tools: dict[int, dict[str, Any]] = field(default_factory=dict)
    _last: dict[str, Any] = field(default_factory=dict)
    """Of the choice: finish_reason, stop_reason, thinking."""
    _usage: Json = field(default_factory=dict)
    _confidences: list[float] = field(default_factory=list)
    _drawn: list[float] = field(default_factory=list)
    """Logprobs of tokens that were not forced, as far as can be told."""

    def feed(self, event: Json) -> None:
        """Take one event of the stream."""
        self._usage = event.get("usage") or self._usage
        for choice in event.get("choices") or []:
            self._choice(choice)

    def _choice(self, choice: Json) -> None:
        delta = choice.get("delta") or {}
        thought = delta.get("reasoning") or delta.get("reasoning_content") or ""
        text, calls = delta.get("content") or "", delta.get("tool_calls") or []
        self._count(choice, has_text=bool(thought or text or calls), answers=bool(text or calls))
        if thought:
            self.reasoning.append(thought)
            self.forced.append(bool(choice.get("forced")))
        if text:
            self.content.append(text)
        for call in calls:
            self._call(call)
        if choice.get("finish_reason") is not None:
            self._last = {k: choice.get(k) for k in ("finish_reason", "stop_reason", "thinking")}

    def _count(self, choice: Json, *, has_text: bool, answers: bool) -> None:
        ids = choice.get("token_ids")
        self.has_thought |= answers
        self.tokens += has_text if ids is None else len(ids)  # a piece is a token, elsewhere
        self.token_ids += ids or []
        if not self.has_thought:
            self.thinking_tokens = self.tokens
        for entry in (choice.get("logprobs") or {}).get("content") or []:
            self.logprobs.append(entry)
            top = [one["logprob"] for one in entry.get("top_logprobs") or []]
            if top:
                self._confidences.append(-sum(top) / len(top))
            if has_text and not choice.get("forced"):
                self._drawn.append(entry["logprob"])

    def _call(self, piece: Json) -> None:
        """Put the pieces of a tool call together."""
        found = self._tools.setdefault(
            piece.get("index", 0),
            {"id": None, "type": "function", "function": {"name": "", "arguments": ""}},
        )
        found["id"] = piece.get("id") or found["id"]
        for key in found["function"]:
            found["function"][key] += (piece.get("function") or {}).get(key) or ""

    def heard(self, name: str) -> Heard:
        """Say how far it has come; each confidence is told once."""
        news, self._confidences = tuple(self._confidences), []
        return Heard(
            id=name,
            tokens=self.tokens,
            thinking_tokens=self.thinking_tokens,
            has_thought=self.has_thought,
            confidences=news,
        )

    @property
    def message(self) -> dict[str, Any]:
        """Give the chat message, as a reply that does not stream would hold it."""
        calls = [self._tools[index] for index in sorted(self._tools)]
        text = "".join(self.content)
        message = {
            "role": "assistant",
            "content": text if text or not calls else None,
            "reasoning": "".join(self.reasoning) or None,
        }
        return message | ({"tool_calls": calls} if calls else {})

    @property
    def pieces(self) -> list[tuple[str, bool]]:
        """Part the reasoning into what is the model's own and what was forced."""
        runs = groupby(zip(self.reasoning, self.forced, strict=True), key=lambda piece: piece[1])
        return [("".join(text for text, _ in run), is_forced) for is_forced, run in runs]

    @property
    def is_complete(self) -> bool:
        return bool(self._last)

    def result(self) -> Result:
        """Say what the call came to."""
        message, usage = self.message, self._usage
        details = usage.get("completion_tokens_details") or {}
        told = self._last.get("thinking") or {}
        thought = told.get("tokens", details.get("reasoning_tokens"))
        tokens = usage.get("completion_tokens", self.tokens)
        answer = message["content"] or ""
        likely = [logprob for logprob in self._drawn if math.isfinite(logprob)]
        choice = {"index": 0, "message": message, **self._last, "token_ids": self.token_ids}
        choice["pieces"] = self.pieces
        return Result(
            thinking=message["reasoning"] or "",
            answer=answer,
            token_ids=tuple(self.token_ids),
            tokens=tokens,
            thinking_tokens=min(self.thinking_tokens if thought is None else thought, tokens),
            end=told.get("end", "natural"),
            extends=told.get("extends", 0),
            finish_reason=self._last.get("finish_reason") or "stop",
            vote=ballots.form(answer, message, is_cut=self._last.get("finish_reason") == "length"),
            mean_logprob=sum(likely) / len(likely) if likely else None,
            message=message,
            choice=choice | ({"logprobs": {"content": self.logprobs}} if self.logprobs else {}),
            prompt_tokens=usage.get("prompt_tokens", 0),
            cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        )
