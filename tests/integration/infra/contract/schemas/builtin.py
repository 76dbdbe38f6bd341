"""Schemas of Kubernetes' own kinds, strict, for the versions that the manifests are for.

Objects inside custom ones (the Job of a JobSet) are looked at as what they are.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from jsonschema import Draft202012Validator
from kubernetes_validate import utils
from referencing import Registry, Resource

from integration.infra.contract.objects import Object, at, jobs, name

VERSIONS = ("1.34", "1.35", "1.36", "1.37")
_BUILTIN = re.compile(r"(v1|(apps|batch|autoscaling|policy|([a-z]+\.)*k8s\.io)/v\d+)")
_META = {"apiVersion": "v1", "metadata": {"name": "inner"}}


def is_builtin(found: Object) -> bool:
    """Say whether an object is of a group of Kubernetes itself; x-k8s.io and others are not."""
    version = found["apiVersion"]
    return bool(_BUILTIN.fullmatch(version)) and not version.startswith("gateway.")


def faults(found: Object, version: str) -> list[str]:
    """Say what an API server of a version would refuse in an object of a built-in kind.

    An unknown kind is a fault: kubernetes-validate's own command only warns of it.
    """
    try:
        validator = _validator(version, found["apiVersion"], found["kind"])
    except FileNotFoundError:
        kind = f"{found['apiVersion']} {found['kind']}"
        return [f"{name(found)}: Kubernetes {version} has no {kind}"]
    return [
        f"{name(found)} on Kubernetes {version}: {'.'.join(map(str, error.path))}:"
        f" {error.message[:200]}"
        for error in validator.iter_errors(found)
    ]


def inner_faults(found: Object, version: str) -> list[str]:
    """Say what a version would refuse in the built-in objects inside a custom one."""
    return [
        f"{name(found)} holds {fault}"
        for inner in _inner(found)
        for fault in faults(inner, version)
    ]


def _inner(found: Object) -> Iterator[Object]:
    for spec in jobs(found):
        yield _META | {"apiVersion": "batch/v1", "kind": "Job", "spec": spec}
    if found["kind"] == "Rollout" and (template := at(found, "spec", "template")):
        yield _META | {"kind": "PodTemplate", "template": template}
    if behavior := at(found, "spec", "advanced", "horizontalPodAutoscalerConfig", "behavior"):
        spec = {
            "scaleTargetRef": {"kind": "X", "name": "x"},
            "maxReplicas": 1,
            "behavior": behavior,
        }
        kind = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
        yield _META | kind | {"spec": spec}


@functools.cache
def _validator(version: str, api_version: str, kind: str) -> Draft202012Validator:
    """Read a strict schema of kubernetes-validate; its own function reads 1.5 MB at each call."""
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    schema = _contents(version, f"{kind.lower()}-{group}")
    registry = Resource.from_contents(schema) @ _definitions(version)
    return Draft202012Validator(schema, registry=registry)


@functools.cache
def _definitions(version: str) -> Registry:
    return Resource.from_contents(_contents(version, "_definitions")) @ Registry()


def _contents(version: str, file: str) -> Object:
    bundled = next(v for v in utils.all_versions() if utils.major_minor(v) == version)
    path = f"kubernetes-json-schema/v{bundled}-local-strict/{file}.json"
    return dict(utils.schema_contents(path, version))
