"""Answers from a server that chats: a service of ours, or any other, within what it can do.

A budget is a field of the request; whether it was kept is seen in the counts that come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from s1_core import chat
from s1_core.errors import UserError
from s1_serve.budget.plan import Plan, RoomError
from s1_serve.completions import Completion, CompletionRequest
from s1_serve.contract.promise import Promise
from s1_serve.endpoint import Endpoint, Fruitless
from s1_serve.evaluate import specs
from s1_serve.evaluate.config import (
    BUDGET,
    CLASSES,
    FORCED,
    MAJORITY,
    NONE,
    STEPS,
    TOKENS,
    EvaluateConfig,
)
from s1_serve.evaluate.run import served, threads
from s1_serve.evaluate.run.asks import NOTHING, Answered, Answers, Ask, K
from s1_serve.evaluate.run.tokens import NO_STRATEGIES, Speech, Tokens, format_refusal
from s1_serve.evaluate.settings import Setting

CHAT = "/v1/chat/completions"
ELSEWHERE = (NONE, BUDGET, TOKENS, TOKENS + FORCED, STEPS, CLASSES, MAJORITY)
"""what a server can do that has a maximum at best"""
_DELIMITERS = 32
"""room for the delimiters of a model whose tokens are not known"""


class Service:
    """An Answerer over a service of ours: the served path, with the numbers of the plan."""

    def __init__(self, endpoint: Endpoint, speech: Speech, concurrency: int) -> None:
        self._endpoint, self._speech, self._concurrency = endpoint, speech, concurrency
        self._tokens = Tokens(Pool(endpoint, 1), speech, keeps_plans=False, shares=False)

    def refusal(self, setting: Setting) -> str | None:
        if setting.strategy and self._speech.format.counts_steps:
            return f"format {self._speech.format.name} counts steps: strategies need tokens"
        return format_refusal(setting, self._speech.format)

    def check(self, ask: Ask) -> None:
        self._tokens.check(ask)

    def work(self, asks: Iterable[tuple[K, Ask]], done: Answers[K]) -> None:
        threads.work(self._answer, asks, _timed(done), self._concurrency)

    def _answer(self, ask: Ask) -> Answered:
        if ask.strategy:
            return self._strategic(ask)
        return self._plain(ask) if ask.budget is None else self._budgeted(ask)

    def _plain(self, ask: Ask) -> Answered:
        """Complete without a budget: in a chat the service always has one."""
        steps = self._tokens.asking(ask)
        request = next(steps)
        assert isinstance(request, CompletionRequest)
        (completion,) = self._endpoint.complete([request])
        try:
            steps.send(completion)
        except StopIteration as stop:
            return self._tokens.read(stop.value, ask, 0.0)
        raise AssertionError("an answer without forcing is one request")

    def _strategic(self, ask: Ask) -> Answered:
        """Let the service run a strategy; every call of it has the budget of the ask."""
        assert ask.budget is not None
        name, parameters = specs.sized(ask.strategy)
        told = {"strategy": name, "seed": ask.sampling.seed, "return_candidates": True}
        body = _body(self._endpoint, ask) | {"tts": told | parameters}
        plan, is_bound = self._speech.plan(ask), ask.budget.max not in (None, -1)
        if is_bound:
            body |= {"thinking_token_budget": plan.maximum, "max_tokens": plan.room}
        try:
            reply = self._endpoint.call("POST", CHAT, body, self._endpoint.strategy_timeout_s)
        except Fruitless as error:
            return served.chosen(replace(NOTHING, maximum=plan.maximum), error.tts)
        found = _read(reply, self._speech.format, plan.maximum)
        thinking = reply["choices"][0].get("thinking")  # nothing by a model of another kind
        maximum: int = thinking["max"] if thinking else plan.maximum
        is_kept = not is_bound or maximum <= plan.maximum
        return served.chosen(replace(found, maximum=maximum, is_kept=is_kept), reply.get("tts"))

    def _budgeted(self, ask: Ask) -> Answered:
        assert ask.budget is not None
        plan = self._speech.plan(ask)
        body = _body(self._endpoint, ask) | {
            "thinking_token_budget": plan.maximum,
            "min_thinking_tokens": plan.minimum,
            "num_extends": plan.extends,
            "extend_with": ask.budget.extend_with,
            "max_tokens": plan.room,
        }
        reply = self._endpoint.call("POST", CHAT, body)
        found = _read(reply, self._speech.format, plan.maximum)
        return replace(
            found,
            # The service counts the stop token, an outcome does not.
            output_tokens=found.output_tokens - (found.finish_reason == "stop"),
            is_kept=_is_kept(reply["choices"][0].get("thinking"), plan),
        )


class Elsewhere:
    """An Answerer over any other server that chats; the budget is vLLM's field."""

    def __init__(self, endpoint: Endpoint, fmt: chat.Format, config: EvaluateConfig) -> None:
        self._endpoint, self._format = endpoint, fmt
        self._answer_tokens, self._concurrency = config.answer_tokens, config.concurrency

    def refusal(self, setting: Setting) -> str | None:
        if setting.strategy:
            return NO_STRATEGIES
        if setting.method not in ELSEWHERE:
            return "the server only chats: it returns no token ids, and its budgets have no extends"
        return None

    def check(self, ask: Ask) -> None:
        """Look at the context, where the server tells it; the prompt's length is not known."""
        maximum = ask.budget.max if ask.budget else None
        context = self._endpoint.context
        if context and maximum and self._most(maximum) >= context:
            raise RoomError(
                f"a maximum of {maximum} thinking tokens and the answer take"
                f" {self._most(maximum)} tokens, the context has {context}"
            )

    def work(self, asks: Iterable[tuple[K, Ask]], done: Answers[K]) -> None:
        threads.work(self._answer, asks, _timed(done), self._concurrency)

    def _answer(self, ask: Ask) -> Answered:
        body, maximum = _body(self._endpoint, ask), ask.budget.max if ask.budget else None
        if maximum is None or maximum == -1:
            return _read(self._endpoint.call("POST", CHAT, body), self._format, None)
        body |= {"thinking_token_budget": maximum}
        body |= {"max_tokens": self._most(maximum)}
        return _read(self._endpoint.call("POST", CHAT, body), self._format, maximum)

    def _most(self, maximum: int) -> int:
        return maximum + self._answer_tokens + _DELIMITERS


class Words:
    """A Codec over a server that may be busy; a text is encoded once."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._known: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str) -> tuple[int, ...]:
        if text not in self._known:
            self._known[text] = threads.patient(self._endpoint.encode, text)
        return self._known[text]

    def decode(self, ids: Sequence[int]) -> str:
        return str(threads.patient(self._endpoint.decode, ids))


class Pool:
    """A Worker over a server that completes token ids, some requests at the same time."""

    def __init__(self, endpoint: Endpoint, concurrency: int) -> None:
        self._endpoint, self._concurrency = endpoint, concurrency

    def work(self, jobs: Any, done: Any) -> None:
        threads.work(self._complete, jobs, done, self._concurrency)

    def _complete(self, request: CompletionRequest) -> Completion:
        return self._endpoint.complete([request])[0]


def _is_kept(told: dict[str, Any] | None, plan: Plan) -> bool:
    """Say whether the budget in force was the one asked for."""
    if told is None:
        return False
    promise = Promise(
        maximum=plan.maximum,
        minimum=plan.minimum,
        extends=plan.extends,
        extend_tokens=len(plan.extend_ids(told["extends"])),
    )
    return promise.is_in_force(told)


def _timed(done: Answers[K]) -> Any:
    """Put the seconds of a call into its answer."""

    def timed(key: K, answered: Answered, seconds: float) -> Iterable[tuple[K, Ask]]:
        return done(key, replace(answered, seconds=seconds))

    return timed


def _body(endpoint: Endpoint, ask: Ask) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": ask.question}],
        "temperature": ask.sampling.temperature,
    }
    return body if ask.sampling.is_greedy else body | {"seed": ask.sampling.seed}


def _read(reply: dict[str, Any], fmt: chat.Format, maximum: int | None) -> Answered:
    """Read a chat completion; thinking may stand apart, or in the text behind its delimiters."""
    try:
        choice, usage = reply["choices"][0], reply.get("usage") or {}
        message, reason = choice["message"], choice["finish_reason"]
    except (KeyError, IndexError, TypeError) as error:
        raise UserError("no chat completion came back: is it an API server?") from error
    thinking = message.get("reasoning") or message.get("reasoning_content") or ""
    answer = message.get("content") or ""
    if not thinking and chat.end_string(fmt) in answer:
        thinking, said = chat.split(fmt, answer.partition(fmt.thinking_start)[2] or answer)
        answer = said or ""
    details = usage.get("completion_tokens_details") or {}
    told = choice.get("thinking") or {}
    tokens = told.get("tokens", details.get("reasoning_tokens"))
    is_cut = maximum is not None and tokens is not None and tokens >= maximum
    ended = "budget" if is_cut else "length" if reason == "length" and not answer else "natural"
    return Answered(
        thinking=thinking.strip(),
        answer=answer.strip(),
        thinking_tokens=tokens,
        output_tokens=usage.get("completion_tokens", 0),
        end=told.get("end", ended),
        extends=told.get("extends", 0),
        finish_reason="length" if reason == "length" else "stop",
        maximum=maximum,
        seconds=0.0,
    )
