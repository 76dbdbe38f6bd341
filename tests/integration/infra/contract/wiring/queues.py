"""Kueue: batch work is queued, and the queue could ever admit it."""

from __future__ import annotations

from integration.infra.contract.objects import Object, at, name, named, namespace, of_kind, pods

QUEUE, PRIORITY = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class"
_TOPOLOGY = ("podset-required-topology", "podset-preferred-topology")
_UNITS = {
    "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip


def batch_work_is_queued(objects: list[Object]) -> list[str]:
    """Where a namespace has a queue, what is not put in it starts at once, beside the quota."""
    queued = {namespace(queue) for queue in of_kind(objects, "LocalQueue")}
    return [
        f"{name(found)}: has no label {key}"
        for found in of_kind(objects, "Job", "JobSet")
        if namespace(found) in queued
        for key in (QUEUE, PRIORITY)
        if key not in at(found, "metadata", "labels", default={})
    ]


def queues_admit_the_namespace(objects: list[Object]) -> list[str]:
    """A ClusterQueue takes work from the namespaces whose LocalQueues point to it."""
    findings = []
    for local in of_kind(objects, "LocalQueue"):
        queue = named(objects, "ClusterQueue", local["spec"]["clusterQueue"])
        pairs = at(queue, "spec", "namespaceSelector", "matchLabels", default={})
        meant = pairs.get("kubernetes.io/metadata.name", namespace(local))
        if queue and meant != namespace(local):
            findings.append(f"{name(queue)}: takes work of {meant}, not of {namespace(local)}")
    return findings


def queues_have_room(objects: list[Object]) -> list[str]:
    """Some flavor has enough of all that the pods of a Job or JobSet ask for together.

    A resource that the queue does not cover is never admitted, and nothing says so at the job.
    """
    findings = []
    for found in of_kind(objects, "Job", "JobSet"):
        queue = _queue_of(objects, found)
        if queue is None:
            continue
        asked = _asked(found)
        groups = at(queue, "spec", "resourceGroups", default=[])
        covered = {key for group in groups for key in group["coveredResources"]}
        missing = sorted(set(asked) - covered)
        findings += [f"{name(found)}: asks for {key}, which {name(queue)} lacks" for key in missing]
        if not missing and not any(_fits(asked, f) for group in groups for f in group["flavors"]):
            findings.append(f"{name(found)}: no flavor of {name(queue)} has {_told(asked)}")
    return findings


def _queue_of(objects: list[Object], found: Object) -> Object | None:
    label = at(found, "metadata", "labels", QUEUE)
    local = named(objects, "LocalQueue", label, namespace(found)) if label else None
    return named(objects, "ClusterQueue", local["spec"]["clusterQueue"]) if local else None


def _asked(found: Object) -> dict[str, float]:
    """Sum up what the pods that run at a time ask for; initContainers run one by one before."""
    total: dict[str, float] = {}
    for pod in pods([found]):
        for key, amount in _of_pod(pod.spec).items():
            total[key] = total.get(key, 0) + amount * at(pod.job, "parallelism", default=1)
    return total


def _of_pod(spec: Object) -> dict[str, float]:
    total: dict[str, float] = {}
    for container in spec.get("containers") or []:
        for key, text in at(container, "resources", "requests", default={}).items():
            total[key] = total.get(key, 0) + quantity(text)
    for container in spec.get("initContainers") or []:
        for key, text in at(container, "resources", "requests", default={}).items():
            total[key] = max(total.get(key, 0), quantity(text))
    return total


def quantity(text: str | int | float) -> float:
    """Read an amount of a resource: 250m, 4Gi, 2."""
    if not isinstance(text, str):
        return float(text)
    unit = next((unit for unit in sorted(_UNITS, key=len)[::-1] if text.endswith(unit)), "")
    return float(text.removesuffix(unit)) * _UNITS.get(unit, 1)


def _fits(asked: dict[str, float], flavor: Object) -> bool:
    quotas = {quota["name"]: quantity(quota["nominalQuota"]) for quota in flavor["resources"]}
    return all(quotas.get(key, 0) >= amount for key, amount in asked.items())


def _told(asked: dict[str, float]) -> str:
    return ", ".join(f"{amount:g} {key}" for key, amount in sorted(asked.items()))


def topologies_have_the_level(objects: list[Object]) -> list[str]:
    """A level that pods are to share is one of a Topology; Kueue never admits them otherwise."""
    levels = {
        level["nodeLabel"]
        for found in of_kind(objects, "Topology")
        for level in found["spec"]["levels"]
    }
    return [
        f"{pod.name}: no Topology has the level {pod.annotations[key]}"
        for pod in pods(objects)
        for key in (f"kueue.x-k8s.io/{kind}" for kind in _TOPOLOGY)
        if key in pod.annotations and pod.annotations[key] not in levels
    ]
