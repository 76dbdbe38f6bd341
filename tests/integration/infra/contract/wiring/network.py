"""What may talk to whom: all is denied but what a policy names, and kustomize changed no peer."""

from __future__ import annotations

from collections.abc import Iterator

from integration.infra.contract.objects import (
    APP,
    COMPONENT,
    COMPONENTS,
    NAME,
    PART_OF,
    Object,
    Pod,
    at,
    name,
    namespace,
    of_kind,
    pods,
    selected,
    selects,
)

DNS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
_OURS = {(NAME, APP), (PART_OF, APP), *((COMPONENT, part) for part in COMPONENTS)}


def namespaces_deny_by_default(objects: list[Object]) -> list[str]:
    """Each namespace with pods holds a policy for all of them that allows nothing."""
    denied = {
        namespace(found)
        for found in of_kind(objects, "NetworkPolicy")
        if found["spec"].get("podSelector") == {}
        and set(found["spec"].get("policyTypes") or []) == {"Ingress", "Egress"}
        and not found["spec"].get("ingress")
        and not found["spec"].get("egress")
    }
    used = {pod.namespace for pod in pods(objects)}
    return [f"Namespace/{left}: no NetworkPolicy denies by default" for left in used - denied]


def foreign_peers_bear_no_label_of_ours(objects: list[Object]) -> list[str]:
    """Pods of another namespace are not ours: labels of ours on such a peer match none of them.

    kustomize's `includeSelectors: true` adds them (kustomize#5912).
    """
    findings = []
    for policy, _, peer in _peers(objects):
        pairs = set(at(peer, "podSelector", "matchLabels", default={}).items())
        if "namespaceSelector" in peer and pairs & _OURS:
            added = ", ".join(sorted(f"{key}={value}" for key, value in pairs & _OURS))
            findings.append(f"{name(policy)}: a peer in another namespace is to bear {added}")
    return findings


def local_peers_are_pods_of_ours(objects: list[Object]) -> list[str]:
    """A peer in the same namespace is a pod that there is, and never just any."""
    findings = []
    for policy, direction, peer in _peers(objects):
        if "namespaceSelector" in peer or "ipBlock" in peer:
            continue
        if not peer.get("podSelector"):
            findings.append(f"{name(policy)}: {direction} with any pod of the namespace")
        elif not selected(objects, peer["podSelector"], namespace(policy)):
            findings.append(f"{name(policy)}: {direction} with {peer['podSelector']}, no such pod")
    return findings


def rules_name_their_peers(objects: list[Object]) -> list[str]:
    """No rule allows the whole world, by a missing peer, an empty selector or a block of all."""
    findings = []
    for policy in of_kind(objects, "NetworkPolicy"):
        for direction, rule in _rules(policy):
            peers = rule.get("from" if direction == "ingress" else "to")
            if not peers or any(_is_anyone(peer, direction) for peer in peers):
                findings.append(f"{name(policy)}: {direction} is open to anyone")
    return findings


def _is_anyone(peer: Object, direction: str) -> bool:
    block = at(peer, "ipBlock", "cidr", default="")
    if block:
        narrowed = direction == "egress" and at(peer, "ipBlock", "except", default=[])
        return block.endswith("/0") and not narrowed
    is_anywhere = peer.get("namespaceSelector") == {}
    return not peer or (is_anywhere and not at(peer, "podSelector", "matchLabels"))


def names_can_be_resolved(objects: list[Object]) -> list[str]:
    """Each pod reaches kube-dns, over UDP and TCP, and port 53 of nothing else."""
    findings = []
    for policy in of_kind(objects, "NetworkPolicy"):
        for direction, rule in _rules(policy):
            wrong = [peer for peer in rule.get("to") or [] if peer != DNS]
            if direction == "egress" and _dns_ports(rule) and wrong:
                findings.append(f"{name(policy)}: a peer on port 53 is not kube-dns: {wrong[0]}")
    for pod in pods(objects):
        if not any(
            DNS in (rule.get("to") or []) and _dns_ports(rule) == {"UDP", "TCP"}
            for rule in _rules_for(objects, pod, "egress")
        ):
            findings.append(f"{pod.name}: cannot resolve names, no policy lets it reach kube-dns")
    return findings


def _dns_ports(rule: Object) -> set[str]:
    ports = rule.get("ports") or []
    return {port.get("protocol", "TCP") for port in ports if port.get("port") == 53}


def services_can_be_reached(objects: list[Object]) -> list[str]:
    """For each port of a Service some policy lets a peer reach the pods behind it."""
    findings = []
    for service in of_kind(objects, "Service"):
        selector = {"matchLabels": at(service, "spec", "selector", default={})}
        for pod in selected(objects, selector, namespace(service)):
            rules = _rules_for(objects, pod, "ingress")
            for port in service["spec"]["ports"]:
                target = port.get("targetPort", port["port"])
                if target in ports_of(pod) and not any(
                    _allows(rule, pod, target) for rule in rules
                ):
                    findings.append(f"{name(service)}: no policy lets anyone reach port {target}")
    return findings


def _allows(rule: Object, pod: Pod, target: str | int) -> bool:
    numbers = ports_of(pod)
    ports = [port.get("port") for port in rule.get("ports") or []]
    return not ports or any(numbers.get(port) == numbers[target] for port in ports)


def ports_of(pod: Pod) -> dict[str | int, int]:
    """Give the ports of a pod's containers, by name and by number."""
    found = [port for container in pod.containers for port in container.get("ports") or []]
    keys = ("name", "containerPort")
    return {port[key]: port["containerPort"] for port in found for key in keys if key in port}


def workers_reach_each_other(objects: list[Object]) -> list[str]:
    """Workers of one training run talk on any port: collectives choose theirs at run time."""
    findings = []
    for pod in pods(objects):
        if pod.owner["kind"] != "JobSet" or at(pod.job, "parallelism", default=1) == 1:
            continue
        for direction, side in (("ingress", "from"), ("egress", "to")):
            if not any(
                not rule.get("ports")
                and any(selects(peer.get("podSelector"), pod.labels) for peer in rule.get(side, []))
                for rule in _rules_for(objects, pod, direction)
            ):
                findings.append(f"{pod.name}: {direction} between its workers is not open")
    return findings


def _rules(policy: Object) -> Iterator[tuple[str, Object]]:
    for direction in ("ingress", "egress"):
        for rule in policy["spec"].get(direction) or []:
            yield direction, rule


def _rules_for(objects: list[Object], pod: Pod, direction: str) -> list[Object]:
    return [
        rule
        for policy in of_kind(objects, "NetworkPolicy")
        if namespace(policy) == pod.namespace and selects(policy["spec"]["podSelector"], pod.labels)
        for way, rule in _rules(policy)
        if way == direction
    ]


def _peers(objects: list[Object]) -> Iterator[tuple[Object, str, Object]]:
    for policy in of_kind(objects, "NetworkPolicy"):
        for direction, rule in _rules(policy):
            for peer in rule.get("from" if direction == "ingress" else "to") or []:
                yield policy, direction, peer
