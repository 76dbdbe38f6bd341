"""Rendered objects: reading, naming and comparing them. Refuses images without a digest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from s1_core.errors import UserError
from s1_serve.release.record import check_image

Object = dict[str, Any]


def parse(text: str) -> list[Object]:
    """Read the objects of a YAML stream."""
    return [value for value in yaml.safe_load_all(text) if value]


def stream(objects: Iterable[Object]) -> str:
    """Write objects for kubectl to read: a YAML stream of JSON."""
    return "".join(f"---\n{json.dumps(value)}\n" for value in objects)


def label(value: Object) -> str:
    """Name an object for people, Kind/name."""
    return f"{value['kind']}/{value['metadata']['name']}"


def namespace(value: Object) -> str:
    """Give an object's namespace, nothing for one of the whole cluster."""
    return str(value["metadata"].get("namespace", ""))


def resource(value: Object) -> str:
    """Name an object's kind as kubectl reads it without doubt: KIND.VERSION.GROUP."""
    group, _, version = value["apiVersion"].rpartition("/")
    return f"{value['kind'].lower()}.{version}.{group}"


def only(objects: Iterable[Object], *kinds: str) -> list[Object]:
    """Keep the objects of these kinds."""
    return [value for value in objects if value["kind"] in kinds]


def containers(value: Any) -> Iterator[Object]:
    """Walk over the containers of whatever pods an object describes, however deep."""
    if isinstance(value, list):
        for part in value:
            yield from containers(part)
    elif isinstance(value, dict):
        for name, part in value.items():
            if name in ("containers", "initContainers") and isinstance(part, list):
                yield from part
            else:
                yield from containers(part)


def image_volumes(value: Any) -> Iterator[str]:
    """Walk over the images that are mounted as volumes."""
    if isinstance(value, list):
        for part in value:
            yield from image_volumes(part)
    elif isinstance(value, dict):
        for name, part in value.items():
            if name == "image" and isinstance(part, dict) and "reference" in part:
                yield str(part["reference"])
            else:
                yield from image_volumes(part)


def check_images(objects: Iterable[Object]) -> None:
    """Refuse tags and the zeros of an overlay that nobody has pinned yet."""
    for value in objects:
        named = [str(one.get("image")) for one in containers(value)]
        for image in (*named, *image_volumes(value)):
            try:
                check_image(image)
            except UserError as error:
                raise UserError(f"{label(value)}: {error}") from error


def missing(wanted: Any, found: Any, place: str = "") -> str | None:
    """Name the first place where `found` is not what is wanted; what it holds besides is its own.

    The API server fills in defaults, so what was sent is a part of what comes back, except that
    it leaves out what is empty.
    """
    if not wanted and not found:
        return None
    if isinstance(wanted, dict) and isinstance(found, dict):
        steps = ((f"{place}.{name}", part, found.get(name)) for name, part in wanted.items())
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        steps = ((f"{place}[{at}]", part, other) for at, (part, other) in pairs)
    else:
        return None if wanted == found else place
    return next(filter(None, (missing(part, other, at) for at, part, other in steps)), None)
