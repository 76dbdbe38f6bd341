"""The fields of a request that speak of thinking, under all their names, read strictly.

Pure. Null counts as absent. Refuses a value of another type or range and a key that an object of
ours does not have, in one line with the field as the client wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from s1_core.errors import UserError

LARGEST = 2**31 - 1
MOST_STRINGS = 64
LONGEST_STRING = 1000
SHARES = {"none": 0.0, "minimal": 1 / 64, "low": 1 / 16, "medium": 1 / 4, "high": 3 / 4}
SHARES |= {"xhigh": 1.0, "max": 1.0}
"""of the context, which an effort grants to thinking; none is an explicit maximum of 0"""
CANONICAL = ("thinking_token_budget", "min_thinking_tokens", "num_extends", "extend_with")
ALIASES = (
    *("thinking_budget", "enable_thinking", "reasoning", "reasoning_effort", "thinking"),
    *("output_config", "nvext", "include_reasoning", "chat_template_kwargs"),
)
_SWITCHES = ("enable_thinking", "thinking")
_TRAPPED = {*CANONICAL, *ALIASES, "max_thinking_tokens", "effort"}.difference(_SWITCHES)
_KINDS = ("enabled", "disabled", "adaptive")
_ROOMS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


class Refusal(UserError):
    """The client's fault, answered with HTTP 400; `field` is the one to change, if it is one."""

    def __init__(self, message: str, field: str | None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


def shown(value: object) -> str:
    """Write a value in one printable line of at most 80 characters."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    text = repr(value[:80]) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def named(key: str) -> str:
    """Write a key as the client did, unless it would not be one short printable line."""
    return key if len(key) <= 80 and key.isprintable() else shown(key)


def count(field: str, value: object, lowest: int) -> int | None:
    """Read a whole number from `lowest`; -1 as the lowest stands for what fits."""
    if value is None or (type(value) is int and lowest <= value <= LARGEST):
        return value
    kind = {float: ", fractional", str: ", a string"}.get(type(value), "")
    wanted = f"a whole number from {max(lowest, 0)} to {LARGEST}"
    fits = ", or -1 for what fits" if lowest == -1 else ""
    raise Refusal(f"{field} is {shown(value)}{kind}: give {wanted}{fits}", field)


def flag(field: str, value: object) -> bool | None:
    """Read true or false."""
    if value is None or isinstance(value, bool):
        return value
    raise Refusal(f"{field} is {shown(value)}: give true or false", field)


def word(field: str, value: object, words: Collection[str]) -> str | None:
    """Read one of `words`."""
    if value is None or (isinstance(value, str) and value in words):
        return value
    raise Refusal(f"{field} is {shown(value)}: give one of {', '.join(words)}", field)


def strings(field: str, value: object) -> str | list[str] | None:
    """Read a string, or a list of them, that a tokenizer takes."""
    if value is None:
        return None
    listed: list[Any] = value if isinstance(value, list) else [value]
    if not 1 <= len(listed) <= MOST_STRINGS:
        raise Refusal(f"{field} has {len(listed)} strings: give 1 to {MOST_STRINGS}", field)
    for one in listed:
        if not isinstance(one, str):
            wanted = "a string or a list of strings"
        elif len(one) > LONGEST_STRING:
            wanted = f"at most {LONGEST_STRING} characters, not {len(one)}"
        elif any("\ud800" <= letter <= "\udfff" for letter in one):
            wanted = "whole characters, not half of a surrogate pair"
        else:
            continue
        raise Refusal(f"{field} holds {shown(one)}: give {wanted}", field)
    return list(listed) if isinstance(value, list) else str(value)


@dataclass(frozen=True)
class Fields:
    """A copy of an object of the request, from which fields are taken out as they are read."""

    rest: dict[str, Any]
    path: str = ""

    def name(self, key: str) -> str:
        """Give the dotted path of a field."""
        return f"{self.path}.{named(key)}" if self.path else named(key)

    def take(self, key: str) -> Any:
        """Take a field out; None where it is absent."""
        return self.rest.pop(key, None)

    def open(self, key: str, known: Collection[str] | None = None) -> Fields | None:
        """Take out an object of ours, without its nulls; None `known`: of others, as it is."""
        found, path = self.take(key), self.name(key)
        if found is None:
            return None
        if not isinstance(found, dict):
            raise Refusal(f"{path} is {shown(found)}: give an object", path)
        if known is None:
            return Fields(dict(found), path)
        inside = Fields({name: value for name, value in found.items() if value is not None}, path)
        if strangers := [inside.name(name) for name in inside.rest if name not in known]:
            wanted = f"give {path} only {', '.join(known)}"
            raise Refusal(f"{strangers[0]} is unknown: {wanted}", strangers[0])
        return inside

    def put_back(self, inside: Fields) -> None:
        """Leave to the engine what is not ours in an object."""
        if inside.rest:
            self.rest[inside.path] = inside.rest


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one field says; with none of the four, only that a budget is wanted."""

    field: str
    value: object
    maximum: int | None = None
    effort: float | None = None
    thinks: bool = False
    """There is thinking, of whatever length."""
    shows: bool | None = None

    def contradicts(self, other: Said) -> bool:
        """Say whether both cannot hold; a maximum of -1 agrees with no other."""
        if self.thinks or other.thinks:
            return 0 in (self.maximum, other.maximum)
        lengths = {(one.maximum, one.effort) for one in (self, other)} - {(None, None)}
        return len(lengths) > 1 or {self.shows, other.shows} == {True, False}


def said(body: Fields) -> Iterator[Said]:
    """Take the fields with aliases out of a request, and say what they say, one after the other."""
    yield from _maximum(body, "thinking_token_budget")
    yield from _maximum(body, "thinking_budget")
    yield from _switch(body, "enable_thinking")
    yield from _effort(body, "reasoning_effort")
    if (shows := flag("include_reasoning", body.take("include_reasoning"))) is not None:
        yield Said(field="include_reasoning", value=shows, shows=shows)
    yield from _reasoning(body)
    yield from _thinking(body)
    if (output := body.open("output_config", ("effort", "format"))) is not None:
        yield from _effort(output, "effort")
        body.put_back(output)
    if (nvext := body.open("nvext", ("max_thinking_tokens",))) is not None:
        yield from _maximum(nvext, "max_thinking_tokens")
    yield from _template(body)


def _maximum(fields: Fields, key: str) -> Iterator[Said]:
    if (found := count(fields.name(key), fields.take(key), -1)) is not None:
        yield Said(field=fields.name(key), value=found, maximum=found)


def _switch(fields: Fields, key: str) -> Iterator[Said]:
    if (found := flag(fields.name(key), fields.take(key))) is not None:
        most = None if found else 0
        yield Said(field=fields.name(key), value=found, maximum=most, thinks=found)


def _effort(fields: Fields, key: str) -> Iterator[Said]:
    found = word(fields.name(key), fields.take(key), SHARES)
    if found == "none":
        yield Said(field=fields.name(key), value=found, maximum=0)
    elif found is not None:
        yield Said(field=fields.name(key), value=found, effort=SHARES[found])


def _reasoning(body: Fields) -> Iterator[Said]:
    """Read OpenRouter's object, which holds OpenAI's; a summary is the engine's matter."""
    known = ("effort", "max_tokens", "exclude", "enabled", "summary", "generate_summary")
    if (inside := body.open("reasoning", known)) is None:
        return
    if {"effort", "max_tokens"} <= inside.rest.keys():
        effort, most = shown(inside.rest["effort"]), shown(inside.rest["max_tokens"])
        both = f"reasoning.effort is {effort} and reasoning.max_tokens is {most}"
        raise Refusal(f"{both}: give one of them", "reasoning.max_tokens")
    yield from _effort(inside, "effort")
    yield from _maximum(inside, "max_tokens")
    yield from _switch(inside, "enabled")
    if (hides := flag("reasoning.exclude", inside.take("exclude"))) is not None:
        yield Said(field="reasoning.exclude", value=hides, shows=not hides)
    body.put_back(inside)


def _thinking(body: Fields) -> Iterator[Said]:
    """Read Anthropic's object, with its own limits."""
    if (inside := body.open("thinking", ("type", "budget_tokens", "display"))) is None:
        return
    if (kind := word("thinking.type", inside.take("type"), _KINDS)) is None:
        raise Refusal(f"thinking.type is missing: give one of {', '.join(_KINDS)}", "thinking.type")
    field, found = "thinking.budget_tokens", inside.take("budget_tokens")
    if kind == "enabled":
        budget = _anthropic_budget(body, field, found)
        yield Said(field=field, value=budget, maximum=budget)
    elif found is not None:
        both = f"{field} is {shown(found)} and thinking.type is {shown(kind)}"
        raise Refusal(f"{both}: leave it out or give the type enabled", field)
    else:
        most = 0 if kind == "disabled" else None
        yield Said(field="thinking.type", value=kind, maximum=most)
    displays = ("summarized", "omitted", "updates")
    if word("thinking.display", inside.take("display"), displays) == "omitted":
        yield Said(field="thinking.display", value="omitted", shows=False)


def _anthropic_budget(body: Fields, field: str, found: object) -> int:
    if (budget := count(field, found, 1024)) is None:
        raise Refusal(f"{field} is missing, thinking.type is 'enabled': give it, from 1024", field)
    for name in _ROOMS:
        room = body.rest.get(name)
        if type(room) is int and budget >= room:
            both = f"{field} is {budget} and {name} is {shown(room)}"
            raise Refusal(f"{both}: give a budget below {name}", field)
    return budget


def _template(body: Fields) -> Iterator[Said]:
    """Read the switches of chat templates; a budget there would reach nobody (vLLM #50166)."""
    if (inside := body.open("chat_template_kwargs")) is None:
        return
    for key in [key for key in inside.rest if key in _TRAPPED or "budget" in key.lower()]:
        if (value := inside.take(key)) is not None:
            root = key if key in (*CANONICAL, *ALIASES) else CANONICAL[0]
            advice = f"a chat template keeps no budget, put {root} at the root of the request"
            raise Refusal(f"{inside.name(key)} is {shown(value)}: {advice}", inside.name(key))
    for key in _SWITCHES:
        yield from _switch(inside, key)
    body.put_back(inside)
