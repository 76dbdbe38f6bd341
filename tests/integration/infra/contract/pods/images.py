"""Images by digest, and pins that reached every place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from integration.infra.contract.objects import Object, Pod, at, name, of_kind, pods
from integration.infra.contract.pods import argv
from s1_serve.server import app

PINNED = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
RELEASE = "s1/release"
_PIN_FILES = ("release", "batch-image")


def images_are_pinned(objects: list[Object]) -> list[str]:
    """An image, be it of a container or of a volume, is named by its digest and by no tag."""
    return [
        f"{name(found)}: image {image!r} is not NAME@sha256:DIGEST"
        for found in objects
        for image in _images(found)
        if not PINNED.fullmatch(str(image))
    ]


def _images(value: Any) -> Iterator[str]:
    """Find images wherever they stand: as `image` of a container, `image.reference` of a volume."""
    if isinstance(value, list):
        for item in value:
            yield from _images(item)
    if isinstance(value, dict):
        image = value.get("image")
        if isinstance(image, str):
            yield image
        elif isinstance(image, dict) and "reference" in image:
            yield image["reference"]
        for item in value.values():
            yield from _images(item)


def pins_reach_the_pods(objects: list[Object]) -> list[str]:
    """Pods that serve, or fetch weights, are told the model; those that serve tell the release."""
    findings = []
    for pod in pods(objects):
        if pod.component not in ("serving", "weights"):
            continue
        if not any(_names_model(pod, container) for container in pod.containers):
            findings.append(f"{pod.name}: no container has MODEL_SHA256, 64 hex digits")
        if pod.component == "serving":
            findings += _untold(pod)
    return findings


def _names_model(pod: Pod, container: Object) -> bool:
    model = argv.variables(pod, container).get("MODEL_SHA256", "")
    return _SHA256.fullmatch(model) is not None


def _untold(pod: Pod) -> list[str]:
    """Say where pods do not tell their release: to kubectl, and on /v1/models."""
    release = pod.annotations.get(RELEASE, "")
    if not _SHA256.fullmatch(release):
        return [f"{pod.name}: its pods bear no annotation {RELEASE}, 64 hex digits"]
    told = [argv.variables(pod, container).get(app.RELEASE) for container in pod.containers]
    return [] if release in told else [f"{pod.name}: {app.RELEASE} is {told}, wanted {release}"]


def weights_are_of_what_is_served(objects: list[Object]) -> list[str]:
    """The pods of one overlay serve, and fetch, one model with one image."""
    findings = []
    for what in ("image", "model"):
        found: dict[str, str] = {}
        for pod in pods(objects):
            if pod.component in ("serving", "weights"):
                found |= dict.fromkeys(_pins(pod, what), pod.name)
        if len(found) > 1:
            told = ", ".join(f"{owner} has {value}" for value, owner in sorted(found.items()))
            findings.append(f"more than one {what}: {told}")
    return findings


def _pins(pod: Pod, what: str) -> list[str]:
    if what == "image":
        return [container["image"] for container in pod.containers if "image" in container]
    found = [argv.variables(pod, container).get("MODEL_SHA256") for container in pod.containers]
    return [model for model in found if model]


def pin_files_stay_local(objects: list[Object]) -> list[str]:
    """The files that hold pins are for kustomize; a cluster has no use for them."""
    return [
        f"{name(found)}: is applied, wanted config.kubernetes.io/local-config"
        for found in of_kind(objects, "ConfigMap")
        if at(found, "metadata", "name") in _PIN_FILES
    ]
