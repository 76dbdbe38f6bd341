"""A request for a strategy, read whole before anything runs: strategy, policy, budget, limits.

Refuses in one line, with the field as the client wrote it, what is not offered or contradicts
itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from s1_core.errors import UserError
from s1_serve.contract.api import Asked, Dialect, Refusal, read
from s1_serve.contract.fields import shown
from s1_serve.contract.tts import FIELD, Wanted, wanted
from s1_serve.server.tts.deployment import Deployment
from s1_serve.strategies import catalogue
from s1_serve.strategies.calls import Step
from s1_serve.strategies.known import Known
from s1_serve.strategies.policy import Policy
from s1_serve.strategies.session import Limits
from s1_serve.strategies.verifiers.config import EXACT
from s1_serve.strategies.wire.body import Client
from s1_serve.strategies.wire.steps import READ, Voice

_FOR_STEPS = frozenset(
    {
        *READ,
        *("n", "stream", "stream_options", "return_token_ids"),  # the reply's
        *("user", "request_id", "session_id", "parallel_tool_calls"),  # shape no answer
    }
)
"""what a search over steps of thinking honours: it writes its answers as text completions"""
_IDLE = {
    "response_format": {"type": "text"},
    "tool_choice": "none",
    "repetition_penalty": 1,
    "length_penalty": 1,
    "skip_special_tokens": True,
    "spaces_between_special_tokens": True,
    "add_generation_prompt": True,
}
"""values that ask for nothing, of fields where those are not false, zero or empty"""
_LONGEST_FAULT = 600

_TOKENS = "tokens"
"""the parameter of a strategy that chooses by what it may spend, which else the budget says"""


@dataclass(frozen=True, kw_only=True)
class House:
    """What all requests share."""

    name: str
    """The served model's."""
    known_fields: Collection[str]
    """Of the engine's model of a chat request."""
    engine_reads: Callable[[Mapping[str, Any]], dict[str, Any]]
    """Gives the plain fields of a chat request as the engine reads them, or refuses the request."""
    max_answers: int
    most_seats: int
    least: int
    """Tokens that an answer needs beside its thinking: delimiters and the answer's reserve."""
    deployment: Deployment
    voice: Voice | None = None


@dataclass(frozen=True, kw_only=True)
class Order:
    """A request that can be carried out."""

    body: Mapping[str, Any]
    """The client's, its plain fields as the engine reads them."""
    wanted: Wanted
    asked: Asked
    policy: Policy
    client: Client
    limits: Limits
    model: str
    """Whom the calls ask: what the client named, without the strategy behind it."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Give what the strategy runs with, defaults among them."""
        names = catalogue.parameters(self.wanted.strategy)
        return {name: getattr(self.policy, name) for name in names}


def ordered(body: bytes, house: House) -> Order | None:
    """Read a request; None where it wants no strategy, whatever its text mentions.

    Raises:
        Refusal: it wants what is not offered.
    """
    try:
        parsed = json.loads(body)
        json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None  # the contract has the words for it
    if not isinstance(parsed, dict):
        return None
    found = wanted(parsed, house.name, catalogue.POLICIES)
    if found is None:
        return None
    plain = {k: v for k, v in parsed.items() if k != FIELD}
    asked = read(Dialect.CHAT, plain, house.known_fields, house.max_answers)
    read_so = house.engine_reads(asked.body)
    asked = replace(asked, body=asked.body | read_so)
    policy = _policy(found, house.deployment)
    client = Client.of(asked, seed=found.seed, least=house.least)
    _refuse_for_steps(found.strategy, policy, client, house.known_fields)
    least = house.least + client.budget.min
    _refuse_few(found.total_tokens, least)
    concurrency = min(found.concurrency or house.most_seats, house.most_seats)
    limits = Limits(concurrency=concurrency, total_tokens=found.total_tokens, least=least)
    named = str(parsed.get("model") or house.name)
    return Order(
        body=parsed | read_so,
        wanted=found,
        asked=asked,
        policy=policy,
        client=client,
        limits=limits,
        model=house.name if named.startswith(f"{house.name}:") else named,
    )


def _policy(found: Wanted, deployment: Deployment) -> Policy:
    available, values = deployment.available(found.reference), dict(found.parameters)
    is_known = found.strategy in catalogue.POLICIES
    if found.total_tokens and is_known and _TOKENS in catalogue.parameters(found.strategy):
        values.setdefault(_TOKENS, found.total_tokens)
    try:
        policy = catalogue.build(found.strategy, values, available)
    except Refusal as refusal:
        raise Refusal(f"{FIELD}: {refusal.message}", f"{FIELD}.{refusal.field}") from refusal
    except UserError as error:
        raise _named(str(error), found) from error
    verifier = getattr(policy, "verifier", None)
    if found.reference is not None and verifier is not available.verifiers[EXACT]:
        field = f"{FIELD}.reference"
        advice = "another one judges here, name exact in tts.verifier or leave it out"
        if verifier is None:
            advice = f"{found.strategy} takes no verifier, leave it out"
        raise Refusal(f"{field} is for the verifier {EXACT}: {advice}", field)
    return policy


def _named(fault: str, found: Wanted) -> Refusal:
    """Name the parameter that a fault begins with, if it is one of the request."""
    if len(fault) > _LONGEST_FAULT:  # it repeats a value of the client's, and ends with advice
        half = _LONGEST_FAULT // 2
        fault = f"{fault[:half]}...{fault[-half:]}"
    word, space, rest = fault.partition(" ")
    key = word.removeprefix(f"{found.strategy}.")
    if key in found.parameters:
        return Refusal(f"{FIELD}.{key}{space}{rest}", f"{FIELD}.{key}")
    return Refusal(f"{FIELD}: {fault}", FIELD)


def _refuse_for_steps(
    strategy: str, policy: Policy, client: Client, known_fields: Collection[str]
) -> None:
    first = policy.decide(Known(question=client.question)).start
    if not any(isinstance(call, Step) for call in first):
        return
    for key, value in client.fields.items():
        if key in known_fields and key not in _FOR_STEPS and not _is_idle(key, value):
            why = f"{strategy} searches over steps of thinking, which know no {key}"
            raise Refusal(f"{key} is {shown(value)}: {why}; take another strategy", key)


def _is_idle(key: str, value: object) -> bool:
    """Say whether a field asks for nothing."""
    return value is None or (value == _IDLE[key] if key in _IDLE else not value)


def _refuse_few(total_tokens: int | None, least: int) -> None:
    if total_tokens is not None and total_tokens < least:
        field = "tts.budget.total_tokens"
        needed = f"one answer of this request needs {least} at least"
        raise Refusal(f"{field} is {total_tokens}: {needed}, raise it", field)
