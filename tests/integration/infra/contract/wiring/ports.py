"""Ports by name: whoever names one means a port that a container, or a Service, has."""

from __future__ import annotations

from collections.abc import Iterator

from integration.infra.contract.objects import (
    Object,
    Pod,
    at,
    each_container,
    name,
    namespace,
    of_kind,
    pods,
    selected,
    selects,
)

_NAME_CHARS = 15
_KEYLESS = ("/livez", "/readyz", "/healthz", "/metrics")  # of s1_serve.server.access
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def service_ports_exist(objects: list[Object]) -> list[str]:
    """What a Service leads to is a port of each pod behind it."""
    findings = []
    for service in of_kind(objects, "Service"):
        selector = {"matchLabels": at(service, "spec", "selector", default={})}
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            for pod in selected(objects, selector, namespace(service)):
                if target not in _ports(pod.containers):
                    findings.append(f"{name(service)}: {pod.name} has no port {target}")
    return findings


def probe_ports_exist(objects: list[Object]) -> list[str]:
    """Probes and hooks ask a port of their own container."""
    return [
        f"{where}: {what} asks port {port}, which it does not have"
        for _, container, where in each_container(objects)
        for what, port in _asked(container)
        if port not in _ports([container])
    ]


def monitor_ports_exist(objects: list[Object]) -> list[str]:
    """A ServiceMonitor scrapes a port that its Service names."""
    findings = []
    for monitor in of_kind(objects, "ServiceMonitor"):
        for service in of_kind(objects, "Service"):
            if not selects(monitor["spec"]["selector"], at(service, "metadata", "labels")):
                continue
            names = {port.get("name") for port in service["spec"]["ports"]}
            for endpoint in monitor["spec"]["endpoints"]:
                if endpoint.get("port") not in names:
                    port = endpoint.get("port")
                    findings.append(f"{name(monitor)}: {name(service)} has no port named {port}")
    return findings


def route_ports_exist(objects: list[Object]) -> list[str]:
    """A route leads to a port of a Service that there is."""
    findings = []
    for route in of_kind(objects, "HTTPRoute"):
        for reference in _backends(route):
            ports = {
                port["port"]
                for service in of_kind(objects, "Service")
                if at(service, "metadata", "name") == reference["name"]
                and namespace(service) == reference.get("namespace", namespace(route))
                for port in service["spec"]["ports"]
            }
            if reference.get("port") not in ports:
                wanted = f"Service/{reference['name']} port {reference.get('port')}"
                findings.append(f"{name(route)}: leads to {wanted}, which does not exist")
    return findings


def routes_hide_what_wants_no_key(objects: list[Object]) -> list[str]:
    """Probes and metrics answer whoever reaches them, so no route leads to them."""
    findings = []
    for route in of_kind(objects, "HTTPRoute"):
        for rule in at(route, "spec", "rules", default=[]):
            for match in rule.get("matches") or [{}]:
                prefix = at(match, "path", "value", default="/").rstrip("/") + "/"
                shown = [path for path in _KEYLESS if f"{path}/".startswith(prefix)]
                findings += [
                    f"{name(route)}: leads to {path}, which wants no key" for path in shown
                ]
    return findings


def _backends(route: Object) -> Iterator[Object]:
    for rule in at(route, "spec", "rules", default=[]):
        yield from rule.get("backendRefs") or []
        for entry in rule.get("filters") or []:
            if mirror := at(entry, "requestMirror", "backendRef"):
                yield mirror


def policy_ports_exist(objects: list[Object]) -> list[str]:
    """A port that a NetworkPolicy opens is one of the pods that it opens it for."""
    findings = []
    for policy in of_kind(objects, "NetworkPolicy"):
        spec, where = policy["spec"], namespace(policy)
        for rule in spec.get("ingress") or []:
            behind = selected(objects, spec.get("podSelector"), where)
            findings += _missing(policy, rule, behind)
        for rule in spec.get("egress") or []:
            peers = [peer for peer in rule.get("to") or [] if "namespaceSelector" not in peer]
            for peer in peers:
                behind = selected(objects, peer.get("podSelector"), where)
                findings += _missing(policy, rule, behind)
    return findings


def _missing(policy: Object, rule: Object, behind: list[Pod]) -> list[str]:
    return [
        f"{name(policy)}: {pod.name} has no port {port.get('port')}"
        for port in rule.get("ports") or []
        for pod in behind
        if "endPort" not in port and port.get("port") not in _ports(pod.containers)
    ]


def port_names_are_short_and_unique(objects: list[Object]) -> list[str]:
    """The API takes names of at most 15 characters, each once in a pod."""
    findings = []
    for pod in pods(objects):
        names = [
            port["name"]
            for container in pod.containers
            for port in container.get("ports") or []
            if "name" in port
        ]
        findings += [
            f"{pod.name}: port name {n} is too long" for n in names if len(n) > _NAME_CHARS
        ]
        findings += [f"{pod.name}: two ports named {n}" for n in set(names) if names.count(n) > 1]
    return findings


def _ports(containers: list[Object]) -> set[str | int]:
    found = [port for container in containers for port in container.get("ports") or []]
    return {port[key] for port in found for key in ("name", "containerPort") if key in port}


def _asked(container: Object) -> Iterator[tuple[str, str | int]]:
    hooks = [(hook, at(container, "lifecycle", hook)) for hook in ("preStop", "postStart")]
    probes = [(probe, container.get(probe)) for probe in _PROBES]
    for what, action in (*probes, *hooks):
        for way in ("httpGet", "tcpSocket", "grpc"):
            if (port := at(action, way, "port")) is not None:
                yield what, port
