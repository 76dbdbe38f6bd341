"""The body of a call's request: what is the client's in it, and what the strategy adds.

Pure; the client's body is never changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from s1_serve.completions import fanned
from s1_serve.config import EXTEND_WITH, ThinkingBudget
from s1_serve.contract.api import Asked
from s1_serve.contract.fields import CANONICAL, SHARES
from s1_serve.strategies.calls import Chat
from s1_serve.strategies.driving.asking import VERDICT_TOKENS

Json = dict[str, Any]
_FOR_CANDIDATES = (
    *("messages", "model", "n", "stream", "stream_options", "logprobs", "top_logprobs"),
    *("max_tokens", "max_completion_tokens", "seed", "return_token_ids", "echo"),
)
_FOR_VERDICTS = ("temperature", "top_p", "top_k", "min_p", "priority", "user", "cache_salt")
_BUDGET = ("thinking_token_budget", "min_thinking_tokens")


@dataclass(frozen=True, kw_only=True)
class Client:
    """What the client asked, taken apart: `fields` are the engine's, without those of thinking."""

    fields: Mapping[str, Any]
    budget: ThinkingBudget
    effort: float | None = None
    question: str = ""
    conversation: str = ""
    """What a verdict is about, where it is more than the question."""
    seed: int | None = None
    least: int = 64
    """Tokens that an answer needs beside its thinking: delimiters and the answer's reserve."""

    @staticmethod
    def of(asked: Asked, *, seed: int | None = None, least: int = 64) -> Client:
        """Read what the contract made of a request."""
        return Client(
            fields=asked.body,
            budget=asked.budget or ThinkingBudget(),
            effort=asked.effort,
            question=question(asked.body.get("messages") or []),
            conversation=conversation(asked.body.get("messages") or []),
            seed=asked.body.get("seed") if seed is None else seed,
            least=least,
        )

    @property
    def max_tokens(self) -> int | None:
        fields = self.fields
        found = fields.get("max_completion_tokens")
        return fields.get("max_tokens") if found is None else found

    @property
    def top_logprobs(self) -> int | None:
        """How many logprobs a token the client wants; None is none at all."""
        return (self.fields.get("top_logprobs") or 0) if self.fields.get("logprobs") else None


def question(messages: list[Any]) -> str:
    """Give the last thing the user said."""
    said = [m for m in messages if isinstance(m, dict) and m.get("role") == "user"]
    return _text(said[-1].get("content")) if said else ""


def conversation(messages: list[Any]) -> str:
    """Write down who said what, tool calls too; nothing where one user said one thing."""
    said = [(message.get("role"), _said(message)) for message in messages if _is_said(message)]
    if [role for role, _ in said] == ["user"]:
        return ""
    return "\n\n".join(f"[{role}]\n{text}" for role, text in said)


def _is_said(message: object) -> bool:
    return isinstance(message, dict) and bool(_said(message))


def _said(message: Json) -> str:
    calls = message.get("tool_calls")
    parts = (_text(message.get("content")), json.dumps(calls, ensure_ascii=False) if calls else "")
    return "\n".join(part for part in parts if part)


def _text(content: object) -> str:
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def chat_body(call: Chat, client: Client, model: str, most: int | None) -> Json:
    """Write the request of a call; `most` is what it may generate, None as the client said."""
    body = _verdict(call, client) if call.is_verifier else _candidate(call, client)
    body |= call.overrides
    if CANONICAL[0] in call.overrides:  # said twice it would contradict itself
        body.pop("reasoning_effort", None)
    _bound(body, client, most)
    if call.top_logprobs or "logprobs" in body:
        wanted = max(call.top_logprobs, body.get("top_logprobs") or 0)
        body |= {"logprobs": True, "top_logprobs": wanted}
    return body | {
        "model": model,
        "n": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
    }


def _candidate(call: Chat, client: Client) -> Json:
    kept = {k: v for k, v in client.fields.items() if k not in _FOR_CANDIDATES}
    body = kept | _budget(client) | {"messages": under(client.fields["messages"], call.under)}
    if client.max_tokens is not None:
        body["max_tokens"] = client.max_tokens
    if client.seed is not None:
        body["seed"] = fanned(client.seed, call.index)
    if client.top_logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": client.top_logprobs}
    return body


def _budget(client: Client) -> Json:
    """Write a budget with the contract's own names; what is not said stays unsaid."""
    budget = client.budget
    found: Json = {}
    if budget.max is not None:
        found[CANONICAL[0]] = budget.max
    if client.effort is not None:
        found["reasoning_effort"] = next(n for n, s in SHARES.items() if s == client.effort)
    values = (budget.min, budget.extends, budget.extend_with)
    for name, value, default in zip(CANONICAL[1:], values, (0, 0, EXTEND_WITH), strict=True):
        if value != default:
            found[name] = value
    return found


def _verdict(call: Chat, client: Client) -> Json:
    """Ask a verifier: nothing of the client's but what was said and how to draw."""
    kept = {k: client.fields[k] for k in _FOR_VERDICTS if k in client.fields}
    said = _below(client.conversation or client.question, call.under)
    body = kept | {"messages": [{"role": "user", "content": said}]}
    if client.seed is not None:
        body["seed"] = fanned(client.seed, call.index)
    if not {*call.overrides} & {"max_tokens", "thinking_token_budget"}:
        body["max_tokens"] = VERDICT_TOKENS + client.least
    return body


def _bound(body: Json, client: Client, most: int | None) -> None:
    """Keep a call within `most` tokens: an explicit maximum of thinking gives way to the answer."""
    if most is None:
        return
    given = body.pop("max_completion_tokens", None)
    given = body.get("max_tokens") if given is None else given
    room = most if given is None else min(most, given)
    body["max_tokens"] = room
    for name in _BUDGET:
        if body.get(name, -1) > (allowed := max(room - client.least, 0)):
            body[name] = allowed


def under(messages: list[Json], text: str) -> list[Json]:
    """Put a text below the last message of the user, or behind all where another spoke last."""
    if not text:
        return messages
    *before, last = messages
    if not isinstance(last, dict) or last.get("role") != "user":
        return [*messages, {"role": "user", "content": text}]
    content = last.get("content")
    if isinstance(content, str):
        return [*before, last | {"content": _below(content, text)}]
    parts = [*(content or []), {"type": "text", "text": _below("", text)}]
    return [*before, last | {"content": parts}]


def _below(above: str, text: str) -> str:
    return f"{above}\n\n{text.lstrip()}"


def foreign(body: Json) -> Json:
    """Leave out what a server that is none of ours does not know; a maximum is vLLM's field too."""
    dropped = ("return_token_ids", *CANONICAL[1:])
    return {k: v for k, v in body.items() if k not in dropped}
