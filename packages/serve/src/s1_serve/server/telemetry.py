"""What the service tells of itself: Prometheus metrics of thinking, one JSON line a request.

No prompt and no answer is written unless asked for.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any, get_args

from prometheus_client import Counter, Histogram

from s1_serve.budget.plan import End
from s1_serve.contract.exchange import Exchange
from s1_serve.contract.thought import Thought
from s1_serve.server.tts.delivery import Delivery
from s1_serve.strategies.catalogue import POLICIES
from s1_serve.strategies.http_driver import LEFT
from s1_serve.strategies.session import OUT_OF_TIME, OUT_OF_TOKENS

_TOKENS = (0, 16, 64, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
_ABORTED = "aborted"
_REFUSED = ("400", "401", "413", "429", "500", "502", "503", "504")
_STRATEGY_STATUS = ("200", "400", "499", "500", "502", "504")
_MANY = (64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.999, 1)


@dataclass(frozen=True)
class Telemetry:
    """Counts finished answers. Build one a process: metrics have names."""

    thinking: Histogram = field(
        default_factory=lambda: Histogram(
            "s1_thinking_tokens", "Thinking tokens of an answer", buckets=_TOKENS
        )
    )
    extends: Counter = field(
        default_factory=lambda: Counter("s1_extends", "Attempts to end that were extended")
    )
    ends: Counter = field(
        default_factory=lambda: Counter("s1_thinking_ends", "How thinking ended", ["end"])
    )
    use: Histogram = field(
        default_factory=lambda: Histogram(
            "s1_budget_use", "Share of the maximum that was thought", buckets=_SHARES
        )
    )
    first_thinking: Histogram = field(
        default_factory=lambda: Histogram(
            "s1_time_to_first_thinking_token_seconds", "Of streams", buckets=_SECONDS
        )
    )
    first_answer: Histogram = field(
        default_factory=lambda: Histogram(
            "s1_time_to_first_answer_token_seconds", "Of streams", buckets=_SECONDS
        )
    )
    strategies: Counter = field(
        default_factory=lambda: Counter(
            "s1_strategies", "Strategies that ran, by their HTTP status", ["strategy", "status"]
        )
    )
    strategy_tokens: Histogram = field(
        default_factory=lambda: Histogram(
            "s1_strategy_tokens", "Tokens of all calls of a request", ["strategy"], buckets=_MANY
        )
    )
    strategy_aborted: Counter = field(
        default_factory=lambda: Counter(
            "s1_strategy_aborted_tokens", "Tokens of calls that were stopped", ["strategy"]
        )
    )
    strategy_seconds: Histogram = field(
        default_factory=lambda: Histogram(
            "s1_strategy_seconds", "From request to answer", ["strategy"], buckets=_SECONDS
        )
    )
    refusals: Counter = field(
        default_factory=lambda: Counter("s1_refusals", "Requests that failed", ["status"])
    )

    def __post_init__(self) -> None:
        """Start every series at 0: a rate never sees the first count of one born with it."""
        for end in (*get_args(End), _ABORTED):
            self.ends.labels(end)
        for status in _REFUSED:
            self.refusals.labels(status)
        for name in POLICIES:
            for status in _STRATEGY_STATUS:
                self.strategies.labels(name, status)
            self.strategy_tokens.labels(name)
            self.strategy_aborted.labels(name)
            self.strategy_seconds.labels(name)

    def observe_strategy(self, delivery: Delivery) -> None:
        """Count a strategy that ran."""
        name, tokens = delivery.reply.strategy, delivery.reply.session.tokens
        self.strategies.labels(name, str(delivery.status)).inc()
        self.strategy_tokens.labels(name).observe(tokens.total)
        self.strategy_aborted.labels(name).inc(tokens.aborted)
        self.strategy_seconds.labels(name).observe(delivery.wall_ms / 1000)

    def observe(self, exchange: Exchange) -> None:
        """Count the answers of an exchange."""
        for thought in exchange.thoughts:
            self._observe(thought)

    def _observe(self, thought: Thought) -> None:
        if thought.thinking_after_s is not None:
            self.first_thinking.observe(thought.thinking_after_s)
        if thought.answer_after_s is not None:
            self.first_answer.observe(thought.answer_after_s)
        if thought.summary is None:
            self.ends.labels(_ABORTED).inc()
            return
        self.thinking.observe(thought.summary["tokens"])
        self.extends.inc(thought.summary["extends"])
        self.ends.labels(thought.summary["end"]).inc()
        if thought.plan.maximum:
            self.use.observe(thought.summary["tokens"] / thought.plan.maximum)


def log(**fields: Any) -> None:
    """Write one line of JSON to stderr."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z"
    sys.stderr.write(json.dumps({"time": stamp, **fields}, ensure_ascii=False) + "\n")
    sys.stderr.flush()


def told(exchange: Exchange, *, with_prompt: bool) -> dict[str, Any]:
    """Say in numbers what an exchange was; its words only when asked."""
    fields: dict[str, Any] = {
        "prompt_tokens": exchange.prompt_tokens,
        "thinking": [thought.summary for thought in exchange.thoughts],
        "completion_tokens": sum(len(thought.ids) for thought in exchange.thoughts),
    }
    if with_prompt:
        fields["request"] = exchange.asked.body
    return fields


def told_strategy(delivery: Delivery, *, with_prompt: bool) -> dict[str, Any]:
    """Say in numbers what a strategy did; the request's words only when asked."""
    reply = delivery.reply
    session = reply.session
    usage = reply.usage()
    outcome = session.outcome
    ends = (OUT_OF_TIME, OUT_OF_TOKENS, LEFT)
    fields: dict[str, Any] = {
        "strategy": reply.strategy,
        "parameters": dict(reply.parameters),
        **session.counts(),
        "prompt_tokens": usage["prompt_tokens"],
        "completion_tokens": usage["completion_tokens"],
        "aborted_tokens": session.tokens.aborted,
        "verifier_tokens": session.tokens.verifier,
        "stopped": outcome.stopped if outcome and outcome.stopped in ends else None,
        "degraded": outcome.is_degraded if outcome else None,
    }
    if with_prompt:
        fields["request"] = dict(reply.body)
    return fields
