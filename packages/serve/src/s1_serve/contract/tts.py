"""The field `tts` of a chat request: which strategy, its parameters, and what it may use.

Pure. A strategy is named there or behind the model's name (`id:strategy`). Refuses what would be
ignored, in one line with the field as the client wrote it; which parameters a strategy has is the
catalogue's to say.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from s1_serve.contract.api import Refusal
from s1_serve.contract.fields import LARGEST, Fields, count, flag, shown

FIELD = "tts"
MOST_CONCURRENT = 1024
_BUDGET = ("total_tokens", "deadline_ms")
LONGEST_REFERENCE = 10_000
NO_ANSWER = "strategy_error"
"""the type of an error: a strategy ran and came to no answer, and would again"""
_BESIDE = {
    "n": "the strategy says how many samples there are",
    "echo": "there is no one prompt to repeat",
    "use_beam_search": "its samples are no sampled answers",
    "prompt_logprobs": "there is no one prompt",
    "continue_final_message": "samples begin with thinking of their own",
    "return_prompt_text": "there is no one prompt",
}
"""fields of chat requests that no strategy can honour"""
_OFF = {"n": 1, "prompt_logprobs": None}
"""their values that ask for nothing, where those are not false"""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A strategy as a request asks for it."""

    strategy: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    concurrency: int | None = None
    total_tokens: int | None = None
    deadline_ms: int | None = None
    returns_candidates: bool = False
    reference: str | None = None
    """The right answer, for the verifier that compares with it."""


def mentions(body: bytes, name: str) -> bool:
    """Say whether a request may want a strategy, by its bytes: all others are never parsed."""
    behind = json.dumps(f"{name}:")[:-1].encode()
    return b'"tts"' in body or behind in body or f'"{name}:'.encode() in body


def wanted(body: Mapping[str, Any], name: str, strategies: Collection[str]) -> Wanted | None:
    """Read what a chat request says of a strategy; `name` is the served model's.

    Raises:
        Refusal: it is malformed, contradicts itself, or stands beside what no strategy honours.
    """
    suffix = _suffix(body.get("model"), name, strategies)
    given = Fields(dict(body)).open(FIELD)
    if given is None and suffix is None:
        return None
    given = given or Fields({}, FIELD)
    inside = Fields({k: v for k, v in given.rest.items() if v is not None}, FIELD)
    strategy = _strategy(inside.take("strategy"), suffix, strategies)
    _refuse_beside(body)
    budget = inside.open("budget", _BUDGET)
    return Wanted(
        strategy=strategy,
        seed=count("tts.seed", inside.take("seed"), 0),
        concurrency=_positive("tts.concurrency", inside.take("concurrency"), MOST_CONCURRENT),
        total_tokens=_positive("tts.budget.total_tokens", _of(budget, "total_tokens")),
        deadline_ms=_positive("tts.budget.deadline_ms", _of(budget, "deadline_ms")),
        reference=_reference(inside.take("reference")),
        returns_candidates=bool(flag("tts.return_candidates", inside.take("return_candidates"))),
        parameters=inside.rest,
    )


def _suffix(model: object, name: str, strategies: Collection[str]) -> str | None:
    """Give the strategy that a model's name asks for; an unknown model is the engine's to refuse"""
    if not isinstance(model, str) or not model.startswith(f"{name}:"):
        return None
    found = model.removeprefix(f"{name}:")
    if found not in strategies:
        listed = ", ".join(strategies)
        raise Refusal(f"model is {shown(model)}: behind {name}: give one of {listed}", "model")
    return found


def _strategy(given: object, suffix: str | None, strategies: Collection[str]) -> str:
    if given is None and suffix is None:
        listed = ", ".join(strategies)
        raise Refusal(f"tts.strategy is missing: give one of {listed}", "tts.strategy")
    if given is not None and not isinstance(given, str):
        raise Refusal(f"tts.strategy is {shown(given)}: give a name", "tts.strategy")
    if suffix is not None and given not in (None, suffix):
        both = f"tts.strategy is {shown(given)} and the model's name asks for {shown(suffix)}"
        raise Refusal(f"{both}: they contradict, give one of them", "tts.strategy")
    return str(suffix if given is None else given)


def _reference(given: object) -> str | None:
    is_good = isinstance(given, str) and len(given.strip()) > 0 and len(given) <= LONGEST_REFERENCE
    if given is None or is_good:
        return None if given is None else str(given)
    wanted = f"give the right answer as a text of at most {LONGEST_REFERENCE} characters"
    raise Refusal(f"tts.reference is {shown(given)}: {wanted}", "tts.reference")


def _of(fields: Fields | None, key: str) -> object:
    return None if fields is None else fields.take(key)


def _positive(name: str, value: object, most: int = LARGEST) -> int | None:
    found = value if value is None or type(value) is int else None
    if value is not None and (found is None or not 1 <= found <= most):
        raise Refusal(f"{name} is {shown(value)}: give a whole number from 1 to {most}", name)
    return found


def _refuse_beside(body: Mapping[str, Any]) -> None:
    for key, why in _BESIDE.items():
        value, off = body.get(key), _OFF.get(key, False)
        if value is not None and not (type(value) is type(off) and value == off):
            raise Refusal(f"{key} is {shown(value)} beside tts: {why}, leave it out", key)
    if body.get("top_logprobs") == -1:
        key = "top_logprobs"
        raise Refusal(f"{key} is -1 beside tts: say how many, all are more than is allowed", key)
    if body.get("add_generation_prompt") is False:
        key = "add_generation_prompt"
        raise Refusal(f"{key} is false beside tts: {_BESIDE['continue_final_message']}", key)
