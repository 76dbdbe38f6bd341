"""A look into PromQL: which metrics an expression reads, and by which labels. It is no parser."""

from __future__ import annotations

import re
from typing import NamedTuple

_STRING = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\''
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_MATCHER = re.compile(rf"\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*({_STRING})\s*,?")
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "inf", "nan"}
_WORDS |= {"group_left", "group_right", "start", "end", "Inf", "NaN"}
_PAIRS = {")": "(", "}": "{", "]": "["}


class Matcher(NamedTuple):
    """One `label="value"` of a selector."""

    metric: str
    label: str
    operator: str
    value: str


class Reading(NamedTuple):
    """What an expression reads."""

    metrics: set[str]
    matchers: list[Matcher]
    grouped_by: set[str]
    fault: str = ""


def read(expression: str) -> Reading:
    """Say what an expression reads, or in `fault` why it cannot be read."""
    text = re.sub(r"\{\{.*?\}\}", "0", expression)  # a value that Argo puts in
    text = re.sub(r"#[^\n]*", "", text)
    if fault := _unbalanced(re.sub(_STRING, '""', text)):
        return Reading(set(), [], set(), fault)
    matchers: list[Matcher] = []

    def selector(match: re.Match[str]) -> str:
        name, inside = match[1] or "", match[2]
        found = list(_MATCHER.finditer(inside))
        if "".join(each[0] for each in found).replace(" ", "") != re.sub(r"\s", "", inside):
            matchers.append(Matcher(name, inside, "?", ""))
        matchers.extend(Matcher(name, each[1], each[2], each[3][1:-1]) for each in found)
        return f" {name} "

    text = re.sub(rf"([a-zA-Z_:][\w:]*)?\s*\{{((?:{_STRING}|[^{{}}\"'])*)\}}", selector, text)
    if broken := [each.label for each in matchers if each.operator == "?"]:
        return Reading(set(), [], set(), f"cannot read {{{broken[0]}}}")
    text = re.sub(r"\[[^\]]*\]", "", re.sub(_STRING, "", text))
    labels = {
        label.strip()
        for kind, inside in _GROUPING.findall(text)
        if kind in ("by", "on")
        for label in inside.split(",")
        if label.strip()
    }
    return Reading(_metrics(_GROUPING.sub(" ", text)), matchers, labels)


def _metrics(text: str) -> set[str]:
    """Give the names that are neither functions nor words of the language."""
    text = re.sub(r"\b\d+(\.\d+)?([eE][+-]?\d+)?(ms|[smhdwy])?(\d+[smhdwy])*\b", " ", text)
    return {
        found[0]
        for found in _NAME.finditer(text)
        if found[0] not in _WORDS and not text[found.end() :].lstrip().startswith("(")
    }


def _unbalanced(text: str) -> str:
    opened: list[str] = []
    for sign in text:
        if sign in _PAIRS.values():
            opened.append(sign)
        elif sign in _PAIRS and (not opened or opened.pop() != _PAIRS[sign]):
            return f"{sign} closes nothing"
    return f"{opened[-1]} is not closed" if opened else ""
