"""Who selects whom: each selector selects the pods, or the Service, that it is meant for."""

from __future__ import annotations

from collections.abc import Iterator

from integration.infra.contract.objects import (
    APP,
    COMPONENT,
    COMPONENTS,
    NAME,
    PART_OF,
    Object,
    at,
    name,
    namespace,
    of_kind,
    owners,
    pods,
    selected,
    selects,
)

_OWNERS = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")


def pods_bear_the_labels(objects: list[Object]) -> list[str]:
    """Every pod says which application and component it is of."""
    return [
        f"{pod.name}: pods are labelled {pod.labels}, wanted {NAME} and {PART_OF} {APP} and"
        f" {COMPONENT} one of {', '.join(COMPONENTS)}"
        for pod in pods(objects)
        if (pod.labels.get(NAME), pod.labels.get(PART_OF)) != (APP, APP)
        or pod.component not in COMPONENTS
    ]


def workloads_select_their_own_pods(objects: list[Object]) -> list[str]:
    """A Deployment and its like select the pods they make, and no one else's."""
    findings = []
    for found in of_kind(objects, *_OWNERS):
        template = at(found, "spec", "template")
        if template is None:  # a Rollout takes both from the workload it refers to
            continue
        selector = at(found, "spec", "selector")
        if not selector or not selects(selector, at(template, "metadata", "labels", default={})):
            findings.append(f"{name(found)}: its selector does not select its own pods")
        others = set(owners(selected(objects, selector, namespace(found)))) - {name(found)}
        findings += [f"{name(found)}: its selector selects pods of {other}" for other in others]
    return findings


def services_select_one_workload(objects: list[Object]) -> list[str]:
    """A Service sends requests to the pods of one workload."""
    findings = []
    for found in of_kind(objects, "Service"):
        pairs = at(found, "spec", "selector")
        selector = {"matchLabels": pairs} if pairs else None
        findings += _one_workload(objects, found, selector)
    return findings


def budgets_select_one_workload(objects: list[Object]) -> list[str]:
    """A PodDisruptionBudget guards the pods of one workload; without a selector, none."""
    findings = []
    for found in of_kind(objects, "PodDisruptionBudget"):
        findings += _one_workload(objects, found, at(found, "spec", "selector") or None)
    return findings


def _one_workload(objects: list[Object], found: Object, selector: Object | None) -> list[str]:
    hits = owners(selected(objects, selector, namespace(found)))
    if len(hits) == 1 and hits[0].partition("/")[0] in _OWNERS:
        return []
    return [f"{name(found)}: selects {' and '.join(hits) or 'no pod'}, wanted one Deployment"]


def spreads_select_their_own_pods(objects: list[Object]) -> list[str]:
    """Spread and affinity rules count the pods they are written on; without a selector, none."""
    findings = []
    for pod in pods(objects):
        for where, selector in _self_selectors(pod.spec):
            hits = owners(selected(objects, selector, pod.namespace))
            if hits != [pod.name]:
                found = " and ".join(hits) or "no pod"
                findings.append(f"{pod.name}: {where} selects {found}, wanted its own pods")
    return findings


def _self_selectors(spec: Object) -> Iterator[tuple[str, Object | None]]:
    for rule in spec.get("topologySpreadConstraints") or []:
        yield f"spread over {rule.get('topologyKey')}", rule.get("labelSelector")
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = at(spec, "affinity", kind, default={})
        for rule in rules.get("requiredDuringSchedulingIgnoredDuringExecution") or []:
            yield kind, rule.get("labelSelector")
        for rule in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or []:
            yield kind, at(rule, "podAffinityTerm", "labelSelector")


def monitors_select_one_service(objects: list[Object]) -> list[str]:
    """A ServiceMonitor scrapes one Service: two would count each pod twice."""
    findings = []
    for found in of_kind(objects, "ServiceMonitor"):
        selector = at(found, "spec", "selector") or None
        hits = [
            name(service)
            for service in of_kind(objects, "Service")
            if namespace(service) in _namespaces(found)
            and selects(selector, at(service, "metadata", "labels", default={}))
        ]
        if len(hits) != 1:
            findings.append(
                f"{name(found)}: selects {' and '.join(hits) or 'no Service'}, wanted one Service"
            )
    return findings


def _namespaces(monitor: Object) -> list[str]:
    return at(monitor, "spec", "namespaceSelector", "matchNames", default=[namespace(monitor)])


def policies_select_pods(objects: list[Object]) -> list[str]:
    """A NetworkPolicy is for all pods of its namespace, or for some that there are."""
    return [
        f"{name(found)} in {namespace(found)}: selects no pod"
        for found in of_kind(objects, "NetworkPolicy")
        if found["spec"].get("podSelector") != {}
        and not selected(objects, found["spec"].get("podSelector"), namespace(found))
    ]


def selectors_name_the_component(objects: list[Object]) -> list[str]:
    """Selectors of our pods say name and component, so that no other component slips in."""
    findings = []
    for where, selector in _ours(objects):
        keys = set(selector.get("matchLabels") or {})
        keys |= {rule["key"] for rule in selector.get("matchExpressions") or []}
        missing = {NAME, COMPONENT} - keys
        if missing and (keys or not where.startswith("NetworkPolicy")):
            findings.append(
                f"{where}: its selector says nothing of {' and '.join(sorted(missing))}"
            )
    return findings


def _ours(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    for found in of_kind(objects, *_OWNERS, "PodDisruptionBudget"):
        selector = at(found, "spec", "selector")
        if selector:
            yield name(found), selector
    for found in of_kind(objects, "Service"):
        if pairs := at(found, "spec", "selector"):
            yield name(found), {"matchLabels": pairs}
    for found in of_kind(objects, "NetworkPolicy"):
        yield name(found), at(found, "spec", "podSelector", default={})
