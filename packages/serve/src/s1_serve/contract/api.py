"""The request contract: what a client may ask in each dialect, and what the engine gets of it.

Pure: a JSON body in, what was `Asked` out, the input untouched. Refuses what would be ignored or
would not be what it says; what has nothing to do with thinking is left to the engine.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from itertools import combinations
from typing import Any

from s1_serve.budget.request import KEY
from s1_serve.config import EXTEND_WITH, ThinkingBudget
from s1_serve.contract.fields import (
    ALIASES,
    CANONICAL,
    Fields,
    Refusal,
    Said,
    count,
    flag,
    named,
    said,
    shown,
    strings,
)

__all__ = ["Asked", "Dialect", "Refusal", "read"]

MOST_STRANGERS = 256
"""fields of unknown names; comparing many more with ours would take seconds"""
_OURS = (*CANONICAL, *ALIASES)
_TELLING = ("think", "budget", "reason", "extend", "effort")
_MAXIMA = ("thinking_tokens", "reasoning_tokens", "budget_tokens")
"""the maximum's names elsewhere, like all with max closer in their letters to our minimum"""
_MANY_LETTERS = 64


class Dialect(Enum):
    """An API, by its path."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    RESPONSES = "/v1/responses"
    MESSAGES = "/v1/messages"

    @classmethod
    def at(cls, path: str) -> Dialect | None:
        """Find the API of a path."""
        return next((dialect for dialect in cls if dialect.value == path), None)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request, taken apart into the engine's fields and ours."""

    body: dict[str, Any]
    """What the engine's own API gets."""
    budget: ThinkingBudget | None
    """None generates as the engine does, without a budget."""
    effort: float | None
    """The share of the context that is a soft maximum; the budget has none then."""
    shows_thinking: bool
    num_answers: int
    field: str | None = None
    """The first field that speaks of a budget, as the client wrote it."""


def read(dialect: Dialect, body: object, known_fields: Collection[str], max_answers: int) -> Asked:
    """Read a request; `known_fields` are those of the engine's own model of it.

    Raises:
        Refusal: it asks for what this server does not do, or contradicts itself.
    """
    if not isinstance(body, dict):
        raise Refusal(f"the body is {shown(body)}: give a JSON object", None)
    _refuse_strangers(body, known_fields)
    _refuse_own_key(body)
    _refuse_empty(dialect, body)
    num_answers = _num_answers(dialect, body, max_answers)
    fields = Fields(dict(body))
    wish = _wish(fields)
    if dialect is not Dialect.RESPONSES:
        fields.take("reasoning")
    is_plain = _is_plain(dialect, body, wish)
    if not is_plain:
        _refuse_beside_budget(dialect, body, wish)
    if dialect is Dialect.COMPLETIONS and not is_plain:
        _show_delimiters(fields.rest)
    return Asked(
        body=fields.rest,
        budget=None if is_plain else wish.budget,
        effort=wish.effort,
        shows_thinking=wish.shows_thinking,
        num_answers=num_answers,
        field=wish.field,
    )


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """A budget, and the first `field` that speaks of one."""

    budget: ThinkingBudget
    effort: float | None
    shows_thinking: bool
    field: str | None


def _wish(fields: Fields) -> _Wish:
    """Take what a request says of thinking out of it."""
    stated = list(said(fields))
    _refuse_contradictions(stated)
    most = next((one for one in stated if one.maximum is not None), None)
    least = count("min_thinking_tokens", fields.take("min_thinking_tokens"), 0)
    extends = count("num_extends", fields.take("num_extends"), 0)
    extend_with = strings("extend_with", fields.take("extend_with"))
    _refuse_minimum(least or 0, most)
    speaking = [one.field for one in stated if one.shows is None]
    own = zip(CANONICAL[1:], (least, extends, extend_with), strict=True)
    speaking += [field for field, value in own if value is not None]
    return _Wish(
        budget=ThinkingBudget(
            max=most.maximum if most else None,
            min=least or 0,
            extends=extends or 0,
            extend_with=EXTEND_WITH if extend_with is None else extend_with,
        ),
        effort=next((one.effort for one in stated if one.effort is not None), None),
        shows_thinking=all(one.shows is not False for one in stated),
        field=speaking[0] if speaking else None,
    )


def _refuse_contradictions(stated: list[Said]) -> None:
    for one, other in combinations(stated, 2):
        if one.contradicts(other):
            both = f"{one.field} is {shown(one.value)} and {other.field} is {shown(other.value)}"
            raise Refusal(f"{both}: they contradict, give one of them", other.field)


def _refuse_minimum(least: int, most: Said | None) -> None:
    if most and most.maximum is not None and -1 < most.maximum < least:
        field = "min_thinking_tokens"
        both = f"{field} is {least} and {most.field} is {shown(most.value)}"
        raise Refusal(f"{both}: give a minimum not above the maximum", field)


def _is_plain(dialect: Dialect, body: dict[str, Any], wish: _Wish) -> bool:
    """Say whether no thinking is opened: a text without a budget, a chat message continued."""
    if dialect is Dialect.COMPLETIONS:
        return wish.field is None
    if dialect is not Dialect.CHAT:
        return False
    going, opening = "continue_final_message", "add_generation_prompt"
    is_going = flag(going, body.get(going)) is True
    is_unopened = flag(opening, body.get(opening)) is False
    if (is_going or is_unopened) and wish.field:
        field = going if is_going else opening
        found = f"{field} is {shown(body[field])}, which opens no thinking"
        raise Refusal(f"{found}, and {wish.field} asks for it: give one of them", field)
    return is_going or is_unopened


def _refuse_beside_budget(dialect: Dialect, body: dict[str, Any], wish: _Wish) -> None:
    field = "use_beam_search"
    if flag(field, body.get(field)):
        what = "a budget belongs to one sampled or greedy answer"
        raise Refusal(f"{field} is true: {what}, leave it out", field)
    for field in ("logprobs", "top_logprobs", "return_token_ids"):
        if not wish.shows_thinking and body.get(field):
            what = "they would show the thinking that is left out, drop one of the two"
            raise Refusal(f"{field} is {shown(body[field])}: {what}", field)
    if dialect is not Dialect.COMPLETIONS:
        return
    if not wish.shows_thinking:
        what = "a text completion is one text, thinking included; use chat"
        raise Refusal(f"reasoning.exclude is true: {what}", "reasoning.exclude")
    if flag("echo", body.get("echo")):
        raise Refusal("echo is true: with a thinking budget the prompt stays out, drop it", "echo")
    if suffix := body.get("suffix"):
        what = "with a thinking budget the answer comes last, leave it out"
        raise Refusal(f"suffix is {shown(suffix)}: {what}", "suffix")


def _show_delimiters(body: dict[str, Any]) -> None:
    """Let a text tell thinking from answer, unless the request says otherwise."""
    if body.get("skip_special_tokens") is None:
        body["skip_special_tokens"] = False


def _refuse_strangers(body: dict[str, Any], known_fields: Collection[str]) -> None:
    """Refuse fields of nobody's that look like a budget: the engine would ignore them."""
    strangers = [
        key
        for key, value in body.items()
        if value is not None and key not in known_fields and key not in _OURS
    ]
    if len(strangers) > MOST_STRANGERS:
        found = f"the body has {len(strangers)} unknown fields, {named(strangers[0])} the first"
        raise Refusal(f"{found}: give at most {MOST_STRANGERS}", None)
    for key in strangers:
        if key == "extra_body":
            where = "it is a word of the openai client's, not of the API"
            raise Refusal(f"{key} is {shown(body[key])}: {where}, put its fields at the root", key)
        if key == "tts":
            where = f"strategies are asked for at {Dialect.CHAT.value}, by a JSON object"
            raise Refusal(f"tts is {shown(body[key])}: {where}; leave it out here", key)
        if nearest := _meant(key.lower()):
            found = f"{named(key)} is unknown: did you mean {nearest}"
            raise Refusal(f"{found}? correct it or leave it out", named(key))


def _meant(key: str) -> str | None:
    """Give our name for what a field is probably meant to be; None where it is not ours at all."""
    is_telling = any(part in key for part in _TELLING)
    if key in _MAXIMA or (is_telling and "max" in key and "extend" not in key):
        return CANONICAL[0]
    cutoff = 0.0 if is_telling else 0.8
    return next(iter(get_close_matches(key[:_MANY_LETTERS], _OURS, n=1, cutoff=cutoff)), None)


def _refuse_empty(dialect: Dialect, body: dict[str, Any]) -> None:
    field = {Dialect.RESPONSES: "input", Dialect.COMPLETIONS: "prompt"}.get(dialect, "messages")
    found = body.get(field)
    if dialect is Dialect.COMPLETIONS:
        is_good, wanted = found != [], "at least one prompt"
    elif dialect is Dialect.RESPONSES:
        is_good, wanted = bool(found) and isinstance(found, str | list), "a text or a list of items"
    else:
        is_good, wanted = bool(found) and isinstance(found, list), "a list of at least one message"
    if not is_good:
        what = "missing" if found is None else shown(found)
        raise Refusal(f"{field} is {what}: give {wanted}", field)


def _num_answers(dialect: Dialect, body: dict[str, Any], max_answers: int) -> int:
    """Count the answers: `n` of chat and text completions, for each prompt; one elsewhere."""
    n = count("n", body.get("n"), 1) or 1
    num_prompts = _num_prompts(body.get("prompt")) if dialect is Dialect.COMPLETIONS else 1
    if n * num_prompts > max_answers:
        field = "n" if n >= num_prompts else "prompt"
        asked = f"n is {n} for prompt, {num_prompts} of them" if num_prompts > 1 else f"n is {n}"
        found = f"{asked}: {n * num_prompts} answers"
        raise Refusal(f"{found}, the limit is {max_answers}, ask for fewer", field)
    return n * num_prompts if dialect in (Dialect.CHAT, Dialect.COMPLETIONS) else 1


def _num_prompts(prompt: object) -> int:
    """Count the prompts; a list of numbers is one of them, in token ids."""
    return len(prompt) if isinstance(prompt, list) and type(prompt[0]) is not int else 1


def _refuse_own_key(body: dict[str, Any]) -> None:
    arguments, field = body.get("vllm_xargs"), f"vllm_xargs.{KEY}"
    if isinstance(arguments, dict) and KEY in arguments:
        root = f"put {CANONICAL[0]} at the root of the request"
        raise Refusal(f"{field} is {shown(arguments[KEY])}: it is the server's own, {root}", field)
