"""All strategies by name, and how a request becomes a policy.

Refuses, with what is valid, unknown names and parameters, values of a wrong type, and strategies
that need what this server does not have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, get_type_hints

from s1_core.errors import UserError
from s1_serve.strategies.parallel.majority import Majority
from s1_serve.strategies.policy import Policy
from s1_serve.strategies.verifiers.verifier import Verifier

POLICIES: dict[str, type[Policy]] = {policy.name: policy for policy in (Majority,)}


@dataclass(frozen=True, kw_only=True)
class Available:
    """What a deployment has besides its engine, by the names that requests use."""

    verifiers: Mapping[str, Verifier] = field(default_factory=dict)
    """The first one is taken where a request names none."""
    models: tuple[str, ...] = ()
    """Other models, for cascades."""
    calibration: Any = None
    """What `just calibrate` found, for `auto`; None where it was not run."""


def build(name: str, parameters: Mapping[str, Any], available: Available) -> Policy:
    """Make a policy.

    Raises:
        UserError: no such strategy or parameter, a bad value, or something is missing here.
    """
    policy = POLICIES.get(name)
    if policy is None:
        near = get_close_matches(name, POLICIES, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UserError(f"strategy {name!r} is unknown{hint}: give one of {', '.join(POLICIES)}")
    fields = {f.name: f for f in dataclasses.fields(policy)}  # type: ignore[arg-type]
    wanted = {n for n, f in fields.items() if not f.metadata.get("is_given")}
    values = dict(parameters)
    verifier = values.pop("verifier", None) if "verifier" in fields else None
    for key, value in values.items():
        if key not in wanted:
            valid = sorted({*wanted, *({"verifier"} & {*fields})})
            raise UserError(f"{name} has no parameter {key!r}: give some of {', '.join(valid)}")
        values[key] = _checked(f"{name}.{key}", value, get_type_hints(policy)[key])
    values |= {n: _given(n, name, verifier, available) for n in fields.keys() - wanted}
    return policy(**values)


def parameters(name: str) -> dict[str, Any]:
    """Give the parameters of a strategy that a request may set, with their defaults."""
    fields = dataclasses.fields(POLICIES[name])  # type: ignore[arg-type]
    return {f.name: f.default for f in fields if not f.metadata.get("is_given")}


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Read "name" or "name:key=value,key=value"; numbers and true/false are what they look like.

    Raises:
        UserError: it is of another form.
    """
    name, colon, rest = text.partition(":")
    found: dict[str, Any] = {}
    for part in rest.split(",") if colon else []:
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise UserError(f"{text!r}: write a strategy as name:key=value,key=value")
        found[key.strip()] = _literal(value.strip())
    return name.strip(), found


def _literal(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _checked(name: str, value: Any, hint: Any) -> Any:
    """Take a JSON value as the type that a field has; true is no number."""
    kinds: dict[Any, tuple[type, ...]] = {int: (int,), float: (int, float), str: (str,)}
    is_flag = isinstance(value, bool)
    if hint is bool and is_flag:
        return value
    if hint in kinds and not is_flag and isinstance(value, kinds[hint]):
        return hint(value)
    if str(hint).startswith("tuple[") and isinstance(value, list | tuple):
        return tuple(value)
    if value is None and "None" in str(hint):
        return None
    if "None" in str(hint) and not is_flag and isinstance(value, int | float | str):
        return value
    wanted = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    raise UserError(f"{name} is {value!r}: give {wanted.get(hint, 'a list')}")


def _given(name: str, strategy: str, verifier: str | None, available: Available) -> Any:
    """Fill a field that is the server's."""
    if name == "calibration":
        return available.calibration
    assert name == "verifier", name
    known = available.verifiers
    if not known:
        raise UserError(f"{strategy} needs a verifier and this server has none: set --verifiers")
    if verifier is not None and verifier not in known:
        raise UserError(f"verifier is {verifier!r}: give one of {', '.join(known)}")
    return known[verifier or next(iter(known))]
