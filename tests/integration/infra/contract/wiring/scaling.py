"""How many pods there are: one says so, and disruptions leave some of them."""

from __future__ import annotations

import math

from integration.infra.contract.objects import (
    Object,
    at,
    name,
    named,
    namespace,
    of_kind,
    selects,
)

_SCALERS = ("ScaledObject", "HorizontalPodAutoscaler")


def counts_have_one_owner(objects: list[Object]) -> list[str]:
    """`replicas` in a manifest would undo, at each apply, what an autoscaler or a Rollout set."""
    findings = []
    for found in of_kind(objects, "Deployment", "StatefulSet", "Rollout"):
        by = [name(owner) for owner in _scalers(objects, found)]
        by += [name(owner) for owner in _takers(objects, found)]
        if by and "replicas" in found["spec"]:
            count = found["spec"]["replicas"]
            findings.append(f"{name(found)}: replicas {count} is owned by {' and '.join(by)}")
    return findings


def scalers_scale_what_runs(objects: list[Object]) -> list[str]:
    """A scaler's target exists, and no Rollout has taken its pods over."""
    findings = []
    for found in of_kind(objects, *_SCALERS):
        target = _target(objects, found)
        if target is None:
            findings.append(f"{name(found)}: scales {_reference(found)}, which does not exist")
        for taker in _takers(objects, target) if target else ():
            findings.append(f"{name(found)}: scales {name(target)}, whose pods {name(taker)} makes")
    return findings


def scalers_keep_two(objects: list[Object]) -> list[str]:
    """One pod is no service while it restarts; and the most is not below the least."""
    findings = []
    for found in of_kind(objects, *_SCALERS):
        least, most = _bounds(found)
        if least < 2 or most < least:
            findings.append(f"{name(found)}: keeps {least} to {most} pods, wanted 2 or more")
    return findings


def scalers_fall_back_to_enough(objects: list[Object]) -> list[str]:
    """While its numbers cannot be had, a scaler keeps at least as many pods as ever."""
    findings = []
    for found in of_kind(objects, "ScaledObject"):
        kept = at(found, "spec", "fallback", "replicas", default=0)
        if kept < _bounds(found)[0]:
            findings.append(f"{name(found)}: falls back to {kept} pods, wanted {_bounds(found)[0]}")
    return findings


def budgets_leave_room(objects: list[Object]) -> list[str]:
    """A node can be drained: of the fewest pods that there may be, one can go."""
    findings = []
    for budget in of_kind(objects, "PodDisruptionBudget"):
        for found in of_kind(objects, "Deployment", "StatefulSet", "Rollout"):
            labels = at(found, "spec", "template", "metadata", "labels", default={})
            if namespace(found) == namespace(budget) and selects(
                at(budget, "spec", "selector") or None, labels
            ):
                fewest = _fewest(objects, found)
                if _room(budget["spec"], fewest) < 1:
                    findings.append(f"{name(budget)}: of {fewest} pod(s) none may be moved")
    return findings


def _room(spec: Object, fewest: int) -> int:
    if "maxUnavailable" in spec:
        return _count(spec["maxUnavailable"], fewest)
    return fewest - _count(spec.get("minAvailable", 1), fewest)


def _count(value: int | str, of: int) -> int:
    """Read a count or a share; Kubernetes rounds shares up."""
    return math.ceil(int(value[:-1]) * of / 100) if isinstance(value, str) else value


def _fewest(objects: list[Object], found: Object) -> int:
    running = [found, *_takers(objects, found)]
    bounds = [_bounds(scaler)[0] for each in running for scaler in _scalers(objects, each)]
    return min(bounds, default=at(running[-1], "spec", "replicas", default=1))


def _bounds(scaler: Object) -> tuple[int, int]:
    spec = scaler["spec"]
    if scaler["kind"] == "ScaledObject":
        return spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
    return spec.get("minReplicas", 1), spec["maxReplicas"]


def _reference(scaler: Object) -> str:
    target = scaler["spec"]["scaleTargetRef"]
    return f"{target.get('kind', 'Deployment')}/{target.get('name')}"


def _target(objects: list[Object], scaler: Object) -> Object | None:
    kind, _, wanted = _reference(scaler).partition("/")
    return named(objects, kind, wanted, namespace(scaler))


def _scalers(objects: list[Object], found: Object) -> list[Object]:
    return [scaler for scaler in of_kind(objects, *_SCALERS) if _target(objects, scaler) is found]


def _takers(objects: list[Object], found: Object) -> list[Object]:
    """Give the Rollouts that make the pods of a workload."""
    return [
        rollout
        for rollout in of_kind(objects, "Rollout")
        if name(found) == _workload(rollout) and namespace(found) == namespace(rollout)
    ]


def _workload(rollout: Object) -> str:
    reference = at(rollout, "spec", "workloadRef", default={})
    return f"{reference.get('kind')}/{reference.get('name')}"


def rollouts_have_their_workload(objects: list[Object]) -> list[str]:
    """A Rollout that refers to a workload finds it, with the version it is written in."""
    findings = []
    for rollout in of_kind(objects, "Rollout"):
        reference = at(rollout, "spec", "workloadRef")
        if reference is None:
            continue
        found = named(objects, reference["kind"], reference["name"], namespace(rollout))
        if found is None or found["apiVersion"] != reference.get("apiVersion"):
            findings.append(f"{name(rollout)}: there is no {_workload(rollout)} to take over")
    return findings
