"""A request for a strategy, read whole before anything runs: strategy, policy, budget, limits.

Refuses in one line, with the field as the client wrote it, what is not offered or contradicts
itself.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
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
from s1_serve.strategies.wire.body import Client
from s1_serve.strategies.wire.steps import Voice

_FOR_WHOLE_ANSWERS = ("tools", "response_format", "structured_outputs", "logprobs", "stop")
"""what a search over steps of thinking cannot honour: it writes its answers as text completions"""

_TOKENS = "tokens"
"""the parameter of a strategy that chooses by what it may spend, which else the budget says"""


@dataclass(frozen=True, kw_only=True)
class House:
    """What all requests share."""

    name: str
    """The served model's."""
    known_fields: Collection[str]
    """Of the engine's model of a chat request."""
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
    policy = _policy(found, house.deployment)
    client = Client.of(asked, seed=found.seed, least=house.least)
    _refuse_for_steps(found.strategy, policy, client, parsed)
    least = house.least + client.budget.min
    _refuse_few(found.total_tokens, least)
    concurrency = min(found.concurrency or house.most_seats, house.most_seats)
    limits = Limits(concurrency=concurrency, total_tokens=found.total_tokens, least=least)
    named = str(parsed.get("model") or house.name)
    return Order(
        body=parsed,
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
        return catalogue.build(found.strategy, values, available)
    except UserError as error:
        raise _named(str(error), found) from error


def _named(fault: str, found: Wanted) -> Refusal:
    """Name the parameter that a fault begins with, if it is one of the request."""
    word, space, rest = fault.partition(" ")
    key = word.removeprefix(f"{found.strategy}.")
    if key in found.parameters:
        return Refusal(f"{FIELD}.{key}{space}{rest}", f"{FIELD}.{key}")
    return Refusal(f"{FIELD}: {fault}", FIELD)


def _refuse_for_steps(
    strategy: str, policy: Policy, client: Client, body: Mapping[str, Any]
) -> None:
    first = policy.decide(Known(question=client.question)).start
    if not any(isinstance(call, Step) for call in first):
        return
    for key in _FOR_WHOLE_ANSWERS:
        if body.get(key):
            why = f"{strategy} searches over steps of thinking, which know no {key}"
            raise Refusal(f"{key} is {shown(body[key])}: {why}; take another strategy", key)


def _refuse_few(total_tokens: int | None, least: int) -> None:
    if total_tokens is not None and total_tokens < least:
        field = "tts.budget.total_tokens"
        needed = f"one answer of this request needs {least} at least"
        raise Refusal(f"{field} is {total_tokens}: {needed}, raise it", field)
