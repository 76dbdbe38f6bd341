"""Names that objects refer to: each is in the render, or is brought by whoever owns the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from integration.infra.contract.objects import Object, at, name, namespace, pods
from integration.infra.contract.wiring.queues import PRIORITY, QUEUE

BROUGHT = {
    ("Secret", "s1-api-keys"),
    ("Secret", "teacher"),
    ("Secret", "hub"),
    ("Secret", "model-source"),
    ("Secret", "registry"),
}
"""what a cluster brings: keys are in no repository"""


class Reference(NamedTuple):
    """Who refers to what: the kind and name, in a namespace or in the cluster."""

    by: str
    kind: str
    name: str
    namespace: str = ""


def names_exist(objects: list[Object]) -> list[str]:
    """Whatever an object refers to is there."""
    there = {(o["kind"], at(o, "metadata", "name"), namespace(o)) for o in objects}
    return sorted(
        {
            f"{reference.by}: {reference.kind}/{reference.name} does not exist"
            for reference in _references(objects)
            if reference[1:] not in there and (reference.kind, reference.name) not in BROUGHT
        }
    )


def _references(objects: list[Object]) -> Iterator[Reference]:
    for pod in pods(objects):
        for kind, wanted in _of_pod(pod.spec):
            yield Reference(pod.name, kind, wanted, pod.namespace)
    for found in objects:
        for kind, wanted in _of_account(found):
            yield Reference(name(found), kind, wanted, namespace(found))
        for kind, wanted in _of_queue(found):
            yield Reference(name(found), kind, wanted, namespace(found))
        for kind, wanted in _of_canary(found):
            yield Reference(name(found), kind, wanted, namespace(found))
        for kind, wanted in _of_cluster(found):
            yield Reference(name(found), kind, wanted)
        if spaced := namespace(found):
            yield Reference(name(found), "Namespace", spaced)


def _of_pod(spec: Object) -> Iterator[tuple[str, str]]:
    yield from _of_volumes(spec.get("volumes") or [])
    yield from _of_pulls(spec)
    if account := spec.get("serviceAccountName"):
        yield "ServiceAccount", account
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        for entry in container.get("env") or []:
            for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                if found := at(entry, "valueFrom", key, "name"):
                    yield kind, found
        for entry in container.get("envFrom") or []:
            for key, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
                if found := at(entry, key, "name"):
                    yield kind, found


def _of_volumes(volumes: list[Object]) -> Iterator[tuple[str, str]]:
    for volume in volumes:
        projected = at(volume, "projected", "sources", default=[])
        for source in (volume, *projected):
            if found := at(source, "persistentVolumeClaim", "claimName"):
                yield "PersistentVolumeClaim", found
            if found := at(source, "configMap", "name"):
                yield "ConfigMap", found
            if found := at(source, "secret", "secretName") or at(source, "secret", "name"):
                yield "Secret", found


def _of_account(found: Object) -> Iterator[tuple[str, str]]:
    if found["kind"] == "ServiceAccount":
        yield from _of_pulls(found)


def _of_pulls(holder: Object) -> Iterator[tuple[str, str]]:
    for entry in holder.get("imagePullSecrets") or []:
        yield "Secret", entry["name"]


def _of_queue(found: Object) -> Iterator[tuple[str, str]]:
    labels = at(found, "metadata", "labels", default={})
    if queue := labels.get(QUEUE):
        yield "LocalQueue", queue


def _of_canary(found: Object) -> Iterator[tuple[str, str]]:
    canary = at(found, "spec", "strategy", "canary", default={})
    for key in ("canaryService", "stableService"):
        if service := canary.get(key):
            yield "Service", service
    for step in [*(canary.get("steps") or []), canary]:
        for template in at(step, "analysis", "templates", default=[]):
            yield "AnalysisTemplate", template["templateName"]
    for trigger in at(found, "spec", "triggers", default=[]):
        if reference := trigger.get("authenticationRef"):
            yield reference.get("kind", "TriggerAuthentication"), reference["name"]
    plugins = at(canary, "trafficRouting", "plugins", default={})
    for plugin in plugins.values():
        if route := at(plugin, "httpRoute"):
            yield "HTTPRoute", route


def _of_cluster(found: Object) -> Iterator[tuple[str, str]]:
    """Give what an object refers to beyond its namespace."""
    labels, kind, spec = (
        at(found, "metadata", "labels", default={}),
        found["kind"],
        found.get("spec"),
    )
    if priority := labels.get(PRIORITY):
        yield "WorkloadPriorityClass", priority
    if kind == "LocalQueue":
        yield "ClusterQueue", at(spec, "clusterQueue")
    if kind == "ClusterQueue":
        for group in at(spec, "resourceGroups", default=[]):
            for flavor in group["flavors"]:
                yield "ResourceFlavor", flavor["name"]
    if kind == "ResourceFlavor" and (topology := at(spec, "topologyName")):
        yield "Topology", topology
    if kind == "ValidatingAdmissionPolicyBinding":
        yield "ValidatingAdmissionPolicy", spec["policyName"]
    for pod in pods([found]):
        if priority := pod.spec.get("priorityClassName"):
            yield "PriorityClass", priority


def mounts_have_volumes(objects: list[Object]) -> list[str]:
    """Each mount is of a volume of its pod, and no volume is there for nobody."""
    findings = []
    for pod in pods(objects):
        volumes = {volume["name"] for volume in pod.spec.get("volumes") or []}
        mounted = {
            mount["name"]
            for container in pod.containers
            for mount in container.get("volumeMounts") or []
        }
        findings += [f"{pod.name}: mounts {m}, which is no volume" for m in mounted - volumes]
        findings += [f"{pod.name}: nobody mounts volume {v}" for v in volumes - mounted]
    return findings
