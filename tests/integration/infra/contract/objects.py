"""What a render holds: objects, the pods they make, and what a selector selects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Check = Callable[[list[Object]], list[str]]

NAME, COMPONENT, PART_OF = (f"app.kubernetes.io/{key}" for key in ("name", "component", "part-of"))
APP = "s1"
COMPONENTS = ("serving", "weights", "data", "training")
_TEMPLATED = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Rollout")


@dataclass(frozen=True)
class Pod:
    """A pod template, the object that makes pods of it, and the Job between them, if any."""

    owner: Object
    template: Object
    job: Object | None = None

    @property
    def name(self) -> str:
        return name(self.owner)

    @property
    def namespace(self) -> str:
        return namespace(self.owner)

    @property
    def labels(self) -> dict[str, str]:
        return dict(at(self.template, "metadata", "labels", default={}))

    @property
    def annotations(self) -> dict[str, str]:
        return dict(at(self.template, "metadata", "annotations", default={}))

    @property
    def spec(self) -> Object:
        return dict(self.template.get("spec") or {})

    @property
    def component(self) -> str:
        return self.labels.get(COMPONENT, "")

    @property
    def containers(self) -> list[Object]:
        """All containers, those that run before the others first."""
        return [*(self.spec.get("initContainers") or []), *(self.spec.get("containers") or [])]


def at(value: Any, *path: str | int, default: Any = None) -> Any:
    """Walk down keys and indices; the default where one is missing or null."""
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return default
        if value is None:
            return default
    return value


def name(found: Object) -> str:
    """Name an object as `kubectl` does: Kind/name."""
    return f"{found.get('kind')}/{at(found, 'metadata', 'name')}"


def namespace(found: Object) -> str:
    return str(at(found, "metadata", "namespace", default=""))


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """Give the objects of some kinds, in the order of the render."""
    return [found for found in objects if found.get("kind") in kinds]


def named(objects: list[Object], kind: str, name: str, namespace_: str = "") -> Object | None:
    """Find an object by kind and name; in a namespace where one is given."""
    for found in of_kind(objects, kind):
        if at(found, "metadata", "name") == name and namespace_ in ("", namespace(found)):
            return found
    return None


def pods(objects: list[Object]) -> list[Pod]:
    """Give the pods that the objects of a render make."""
    return [pod for found in objects for pod in _pods(found)]


def _pods(found: Object) -> Iterator[Pod]:
    spec, kind = found.get("spec") or {}, found.get("kind")
    if kind == "Pod":
        yield Pod(found, found)
    elif kind in _TEMPLATED and spec.get("template"):
        yield Pod(found, spec["template"], spec if kind == "Job" else None)
    for job in jobs(found) if kind != "Job" else ():
        yield Pod(found, job.get("template") or {}, job)


def jobs(found: Object) -> list[Object]:
    """Give the specs of the Jobs that an object makes."""
    spec = found.get("spec") or {}
    if found.get("kind") == "Job":
        return [spec]
    if found.get("kind") == "CronJob":
        return [at(spec, "jobTemplate", "spec", default={})]
    if found.get("kind") == "JobSet":
        return [at(part, "template", "spec", default={}) for part in spec["replicatedJobs"]]
    if found.get("kind") == "AnalysisTemplate":
        found_jobs = [at(metric, "provider", "job", "spec") for metric in spec["metrics"]]
        return [job for job in found_jobs if job]
    return []


def selects(selector: Object | None, labels: dict[str, str]) -> bool:
    """Say whether a label selector selects; none selects nothing, an empty one everything."""
    if selector is None:
        return False
    pairs = (selector.get("matchLabels") or {}).items()
    rules = selector.get("matchExpressions") or []
    return all(labels.get(key) == value for key, value in pairs) and all(
        _holds(rule, labels) for rule in rules
    )


def _holds(rule: Object, labels: dict[str, str]) -> bool:
    value, values = labels.get(rule["key"]), rule.get("values") or []
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[rule["operator"]]


def selected(objects: list[Object], selector: Object | None, namespace_: str) -> list[Pod]:
    """Give the pods of a namespace that a selector selects."""
    return [
        pod
        for pod in pods(objects)
        if pod.namespace == namespace_ and selects(selector, pod.labels)
    ]


def owners(found: list[Pod]) -> list[str]:
    """Name the objects that make some pods, each once."""
    return sorted({pod.name for pod in found})


def each_container(objects: list[Object]) -> Iterator[tuple[Pod, Object, str]]:
    """Walk over all containers with their pod and a name for findings."""
    for pod in pods(objects):
        for container in pod.containers:
            yield pod, container, f"{pod.name} container {container.get('name')}"


def seconds(duration: str | int) -> float:
    """Read a duration of the Gateway API or of Prometheus: 10s, 1h30m."""
    if isinstance(duration, int):
        return float(duration)
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    parts = re.findall(r"(\d+)(ms|[smhd])", duration)
    assert "".join(map("".join, parts)) == duration, f"{duration!r} is no duration"
    return sum(int(count) * units[unit] for count, unit in parts)
