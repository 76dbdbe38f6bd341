"""What a service of ours says of a strategy that it ran: the object `tts` of a chat completion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from s1_core.errors import UserError
from s1_serve.evaluate.run.asks import Answered, Spent
from s1_serve.evaluate.run.strategists import decision, ended


def chosen(found: Answered, tts: Mapping[str, Any] | None) -> Answered:
    """Put what a strategy cost into the answer that it chose.

    Raises:
        UserError: the reply says nothing of a strategy.
    """
    try:
        told = tts or {}
        own, spent = _own_tokens(found, told), _spent(told)
        return replace(found, output_tokens=own, end=ended(found.end), spent=spent)
    except (KeyError, TypeError) as error:
        raise UserError("the reply says nothing of its strategy: update the service") from error


def _own_tokens(found: Answered, tts: Mapping[str, Any]) -> int:
    """Count the tokens of the chosen candidate and what it continues; `usage` counts all."""
    known = {one["id"]: one for one in tts.get("candidates") or ()}
    name, tokens = tts.get("selected"), 0
    if name not in known:
        return found.output_tokens
    while name is not None:
        tokens += int(known[name]["tokens"])
        name = known[name].get("parent")
    return tokens


def _spent(tts: Mapping[str, Any]) -> Spent:
    tokens = tts["tokens"]
    return Spent(
        total_tokens=int(tokens["total"]),
        sequential_tokens=int(tokens["sequential"]),
        aborted_tokens=int(tokens["aborted"]),
        verifier_tokens=int(tokens["verifier"]),
        num_started=int(tts["started"]),
        num_aborted=int(tts["aborted"]),
        is_degraded=bool(tts["degraded"]),
        decision=decision(
            selected=tts.get("selected"),
            votes=tts.get("votes") or {},
            margin=tts.get("margin"),
            why=str(tts.get("stopped") or ""),
        ),
    )
