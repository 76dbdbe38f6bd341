"""Pods under the restricted profile, and what we ask beyond it.

The rules are those of the Pod Security Standards; an admission plugin would refuse the same pods.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from integration.infra.contract.objects import Object, Pod, at, each_container, named, pods

_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret", "image",
}  # fmt: skip
_HOST = ("hostNetwork", "hostPID", "hostIPC")
_SECCOMP = ("RuntimeDefault", "Localhost")
_MODES = ("enforce", "warn", "audit")
_LEAST_UID = 1000


def pods_are_restricted(objects: list[Object]) -> list[str]:
    """No pod asks for what the restricted profile forbids."""
    findings = []
    for pod in pods(objects):
        findings += [f"{pod.name}: {fault}" for fault in _pod_faults(pod)]
    for pod, container, where in each_container(objects):
        findings += [f"{where}: {fault}" for fault in _container_faults(pod, container)]
    return findings


def _pod_faults(pod: Pod) -> Iterator[str]:
    for key in _HOST:
        if pod.spec.get(key):
            yield f"{key} is true"
    for volume in pod.spec.get("volumes") or []:
        kinds = set(volume) - {"name"}
        if not kinds <= _VOLUMES:
            yield f"volume {volume['name']} is a {' and '.join(sorted(kinds - _VOLUMES))}"
    if at(pod.spec, "securityContext", "sysctls"):
        yield "sets sysctls"


def _container_faults(pod: Pod, container: Object) -> Iterator[str]:
    own = container.get("securityContext") or {}
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if own.get("privileged"):
        yield "is privileged"
    if own.get("procMount", "Default") != "Default":
        yield f"procMount is {own['procMount']}"
    if at(own, "capabilities", "drop", default=[]) != ["ALL"]:
        yield "does not drop ALL capabilities"
    if set(at(own, "capabilities", "add", default=[])) - {"NET_BIND_SERVICE"}:
        yield f"adds capabilities {own['capabilities']['add']}"
    if _either(pod, own, "runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if _either(pod, own, "runAsUser") == 0:
        yield "runs as root"
    if at(_either(pod, own, "seccompProfile"), "type") not in _SECCOMP:
        yield "has no seccomp profile"
    for port in container.get("ports") or []:
        if port.get("hostPort"):
            yield f"takes port {port['hostPort']} of its node"


def _either(pod: Pod, own: Object, key: str) -> Any:
    """Give a setting of the container, or of its pod."""
    return own.get(key, at(pod.spec, "securityContext", key))


def users_are_numbers(objects: list[Object]) -> list[str]:
    """The user is said in the pod: what an image says may be a name, which proves nothing."""
    findings = []
    for pod, container, where in each_container(objects):
        user = _either(pod, container.get("securityContext") or {}, "runAsUser")
        if not isinstance(user, int) or user < _LEAST_UID:
            findings.append(f"{where}: runAsUser is {user}, wanted a number from {_LEAST_UID}")
    return findings


def roots_are_read_only(objects: list[Object]) -> list[str]:
    """Containers write in mounted volumes alone, and have /tmp among them."""
    findings = []
    for _, container, where in each_container(objects):
        if at(container, "securityContext", "readOnlyRootFilesystem") is not True:
            findings.append(f"{where}: readOnlyRootFilesystem is not true")
        mounts = container.get("volumeMounts") or []
        if not any(m["mountPath"] == "/tmp" and not m.get("readOnly") for m in mounts):
            findings.append(f"{where}: has no /tmp to write to")
    return findings


def pods_hold_no_token(objects: list[Object]) -> list[str]:
    """No pod of ours talks to the API server, nor wants a variable for each Service."""
    return [
        f"{pod.name}: {key} is not false"
        for pod in pods(objects)
        for key in ("automountServiceAccountToken", "enableServiceLinks")
        if pod.spec.get(key) is not False
    ]


def namespaces_are_restricted(objects: list[Object]) -> list[str]:
    """Each namespace with pods enforces the restricted profile, warns and audits by it."""
    findings = []
    for used in sorted({pod.namespace for pod in pods(objects)}):
        found = named(objects, "Namespace", used)
        labels = at(found, "metadata", "labels", default={})
        for mode in _MODES:
            level = labels.get(f"pod-security.kubernetes.io/{mode}")
            if level != "restricted":
                findings.append(f"Namespace/{used}: {mode}s {level}, wanted restricted")
    return findings
