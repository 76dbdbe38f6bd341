"""All strategies by name, and how a request becomes a policy.

Refuses, with what is valid, unknown names and parameters, values of a wrong type, and strategies
that need what this server does not have.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from s1_core.errors import UserError
from s1_serve.contract.fields import Refusal, named, shown
from s1_serve.strategies.parallel.adaptive import Adaptive
from s1_serve.strategies.parallel.auto import Auto
from s1_serve.strategies.parallel.likelihood import Likelihood
from s1_serve.strategies.parallel.longest import Longest
from s1_serve.strategies.parallel.majority import Majority
from s1_serve.strategies.parallel.schedule import Schedule
from s1_serve.strategies.parallel.shortest import Shortest
from s1_serve.strategies.parallel.weighted import Weighted
from s1_serve.strategies.policy import Policy
from s1_serve.strategies.refine.cascade import Cascade
from s1_serve.strategies.refine.fuse import Fuse
from s1_serve.strategies.refine.rsa import Rsa
from s1_serve.strategies.refine.self_refine import SelfRefine
from s1_serve.strategies.search.beam import Beam
from s1_serve.strategies.search.dvts import Dvts
from s1_serve.strategies.search.particles import Particles
from s1_serve.strategies.search.rebase import Rebase
from s1_serve.strategies.verified.ab_mcts import AbMcts
from s1_serve.strategies.verified.best_of_n import BestOfN
from s1_serve.strategies.verified.deepconf import DeepConf
from s1_serve.strategies.verified.pessimistic import Pessimistic
from s1_serve.strategies.verified.scrutinise import Scrutinise
from s1_serve.strategies.verified.stepwise import Stepwise
from s1_serve.strategies.verifiers.verifier import Verifier

_PARALLEL: tuple[type[Policy], ...] = (
    Auto, Majority, Weighted, Shortest, Longest, Likelihood, Adaptive, Schedule,
)  # fmt: skip
_REFINE: tuple[type[Policy], ...] = (SelfRefine, Rsa, Fuse, Cascade)
_VERIFIED: tuple[type[Policy], ...] = (
    BestOfN, Scrutinise, Pessimistic, AbMcts, Stepwise, DeepConf,
)  # fmt: skip
_SEARCH: tuple[type[Policy], ...] = (Rebase, Beam, Dvts, Particles)
POLICIES: dict[str, type[Policy]] = {
    policy.name: policy for policy in _PARALLEL + _REFINE + _VERIFIED + _SEARCH
}

STRATEGIES_VERSION = 2
"""Of what strategies do. Raise it where one would now answer otherwise from the same calls, make
other calls, or count them otherwise: evaluations then do not mix its answers with older ones."""


@dataclass(frozen=True, kw_only=True)
class Available:
    """What a deployment has besides its engine, by the names that requests use."""

    verifiers: Mapping[str, Verifier] = field(default_factory=dict)
    """Taken where a request names none: the first one, for a search the first that can lead it."""
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
        found = f"strategy {shown(name)} is unknown{hint}"
        raise Refusal(f"{found}: give one of {', '.join(POLICIES)}", "strategy")
    fields = {f.name: f for f in dataclasses.fields(policy)}  # type: ignore[arg-type]
    wanted = {n for n, f in fields.items() if not f.metadata.get("is_given")}
    values = dict(parameters)
    verifier = values.pop("verifier", None) if "verifier" in fields else None
    verifier = _checked(f"{name}.verifier", verifier, str | None)
    for key, value in values.items():
        if key not in wanted:
            valid = sorted({*wanted, *({"verifier"} & {*fields})})
            found = f"{name} has no parameter {shown(key)}"
            raise Refusal(f"{found}: give some of {', '.join(valid)}", named(key))
        values[key] = _checked(f"{name}.{key}", value, get_type_hints(policy)[key])
    if "model" in fields:
        values["model"] = _model(name, values.get("model"), available.models)
    if (judge := values.get("judge")) is not None and judge not in available.models:
        known = ", ".join(available.models) or "none: this server has no other model"
        raise UserError(f"judge is {shown(judge)}: give one of {known}")
    values |= {n: _given(n, name, verifier, available) for n in fields.keys() - wanted}
    return policy(**values)


def parameters(name: str) -> dict[str, Any]:
    """Give the parameters of a strategy that a request may set, with their defaults."""
    fields = dataclasses.fields(POLICIES[name])  # type: ignore[arg-type]
    return {f.name: f.default for f in fields if not f.metadata.get("is_given")}


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Read "name" or "name:key=value,key=value"; a list is written 0.5/0.7/1.

    Raises:
        UserError: it is of another form.
    """
    name, colon, rest = text.partition(":")
    found: dict[str, Any] = {}
    for part in rest.split(",") if colon else []:
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise UserError(f"{shown(text)}: write a strategy as name:key=value,key=value")
        found[key.strip()] = _literal(value.strip())
    return name.strip(), found


def _literal(text: str) -> Any:
    if "/" in text:
        parts = [_literal(part) for part in text.split("/") if part]
        return text if any(isinstance(part, str) for part in parts) else parts  # a model's name
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if isinstance(number, float) and not math.isfinite(number):
            raise UserError(f"{shown(text)} is no finite number: give one that is")
        return number
    return text


_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _checked(name: str, value: Any, hint: Any) -> Any:
    """Take a JSON value as the type that a field has; true is no number."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for kind in kinds:
        if get_origin(kind) is tuple and isinstance(value, list | tuple):
            return tuple(_checked(name, item, get_args(kind)[0]) for item in value)
        if kind is float and type(value) is int:
            return float(value) if abs(value) <= sys.float_info.max else math.inf
        if type(value) is kind:
            return value
    wanted = " or ".join(_word(kind) for kind in kinds)
    raise UserError(f"{name} is {shown(value)}: give {wanted}")


def _word(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return f"a list, each {_word(get_args(kind)[0])}"
    return "null" if kind is NoneType else _WORDS[kind]


def _given(name: str, strategy: str, verifier: str | None, available: Available) -> Any:
    """Fill a field that is the server's."""
    if name == "calibration":
        return available.calibration
    assert name == "verifier", name
    known = available.verifiers
    if not known:
        raise UserError(f"{strategy} needs a verifier and this server has none: set --verifiers")
    if verifier is not None and verifier not in known:
        raise UserError(f"verifier is {shown(verifier)}: give one of {', '.join(known)}")
    if verifier is not None:
        return known[verifier]
    leads = [one for one in known.values() if one.scores_steps]
    needs_steps = POLICIES[strategy] in _SEARCH
    return leads[0] if needs_steps and leads else next(iter(known.values()))


def _model(strategy: str, model: str | None, known: tuple[str, ...]) -> str:
    """Take the model that is named, or the first there is."""
    if not known:
        raise UserError(f"{strategy} needs another model and this server has none")
    if model and model not in known:
        raise UserError(f"model is {shown(model)}: give one of {', '.join(known)}")
    return model or known[0]
