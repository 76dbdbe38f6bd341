"""Dashboards that Grafana draws as they were meant, alerts that say what is to be done."""

from __future__ import annotations

import json
import re
from itertools import combinations

from integration.infra.contract.monitoring.metrics import dashboards, panels
from integration.infra.contract.objects import Object, at, name, of_kind

_COLUMNS = 24
_WANTED = ("uid", "title", "panels", "schemaVersion")


def dashboards_are_whole(objects: list[Object]) -> list[str]:
    """A dashboard is valid JSON, and each of its panels has an id of its own and asks something."""
    findings = []
    for where, dashboard in dashboards(objects):
        missing = [key for key in _WANTED if not dashboard.get(key)]
        findings += [f"{where}: has no {key}, or is no JSON" for key in missing]
        ids = [panel.get("id") for panel in panels(dashboard)]
        findings += [f"{where}: two panels have the id {i}" for i in set(ids) if ids.count(i) > 1]
        for panel in panels(dashboard):
            if panel.get("type") not in ("row", "text") and not panel.get("targets"):
                findings.append(f"{where}: panel {panel.get('title')} asks nothing")
    return findings


def variables_of_dashboards_are_there(objects: list[Object]) -> list[str]:
    """A $name in an expression is a variable of the dashboard, or one of Grafana's own ($__)."""
    findings = []
    for where, dashboard in dashboards(objects):
        there = {entry["name"] for entry in at(dashboard, "templating", "list", default=[])}
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard)))
        missing = {name for name in used - there if not name.startswith("__")}
        findings += [f"{where}: uses ${name}, which is no variable" for name in sorted(missing)]
    return findings


def panels_lie_beside_each_other(objects: list[Object]) -> list[str]:
    """Panels do not overlap, and stay on the grid."""
    findings = []
    for where, dashboard in dashboards(objects):
        places = [
            (panel.get("title"), panel.get("gridPos")) for panel in dashboard.get("panels", [])
        ]
        for title, place in places:
            if not place or place["x"] < 0 or place["x"] + place["w"] > _COLUMNS:
                findings.append(f"{where}: panel {title} lies beside the grid: {place}")
        for (one, a), (other, b) in combinations([pair for pair in places if pair[1]], 2):
            if _overlap(a, b):
                findings.append(f"{where}: panels {one} and {other} overlap")
    return findings


def _overlap(a: Object, b: Object) -> bool:
    beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
    below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    return not beside and not below


def alerts_say_what_is_wrong(objects: list[Object]) -> list[str]:
    """An alert waits for a while, says how bad it is and what it means."""
    findings = []
    for found in of_kind(objects, "PrometheusRule"):
        for group in at(found, "spec", "groups", default=[]):
            for rule in group.get("rules") or []:
                if "alert" not in rule:
                    continue
                wanted = {
                    "for": rule.get("for"),
                    "labels.severity": at(rule, "labels", "severity"),
                    "annotations.summary": at(rule, "annotations", "summary"),
                }
                findings += [
                    f"{name(found)}: alert {rule['alert']} has no {key}"
                    for key, value in wanted.items()
                    if not value
                ]
    return findings
