"""What a small Kubernetes holds in memory, and its controllers, which are in a hurry.

Server-side apply tells the owners of fields apart; lists are merged by their `name`.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Place = tuple[str, ...]
Key = tuple[str, str, str]  # kind, namespace, name


@dataclass(frozen=True)
class Resource:
    """A kind and where it is found."""

    api: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def root(self) -> str:
        return f"/api/{self.api}" if "/" not in self.api else f"/apis/{self.api}"


CORE = ("ConfigMap", "PersistentVolumeClaim", "Pod", "Secret", "Service", "ServiceAccount")
ADMISSION = "admissionregistration.k8s.io/v1"
RESOURCES = (
    Resource("v1", "namespaces", "Namespace", False),
    *(Resource("v1", kind.lower() + "s", kind) for kind in CORE),
    Resource("apps/v1", "deployments", "Deployment"),
    Resource("batch/v1", "jobs", "Job"),
    Resource("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    Resource("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"),
    Resource("rbac.authorization.k8s.io/v1", "roles", "Role"),
    Resource("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding"),
    Resource(ADMISSION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", False),
    Resource(
        ADMISSION, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", False
    ),
)
EXTRAS = (
    Resource("argoproj.io/v1alpha1", "rollouts", "Rollout"),
    Resource("argoproj.io/v1alpha1", "analysistemplates", "AnalysisTemplate"),
    Resource("gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute"),
    Resource("jobset.x-k8s.io/v1alpha2", "jobsets", "JobSet"),
    Resource("keda.sh/v1alpha1", "scaledobjects", "ScaledObject"),
    Resource("kueue.x-k8s.io/v1beta1", "localqueues", "LocalQueue"),
    Resource("kueue.x-k8s.io/v1beta2", "localqueues", "LocalQueue"),
    Resource("monitoring.coreos.com/v1", "prometheusrules", "PrometheusRule"),
    Resource("monitoring.coreos.com/v1", "servicemonitors", "ServiceMonitor"),
)


class Fault(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, reason: str, message: str, causes: list[Object] | None = None):
        super().__init__(message)
        details = {"causes": causes} if causes else {}
        self.code = code
        self.status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                       "reason": reason, "message": message, "details": details}  # fmt: skip


@dataclass
class Cluster:
    """What the server holds, and how its controllers behave."""

    version: str = "1.35"
    resources: tuple[Resource, ...] = RESOURCES + EXTRAS
    ready: bool = True
    """Pods become ready and jobs complete; off, they never do."""
    running: str | None = None
    """The image that pods report, instead of the one they were given."""
    phase: str = "Healthy"
    """Of every Rollout."""
    warning: str | None = None
    """Sent with every write."""
    fault: Fault | None = None
    """The answer to every write."""
    objects: dict[Key, Object] = field(default_factory=dict)
    owners: dict[Key, dict[Place, str]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    """What really changed: verb, kind and name."""
    count: int = 0
    stopped: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, value: Object, manager: str = "somebody") -> None:
        """Create an object or apply to it, by force."""
        self.write(value, manager, force=True)

    def find(self, kind: str, namespace: str, name: str) -> Object:
        """Return an object, or fail as the API does."""
        found = self.objects.get((kind, namespace, name))
        if found is None:
            resource = next(one for one in self.resources if one.kind == kind)
            group = resource.api.rpartition("/")[0].split("/")[0]
            plural = f"{resource.plural}.{group}" if group else resource.plural
            raise Fault(404, "NotFound", f'{plural} "{name}" not found')
        return found

    def write(
        self, value: Object, manager: str, *, force: bool = False, dry: bool = False
    ) -> Object:
        """Apply server-side: own the fields given, give up those no longer given."""
        meta = value["metadata"]
        key = (value["kind"], meta.get("namespace", ""), meta["name"])
        if key[1]:
            self.find("Namespace", "", key[1])
        live, owners = self.objects.get(key), self.owners.get(key, {})
        wanted = dict(leaves(value))
        if not force and live is not None:
            check_owners(value["apiVersion"], live, wanted, owners, manager)
        made = merged(live or {}, value)
        for place in [one for one, owner in owners.items() if owner == manager]:
            if place not in wanted:
                remove(made, place)
        self._stamp(made, live)
        if not dry and made != live:
            kept = {place: owner for place, owner in owners.items() if owner != manager}
            self.owners[key] = kept | dict.fromkeys(wanted, manager)
            self._store(key, made)
        return made

    def _stamp(self, made: Object, live: Object | None) -> None:
        meta = made["metadata"]
        if live is None:
            meta |= {"uid": f"uid-{self.count}", "creationTimestamp": "2026-01-01T00:00:00Z"}
            meta["generation"] = 1
        elif made.get("spec") != live.get("spec"):
            meta["generation"] = live["metadata"]["generation"] + 1
        if made["kind"] == "Deployment":
            made["spec"].setdefault("replicas", 1)

    def _store(self, key: Key, made: Object) -> None:
        self.count += 1
        self.objects[key] = made
        if made["kind"] in ("Deployment", "Job", "Rollout"):
            made["status"] = self.status(made)
        made["metadata"]["resourceVersion"] = str(self.count)
        if made["kind"] == "Deployment":
            self._start_pods(made)
            for other in self.objects.values():
                if other["kind"] == "Rollout":
                    other["status"] = self.status(other)
        if made["kind"] != "Pod":
            self.writes.append(f"{made['kind']}/{key[2]}")

    def status(self, made: Object) -> Object:
        """Say how an object stands at once: its controller is in a hurry."""
        generation = made["metadata"]["generation"]
        if made["kind"] == "Job":
            done = {"type": "Complete", "status": "True"}
            return {"succeeded": 1, "conditions": [done]} if self.ready else {"active": 1}
        if made["kind"] == "Rollout":
            deployment = self.objects.get(("Deployment", made["metadata"]["namespace"], "s1"))
            workload = deployment["metadata"]["generation"] if deployment else 0
            observed = {
                "observedGeneration": str(generation),
                "workloadObservedGeneration": str(workload),
                "pauseConditions": [{"reason": "CanaryPauseStep"}],
            }
            return observed | {"phase": self.phase, "message": "CanaryPauseStep"}
        count = made["spec"].get("replicas", 1)
        available = count if self.ready else 0
        return {"observedGeneration": generation, "replicas": count, "updatedReplicas": count,
                "readyReplicas": available, "availableReplicas": available}  # fmt: skip

    def _start_pods(self, deployment: Object) -> None:
        namespace, template = deployment["metadata"]["namespace"], deployment["spec"]["template"]
        for key in [one for one in self.objects if one[:2] == ("Pod", namespace)]:
            del self.objects[key]
        for number in range(deployment["spec"].get("replicas", 1)):
            statuses = [self._container(one) for one in template["spec"]["containers"]]
            meta = {"name": f"s1-{number}", "namespace": namespace}
            pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
                   "metadata": meta | {"labels": template["metadata"]["labels"]},
                   "status": {"containerStatuses": statuses}}  # fmt: skip
            self._store(("Pod", namespace, meta["name"]), pod)

    def _container(self, container: Object) -> Object:
        image = self.running or container["image"]
        if self.ready:
            return {"name": container["name"], "imageID": image, "state": {"running": {}}}
        waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
        return {"name": container["name"], "imageID": "", "state": {"waiting": waiting}}


def leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Walk over the fields that an apply owns."""
    if place in (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")):
        return
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from leaves(part, (*place, name))
    elif is_keyed(value):
        for part in value:
            yield from leaves(part, (*place, f"name={part['name']}"))
    else:
        yield place, value


def is_keyed(value: Any) -> bool:
    """Say whether a list is a map by `name`, as containers and variables are."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(part, dict) and "name" in part for part in value)
    )


def merged(live: Any, value: Any) -> Any:
    """Lay what is applied over what there is."""
    if isinstance(value, dict) and isinstance(live, dict):
        changed = {name: merged(live.get(name), part) for name, part in value.items()}
        return copy.deepcopy(live) | changed
    if is_keyed(value) and is_keyed(live):
        found = {part["name"]: part for part in live}
        given = {part["name"]: merged(found.get(part["name"], {}), part) for part in value}
        return list((copy.deepcopy(found) | given).values())
    return copy.deepcopy(value)


def remove(value: Any, place: Place) -> None:
    """Take a field away, and what it leaves empty."""
    head, *rest = place
    if isinstance(value, list):
        found = next((part for part in value if f"name={part.get('name')}" == head), None)
        if found is not None and rest:
            remove(found, tuple(rest))
            if set(found) <= {"name"}:
                value.remove(found)
    elif isinstance(value, dict) and head in value:
        if rest:
            remove(value[head], tuple(rest))
        if not rest or value[head] in ({}, []):
            del value[head]


def check_owners(
    api: str, live: Object, wanted: dict[Place, Any], owners: dict[Place, str], manager: str
) -> None:
    """Refuse to change fields that somebody else applied."""
    there = dict(leaves(live))
    lost = [place for place, value in wanted.items()
            if owners.get(place, manager) != manager and there.get(place) != value]  # fmt: skip
    if lost:
        by = f'conflict with "{owners[lost[0]]}" using {api}'
        fields = [f".{'.'.join(place)}" for place in lost]
        causes = [{"reason": "FieldManagerConflict", "message": by, "field": one} for one in fields]
        count = f"{len(fields)} conflict{'s' if len(fields) > 1 else ''}"
        message = f"Apply failed with {count}: {by}: {', '.join(fields)}"
        raise Fault(409, "Conflict", message, causes)
