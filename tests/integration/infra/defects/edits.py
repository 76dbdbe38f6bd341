"""What a seeded defect is, and how to reach the places that are broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from integration.infra.contract.objects import Object, at, name

PRODUCTION = "serving/overlays/production"
TRAINING = "training/overlays/cluster"
DATA = "data/overlays/cluster"
APP_LABELS = {"app.kubernetes.io/name": "s1", "app.kubernetes.io/part-of": "s1"}


class Defect(NamedTuple):
    """What is broken where, how, and which checks are to find it."""

    what: str
    overlay: str
    break_it: Callable[[list[Object]], Any]
    found_by: set[str]


def one(objects: list[Object], wanted: str, namespace: str = "") -> Object:
    """Find the object called Kind/name."""
    found = [o for o in objects if name(o) == wanted]
    found = [o for o in found if namespace in ("", at(o, "metadata", "namespace", default=""))]
    assert len(found) == 1, f"{len(found)} objects {wanted}"
    return found[0]


def spec_of(found: Object) -> Object:
    """Give the pod's spec of a workload."""
    if found["kind"] == "JobSet":
        found = found["spec"]["replicatedJobs"][0]["template"]
    return found["spec"]["template"]["spec"]


def container(found: Object) -> Object:
    return spec_of(found)["containers"][0]


def env(found: Object, variable: str) -> Object:
    return next(entry for entry in found["env"] if entry["name"] == variable)


def swap(words: list[str], old: str, new: str) -> None:
    """Change a piece of the words of a command."""
    assert any(old in word for word in words), f"no {old} in {words}"
    words[:] = [word.replace(old, new) for word in words]


def server(objects: list[Object]) -> Object:
    return container(one(objects, "Deployment/s1"))


def server_spec(objects: list[Object]) -> Object:
    return spec_of(one(objects, "Deployment/s1"))


def weights(objects: list[Object]) -> Object:
    return next(o for o in objects if name(o).startswith("Job/weights-"))


def set_service(objects: list[Object], old: str, new: str) -> None:
    """Change a flag of the service."""
    found = env(server(objects), "S1_SERVICE")
    assert old in found["value"]
    found["value"] = found["value"].replace(old, new)


def dns_rule(objects: list[Object]) -> Object:
    return one(objects, "NetworkPolicy/dns", "s1-production")["spec"]["egress"][0]


def split_peer(rule: Object) -> None:
    """Part one peer, pods of a namespace, into two: all of the namespace, or such pods here."""
    rule["to"] = [{key: part} for key, part in rule["to"][0].items()]


def trainer(objects: list[Object]) -> Object:
    return container(one(objects, "JobSet/train"))


def job(objects: list[Object]) -> Object:
    """Give the spec of the Job that the JobSet makes."""
    return one(objects, "JobSet/train")["spec"]["replicatedJobs"][0]["template"]["spec"]


def alert(objects: list[Object], text: str = "") -> Object:
    """Find an alert by a piece of its expression."""
    rules = one(objects, "PrometheusRule/s1")["spec"]["groups"][0]["rules"]
    return next(rule for rule in rules if text in rule["expr"])


def swap_alert(objects: list[Object], old: str, new: str) -> None:
    found = alert(objects, old)
    found["expr"] = found["expr"].replace(old, new)


def metric(objects: list[Object]) -> Object:
    return one(objects, "AnalysisTemplate/s1-canary")["spec"]["metrics"][0]


def edit_dashboard(objects: list[Object], edit: Callable[[Object], Any]) -> None:
    """Change the dashboard in its ConfigMap."""
    data = one(objects, "ConfigMap/s1-dashboard")["data"]
    (key,) = data
    dashboard = json.loads(data[key])
    edit(dashboard)
    data[key] = json.dumps(dashboard)
