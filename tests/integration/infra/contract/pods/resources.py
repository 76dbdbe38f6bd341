"""What pods ask of a node, and how it is seen that they live."""

from __future__ import annotations

from integration.infra.contract.objects import Object, at, each_container, pods
from integration.infra.contract.pods import argv

_PROBES = {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}


def gpus_are_requested_as_limited(objects: list[Object]) -> list[str]:
    """Devices cannot be shared: the API refuses another request than limit."""
    findings = []
    for _, container, where in each_container(objects):
        requests, limits = _resources(container, "requests"), _resources(container, "limits")
        devices = {key for key in {*requests, *limits} if "/" in key}
        findings += [
            f"{where}: requests {requests.get(device)} of {device} and is limited to"
            f" {limits.get(device)}"
            for device in sorted(devices)
            if str(requests.get(device)) != str(limits.get(device))
        ]
    return findings


def resources_are_set(objects: list[Object]) -> list[str]:
    """The scheduler knows what each container needs, and its memory has an end."""
    findings = []
    for _, container, where in each_container(objects):
        for kind, wanted in (("requests", ("cpu", "memory")), ("limits", ("memory",))):
            missing = [key for key in wanted if key not in _resources(container, kind)]
            findings += [f"{where}: {kind} no {key}" for key in missing]
    return findings


def scratch_is_bounded(objects: list[Object]) -> list[str]:
    """What pods write beside the claims cannot fill a node."""
    return [
        f"{pod.name}: volume {volume['name']} is an emptyDir without sizeLimit"
        for pod in pods(objects)
        for volume in pod.spec.get("volumes") or []
        if "emptyDir" in volume and not at(volume, "emptyDir", "sizeLimit")
    ]


def servers_are_probed(objects: list[Object]) -> list[str]:
    """A server has the three probes: ready says that it can answer, alive only that it runs."""
    findings = []
    for pod, container, where in each_container(objects):
        if pod.owner["kind"] not in ("Deployment", "StatefulSet", "Rollout"):
            continue
        if container in (pod.spec.get("initContainers") or []):
            continue
        for probe, path in _PROBES.items():
            asked = at(container, probe, "httpGet", "path")
            if asked != path:
                findings.append(f"{where}: {probe} asks {asked}, wanted {path}")
    return findings


def shared_memory_is_for_trainers(objects: list[Object]) -> list[str]:
    """Processes of one machine meet in /dev/shm, of which a container has 64 MB unless mounted."""
    findings = []
    for pod, container, where in each_container(objects):
        if argv.module_of(argv.words(pod, container)) != "s1_train.fit":
            continue
        names = [
            mount["name"]
            for mount in container.get("volumeMounts") or []
            if mount["mountPath"] == "/dev/shm"
        ]
        media = {
            volume["name"]: at(volume, "emptyDir", "medium")
            for volume in pod.spec.get("volumes") or []
        }
        if not any(media.get(name) == "Memory" for name in names):
            findings.append(f"{where}: no memory is mounted at /dev/shm")
    return findings


def _resources(container: Object, kind: str) -> Object:
    return at(container, "resources", kind, default={})
