"""The one way to ask a model: prompts in, a reply or a reason out for each, in their order.

Owns the key under which a call is remembered. What was answered once is never asked again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s1_core.errors import require
from s1_data.endpoint import journal
from s1_data.endpoint.config import EndpointConfig
from s1_data.endpoint.replies import Reply
from s1_data.endpoint.shard import WHOLE, Shard
from s1_data.endpoint.spending import FREE, Charge, price

Accept = Callable[[Reply], str | None]  # what is wrong with a reply, None when nothing is

LENGTH = 4000
"""tokens of a reply where nothing is known: thinking in s1's pool has about 3,600 (Table 7)"""
BYTES_PER_TOKEN = 4
"""of a prompt, in English and LaTeX"""
ENOUGH = 5
"""replies from which their own mean is taken"""


@dataclass(frozen=True)
class Failure:
    """A question that the model gave nothing useful to, and why."""

    question_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is asked about a question."""

    question_id: str
    text: str
    system: str | None = None


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """Who is asked what, and in which folder the calls are remembered.

    A reply that `accept` complains about is asked for again, `max_asks` times in all; each is a
    call of its own. `role` begins the flags that messages name.
    """

    prompts: Sequence[Prompt]
    config: EndpointConfig
    folder: Path
    shard: Shard = WHOLE
    accept: Accept = lambda reply: None
    max_asks: int = 1
    role: str = "teacher"

    def recall(
        self, prompt: Prompt, replies: Mapping[str, Reply]
    ) -> tuple[Reply | Failure | None, int]:
        """Tell the outcome of a prompt from the replies so far, or which ask comes next."""
        complaint = ""
        for num in range(self.max_asks):
            reply = replies.get(key(self.config, prompt, num))
            if reply is None:
                return None, num
            complaint = self.accept(reply) or ""
            if not complaint:
                return reply, num
        return Failure(prompt.question_id, complaint), self.max_asks


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Calls that are left of `num_prompts` and what they may cost.

    `basis` says where the length of a reply comes from, `spent` what the folder has cost so far.
    """

    num_prompts: int
    num_calls: int = 0
    expected: Charge = FREE
    spent: Charge = FREE
    basis: str = "nothing is left to ask"
    has_prices: bool = False

    def __str__(self) -> str:
        expected = self.expected
        cost = f"${expected.usd:,.2f}" if self.has_prices else "at no known price"
        left = f"{self.num_calls} of {self.num_prompts} left to ask"
        if self.num_calls:
            left += (
                f", about {expected.prompt_tokens:,} prompt and {expected.completion_tokens:,}"
                f" completion tokens, {cost} ({self.basis})"
            )
        return f"{left}; spent so far: {self.spent}"


def ask(inquiry: Inquiry) -> list[Reply | Failure]:
    """Ask what the journal does not answer yet; equal prompts are asked once.

    Raises UserError, everything done being kept, at a cap on spending, when the endpoint wants
    another url, model or key, and when question after question fails.
    """
    url = inquiry.config.url
    require(url is not None, f"wanted --{inquiry.role}.url and --{inquiry.role}.model")
    with journal.opened(inquiry.folder, inquiry.shard) as book:
        failures = _asked(inquiry, book)
        found = (inquiry.recall(prompt, book.replies)[0] for prompt in inquiry.prompts)
        return [
            outcome or failures[key(inquiry.config, prompt, 0)]
            for prompt, outcome in zip(inquiry.prompts, found, strict=True)
        ]


def plan(inquiry: Inquiry, length: int = LENGTH) -> Plan:
    """Estimate what `ask` would do; `length` is assumed of a reply until there are some.

    Writes nothing and calls nobody.
    """
    ledgers = journal.read(inquiry.folder).values()
    replies = {key: reply for ledger in ledgers for key, reply in ledger.replies.items()}
    left = pending(inquiry, replies)
    spent = sum((ledger.spent for ledger in ledgers), FREE)
    if not left:
        return Plan(num_prompts=len(inquiry.prompts), spent=spent)
    length, basis = _length(list(replies.values()), min(length, inquiry.config.max_tokens))
    texts = (request(inquiry.config, prompt)["messages"] for prompt in left.values())
    num_bytes = sum(len(message["content"].encode()) for text in texts for message in text)
    config = inquiry.config
    return Plan(
        num_prompts=len(inquiry.prompts),
        num_calls=len(left),
        expected=price(config, -(-num_bytes // BYTES_PER_TOKEN), length * len(left)),
        spent=spent,
        basis=basis,
        has_prices=max(config.usd_per_million_input, config.usd_per_million_output) > 0,
    )


def _asked(inquiry: Inquiry, book: journal.Journal) -> dict[str, Failure]:
    """Make the calls that are left; return the questions that only this run knows to fail."""
    left = pending(inquiry, book.replies)
    if not left:
        return {}
    from s1_data.endpoint.desk import Desk

    desk = Desk(inquiry, book, left)
    desk.work_off()
    return desk.failures


def pending(inquiry: Inquiry, replies: Mapping[str, Reply]) -> dict[str, Prompt]:
    """Find the prompts without an outcome yet, by the key of their first call."""
    distinct = {key(inquiry.config, prompt, 0): prompt for prompt in inquiry.prompts}
    return {k: p for k, p in distinct.items() if inquiry.recall(p, replies)[0] is None}


def key(config: EndpointConfig, prompt: Prompt, num: int) -> str:
    """Name the call that asks a prompt for the `num`-th time after the first."""
    digest = hashlib.sha256(json.dumps(request(config, prompt, num), sort_keys=True).encode())
    return f"{prompt.question_id}-{digest.hexdigest()[:32]}-{num}"


def request(config: EndpointConfig, prompt: Prompt, num: int = 0) -> dict[str, Any]:
    """Lay a call out: model, messages and decoding; asking again moves the seed on, if any."""
    messages = [] if prompt.system is None else [{"role": "system", "content": prompt.system}]
    messages.append({"role": "user", "content": prompt.text})
    fields = {
        "model": config.model,
        "messages": messages,
        "max_tokens": config.max_tokens,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "seed": None if config.seed is None else config.seed + num,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _length(replies: list[Reply], assumed: int) -> tuple[int, str]:
    lengths = [r.completion_tokens for r in replies if r.completion_tokens is not None]
    if len(lengths) < ENOUGH:
        return assumed, f"assuming {assumed:,} tokens a reply"
    mean = round(sum(lengths) / len(lengths))
    return mean, f"at the mean of {len(lengths)} replies, {mean:,} tokens"
