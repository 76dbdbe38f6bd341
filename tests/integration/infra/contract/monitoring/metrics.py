"""Expressions of alerts, scalers, analyses and dashboards read metrics that somebody writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple, get_args

from integration.infra.contract.monitoring import promql
from integration.infra.contract.monitoring.series import series
from integration.infra.contract.objects import Object, at, name, namespace, of_kind
from s1_serve.budget.plan import End

PLATFORM = {"up", "ALERTS"}
"""written by Prometheus itself"""
PLATFORM_PREFIXES = ("kube_", "container_", "kubelet_", "DCGM_", "kueue_", "jobset_")
"""written by kube-state-metrics, the kubelet, NVIDIA's exporter, Kueue and JobSet"""
TARGET_LABELS = {
    "namespace", "pod", "service", "job", "instance", "container", "endpoint", "node", "le",
}  # fmt: skip
"""what Prometheus' operator puts on every sample"""
ENDS = {*get_args(End), "aborted"}


def metrics_exist(objects: list[Object]) -> list[str]:
    """Each name in an expression is one that a server of ours, or the platform, writes."""
    recorded = {rule["record"] for _, rule in _rules(objects) if "record" in rule}
    findings = []
    for where, expression, _ in expressions(objects):
        found = promql.read(expression)
        if found.fault:
            findings.append(f"{where}: {found.fault} in {expression.strip()}")
        for metric in sorted(found.metrics - PLATFORM - recorded - series().keys()):
            if not metric.startswith(PLATFORM_PREFIXES):
                findings.append(f"{where}: nobody writes {metric}")
    return findings


def labels_exist(objects: list[Object]) -> list[str]:
    """Labels that samples are chosen or grouped by are on them, with values that they can have."""
    added = TARGET_LABELS | _added_labels(objects)
    findings = []
    for where, expression, _ in expressions(objects):
        found = promql.read(expression)
        for matcher in found.matchers:
            known = series().get(matcher.metric)
            if known is not None and matcher.label not in known | added:
                findings.append(f"{where}: {matcher.metric} has no label {matcher.label}")
            if matcher.label == "end" and not _can_match(matcher, ENDS):
                findings.append(f"{where}: thinking never ends as {matcher.value!r}")
        ours = [series()[metric] for metric in found.metrics if metric in series()]
        for label in sorted(found.grouped_by - added - set().union(*ours) if ours else ()):
            findings.append(f"{where}: groups by {label}, which is on no sample")
    return findings


def expressions_stay_in_their_namespace(objects: list[Object]) -> list[str]:
    """Alerts and scalers of a stage read its own series, and not those of all stages together."""
    findings = []
    for where, expression, wanted in expressions(objects):
        found = promql.read(expression)
        named = {each.value for each in found.matchers if each.label == "namespace"}
        if wanted and found.metrics and named != {wanted}:
            told = " and ".join(sorted(named)) or "any"
            findings.append(f"{where}: reads namespace {told}, wanted {wanted}")
    return findings


def monitors_keep_what_is_read(objects: list[Object]) -> list[str]:
    """What a monitor throws away after the scrape can be in no expression."""
    kept = [
        (name(monitor), rule["regex"])
        for monitor in of_kind(objects, "ServiceMonitor")
        for endpoint in monitor["spec"]["endpoints"]
        for rule in endpoint.get("metricRelabelings") or []
        if rule.get("action") == "keep" and rule.get("sourceLabels") == ["__name__"]
    ]
    read = {
        metric
        for _, expression, _ in expressions(objects)
        for metric in promql.read(expression).metrics & series().keys()
    }
    return [
        f"{monitor}: keeps {pattern}, and {metric} is read"
        for monitor, pattern in kept
        for metric in sorted(read)
        if not re.fullmatch(pattern, metric)
    ]


def _can_match(matcher: promql.Matcher, values: set[str]) -> bool:
    """Say whether some value matches, of each alternative where there are several."""
    if "$" in matcher.value or matcher.operator.startswith("!"):
        return True
    if matcher.operator == "=":
        return matcher.value in values
    parts = matcher.value.split("|")
    return all(any(re.fullmatch(part, value) for value in values) for part in parts)


class Expression(NamedTuple):
    """PromQL, who asks it, and the namespace it is asked for, if that is fixed."""

    where: str
    text: str
    namespace: str = ""


def expressions(objects: list[Object]) -> Iterator[Expression]:
    """Walk over all expressions in PromQL."""
    for found, rule in _rules(objects):
        title = rule.get("alert") or rule.get("record")
        yield Expression(f"{name(found)} {title}", str(rule["expr"]), namespace(found))
    for found in of_kind(objects, "ScaledObject"):
        for trigger in found["spec"]["triggers"]:
            if trigger["type"] == "prometheus":
                yield Expression(name(found), trigger["metadata"]["query"], namespace(found))
    for found in of_kind(objects, "AnalysisTemplate"):
        for metric in found["spec"]["metrics"]:
            if query := at(metric, "provider", "prometheus", "query"):
                yield Expression(f"{name(found)} {metric['name']}", query)
    for where, dashboard in dashboards(objects):
        yield from _of_dashboard(where, dashboard)


def _of_dashboard(where: str, dashboard: Object) -> Iterator[Expression]:
    for panel in panels(dashboard):
        for target in panel.get("targets") or []:
            yield Expression(f"{where} panel {panel.get('title')}", target.get("expr", ""))
    for variable in at(dashboard, "templating", "list", default=[]):
        asked = re.fullmatch(r"label_values\((.+), *\w+\)", variable.get("definition", ""))
        if asked:
            yield Expression(f"{where} variable {variable['name']}", asked[1])


def _rules(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    for found in of_kind(objects, "PrometheusRule"):
        for group in at(found, "spec", "groups", default=[]):
            for rule in group.get("rules") or []:
                yield found, rule


def dashboards(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Walk over the Grafana dashboards that lie in ConfigMaps."""
    for found in of_kind(objects, "ConfigMap"):
        if "grafana_dashboard" in at(found, "metadata", "labels", default={}):
            for key, text in (found.get("data") or {}).items():
                try:
                    yield f"{name(found)} {key}", json.loads(text)
                except json.JSONDecodeError:
                    yield f"{name(found)} {key}", {}


def panels(dashboard: Object) -> list[Object]:
    """Give all panels, those in closed rows too."""
    found = dashboard.get("panels") or []
    return [*found, *(inner for panel in found for inner in panel.get("panels") or [])]


def _added_labels(objects: list[Object]) -> set[str]:
    """Labels that a ServiceMonitor takes over from pods and Services, or makes."""
    found = set()
    for monitor in of_kind(objects, "ServiceMonitor"):
        spec = monitor["spec"]
        for key in [*spec.get("targetLabels", []), *spec.get("podTargetLabels", [])]:
            found.add(re.sub(r"\W", "_", key))
        for endpoint in spec["endpoints"]:
            rules = [*endpoint.get("relabelings", []), *endpoint.get("metricRelabelings", [])]
            found |= {rule["targetLabel"] for rule in rules if "targetLabel" in rule}
    return found
