"""Analyses of a canary: pass, fail, and neither, where nothing can be known."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from integration.infra.contract.objects import Object, at, name, of_kind, seconds

_UNKNOWN = ([], [math.nan])
"""what Prometheus gives where there was no traffic"""
OUTAGE_S = 1800
"""for how long nobody need know how a release does, before it is taken for a bad one"""
_RETRY, _ERRORS = "10s", 4
"""Argo Rollouts' defaults"""
_WORDS = (("&&", " and "), ("||", " or "))
_FUNCTIONS = {
    "len": len,
    "isNaN": lambda value: math.isnan(value),
    "isInf": lambda value: math.isinf(value),
    "asFloat": float,
    "asInt": int,
}


def analyses_are_three_valued(objects: list[Object]) -> list[str]:
    """A measurement has a condition to pass and one to fail; no traffic meets neither.

    With one of them alone, Argo Rollouts takes whatever does not meet it for the other.
    """
    findings = []
    for found in of_kind(objects, "AnalysisTemplate"):
        for metric in found["spec"]["metrics"]:
            if "prometheus" not in metric["provider"]:
                continue
            for key in ("successCondition", "failureCondition"):
                where = f"{name(found)} {metric['name']}: {key}"
                if not metric.get(key):
                    findings.append(f"{where} is missing")
                    continue
                if fault := _fault(metric[key]):
                    findings.append(f"{where} cannot be read: {fault}")
                    continue
                findings += [
                    f"{where} holds for {result or 'no result'}"
                    for result in _UNKNOWN
                    if holds(metric[key], result)
                ]
    return findings


def analyses_can_go_both_ways(objects: list[Object]) -> list[str]:
    """Some number passes and some number fails, and none does both."""
    findings = []
    samples = [10.0**power for power in range(-6, 7)] + [0.0, 0.5, 0.9, 0.99, 0.999, 1.0]
    for found in of_kind(objects, "AnalysisTemplate"):
        for metric in found["spec"]["metrics"]:
            pair = [metric.get(key) for key in ("successCondition", "failureCondition")]
            if "prometheus" not in metric["provider"] or not all(pair) or any(map(_fault, pair)):
                continue
            passed, failed = ([s for s in samples if holds(text, [s])] for text in pair)
            if not passed or not failed or set(passed) & set(failed):
                findings.append(f"{name(found)} {metric['name']}: can only end one way, or both")
    return findings


def analyses_get_their_arguments(objects: list[Object]) -> list[str]:
    """What a query puts in is an argument, and one without a value is given by who asks."""
    findings = []
    for found in of_kind(objects, "AnalysisTemplate"):
        declared = {entry["name"]: entry for entry in found["spec"].get("args") or []}
        used = set(re.findall(r"\{\{ *args\.([\w-]+) *\}\}", json.dumps(found["spec"]["metrics"])))
        findings += [f"{name(found)}: has no argument {a}" for a in sorted(used - declared.keys())]
        wanted = {key for key, entry in declared.items() if not entry.keys() - {"name"}}
        for who, given in _asked(objects, at(found, "metadata", "name")):
            findings += [f"{who}: does not tell {a} to {name(found)}" for a in wanted - given]
            findings += [f"{who}: {name(found)} has no {a}" for a in given - declared.keys()]
    return findings


def analyses_outlast_an_outage(objects: list[Object]) -> list[str]:
    """A Prometheus that is away for a while is no fault of the release, and aborts no rollout."""
    findings = []
    for found in of_kind(objects, "AnalysisTemplate"):
        for metric in found["spec"]["metrics"]:
            errors = int(metric.get("consecutiveErrorLimit", _ERRORS))
            waits_s = errors * seconds(metric.get("interval", _RETRY))
            if waits_s < OUTAGE_S:
                findings.append(
                    f"{name(found)} {metric['name']}: gives up after {waits_s:.0f} s without an"
                    f" answer, wanted {OUTAGE_S}: consecutiveErrorLimit"
                )
    return findings


def _asked(objects: list[Object], template: str) -> Iterator[tuple[str, set[str]]]:
    """Walk over the analyses of Rollouts that use a template, with what they tell it."""
    for rollout in of_kind(objects, "Rollout"):
        canary = at(rollout, "spec", "strategy", "canary", default={})
        for step in [*(canary.get("steps") or []), canary]:
            analysis = step.get("analysis") or {}
            names = [entry["templateName"] for entry in analysis.get("templates") or []]
            if template in names:
                yield name(rollout), {entry["name"] for entry in analysis.get("args") or []}


def _fault(condition: str) -> str:
    """Say why a condition cannot be evaluated; empty if it can."""
    try:
        holds(condition, [0.5])
    except (NameError, SyntaxError) as error:
        return str(error)
    return ""


def holds(condition: str, result: list[float]) -> bool:
    """Evaluate a condition of Argo Rollouts; one that cannot be is an error there, and not met."""
    text = re.sub(r"\{\{.*?\}\}", "0.5", condition)
    for theirs, ours in _WORDS:
        text = text.replace(theirs, ours)
    text = re.sub(r"!(?!=)", " not ", text)
    try:
        return bool(eval(text, {"__builtins__": {}}, {**_FUNCTIONS, "result": result}))
    except (IndexError, TypeError, ValueError):
        return False
