"""Strategies as a command line writes them: majority@8, adaptive:n_max=64,threshold=10.

Owns the short form with @ and what counts as the size of a policy; the rest is the catalogue's.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from s1_core.errors import UserError
from s1_serve.strategies import catalogue
from s1_serve.strategies.policy import Policy

SIZES = ("n_max", "n", "trials")
"""the parameter that says how many samples there are at most, the first that a policy has"""
_SHORT = re.compile(r"([a-z-]+)@(\d+)")
_MORE = re.compile(r"\w+=")


def joined(words: Sequence[str]) -> tuple[str, ...]:
    """Put specs together again that a command line cut at every comma."""
    found: list[str] = []
    for word in words:
        if found and _MORE.match(word):
            found[-1] += f",{word}"
        else:
            found.append(word)
    return tuple(found)


def sized(text: str) -> tuple[str, dict[str, Any]]:
    """Read a strategy and its parameters; NAME@N sets its size.

    Raises:
        UserError: it is of another form, or has no size.
    """
    short = _SHORT.fullmatch(text)
    if not short:
        return catalogue.parse(text)
    name, size = short[1], int(short[2])
    known = catalogue.parameters(name) if name in catalogue.POLICIES else {"n": 0}
    parameter = next((each for each in SIZES if each in known), None)
    if parameter is None:
        raise UserError(f"{text}: {name} has no size: write {name}:key=value,key=value")
    return name, {parameter: size}


def known(text: str) -> None:
    """Refuse a strategy that there is not; its parameters are checked where it is built.

    Raises:
        UserError: naming those there are.
    """
    name, _ = sized(text)
    if name not in catalogue.POLICIES:
        catalogue.build(name, {}, catalogue.Available())


def budgets(text: str) -> list[float]:
    """List the maxima that a strategy sets for its calls itself; none where the run's holds."""
    _, given = sized(text)
    found = given.get("budgets")
    return found if isinstance(found, list) else []


def size(text: str) -> int:
    """Tell how many samples a strategy draws at most; 1 where it has no such parameter."""
    name, given = sized(text)
    told = catalogue.parameters(name) | given
    return next((int(told[each]) for each in SIZES if each in told), 1)


def size_of(policy: Policy) -> int:
    """Tell how many samples a policy draws at most; 1 where it draws none side by side."""
    return next((int(getattr(policy, each)) for each in SIZES if hasattr(policy, each)), 1)


def variant(policy: Policy) -> str:
    """Name a policy with what it was told besides its size: adaptive@k (threshold 10)."""
    fields = dataclasses.fields(policy)  # type: ignore[arg-type]
    told = [
        f"{field.name} {value}"
        for field in fields
        if field.name not in SIZES and not field.metadata.get("is_given")
        if (value := getattr(policy, field.name)) != field.default
    ]
    size = "@k" if any(field.name in SIZES for field in fields) else ""
    return f"{policy.name}{size} ({', '.join(told)})" if told else f"{policy.name}{size}"
