"""The cluster before anything is written to it: which one it is, and whether it is fit.

Refuses connections that anybody could read, versions of Kubernetes that would drop or change
fields in silence, and a cluster without the policy, namespaces and kinds that an overlay rests on.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from s1_core import cli
from s1_core.errors import UserError
from s1_serve.cluster import render
from s1_serve.cluster.kubectl import Kubectl, Refused
from s1_serve.cluster.objects import (
    Object,
    image_volumes,
    label,
    missing,
    namespace,
    only,
    stream,
)

OLDEST, NEWEST = 34, 37
IMAGE_VOLUMES = 36
QUEUE = "kueue.x-k8s.io/queue-name"


def connect(kubectl: Kubectl, context: str | None, objects: Iterable[Object]) -> Kubectl:
    """Choose a context, say which, and refuse a server that cannot be trusted with the objects.

    Raises:
        UserError: no such context, a connection without TLS, no answer, or a foreign version.
    """
    chosen = kubectl.at(context) if context else kubectl
    view = json.loads(chosen.ask("config", "view", "--minify", "-o", "json"))
    server = checked_server(view)
    # From here on by name: another shell may change the current one.
    bound = kubectl.at(str(view["current-context"]))
    version = json.loads(bound.ask("get", "--raw", "/version"))
    check_version(version, any(image_volumes(list(objects))))
    cli.say(f"context {bound.context}: {server}, Kubernetes {version['gitVersion']}")
    return bound


def checked_server(view: Mapping[str, Any]) -> str:
    """Give the server of a minified kubeconfig, unless others could speak in its place."""
    cluster = view["clusters"][0]["cluster"]
    server, context = str(cluster.get("server")), view["current-context"]
    if cluster.get("insecure-skip-tls-verify"):
        raise UserError(
            f"context {context} skips the verification of {server}: give the kubeconfig its"
            " certificate-authority instead"
        )
    url = urlsplit(server)
    if url.scheme != "https" and not _is_loopback(url.hostname or ""):
        raise UserError(f"context {context} speaks to {server} without TLS: give an https server")
    return server


def check_version(version: Mapping[str, Any], has_image_volumes: bool) -> None:
    """Refuse a server outside of the versions that the manifests are made for."""
    found = re.match(r"\d+", str(version.get("minor")))
    if str(version.get("major")) != "1" or found is None:
        raise UserError(f"the server calls itself {version}, wanted Kubernetes 1.{OLDEST} or newer")
    minor = int(found.group())
    wanted = f"Kubernetes 1.{minor}, wanted 1.{OLDEST} to 1.{NEWEST}"
    if minor < OLDEST:
        raise UserError(
            f"the server is {wanted}: older ones drop fields of these manifests without a word;"
            " upgrade the cluster"
        )
    if has_image_volumes and minor < IMAGE_VOLUMES:
        raise UserError(
            f"the server is Kubernetes 1.{minor}: one before 1.{IMAGE_VOLUMES} may drop volumes"
            " that are images without a word; take components/weights instead"
        )
    if minor > NEWEST:
        raise UserError(
            f"the server is {wanted}: the manifests were never checked against newer ones;"
            " raise NEWEST in s1_serve/cluster/trust.py once the contract tests know it"
        )


def check(kubectl: Kubectl, root: Path, objects: Iterable[Object]) -> None:
    """Refuse a cluster on which these objects would do less than they say.

    Raises:
        UserError: kinds, the policy, namespaces or queues are missing or other than the tree's.
    """
    objects = list(objects)
    spaces = {namespace(value) for value in objects}
    check_kinds(kubectl, objects)
    policy = render.objects(kubectl, root, "policy")
    namespaces = render.objects(kubectl, root, "namespaces")
    lost = spaces - {"", *(value["metadata"]["name"] for value in only(namespaces, "Namespace"))}
    if lost:
        raise UserError(f"namespace {min(lost)} is not one of {render.FOLDER}/namespaces: add it")
    # Volumes are left out: they grow where they are.
    fences = only(namespaces, "Namespace", "NetworkPolicy")
    ours = [one for one in fences if spaces & {one["metadata"]["name"], namespace(one)}]
    check_ground(kubectl, {"policy": policy, "namespaces": ours})
    check_queues(kubectl, objects)


def check_kinds(kubectl: Kubectl, objects: Iterable[Object]) -> None:
    """Refuse kinds that the server does not have, and objects that lack a namespace."""
    served: dict[str, dict[str, bool]] = {}
    for value in objects:
        api = str(value["apiVersion"])
        if api not in served:
            served[api] = _served(kubectl, api)
        namespaced = served[api].get(value["kind"])
        if namespaced is None:
            raise UserError(
                f"the server does not know {api} {value['kind']}: install what brings it, or take"
                f" {label(value)} out of the overlay"
            )
        if namespaced and not namespace(value):
            raise UserError(f"{label(value)} names no namespace: add one to the overlay")


def check_ground(kubectl: Kubectl, wanted: Mapping[str, Iterable[Object]]) -> None:
    """Refuse a cluster where objects of these folders are missing, or other than in the tree."""
    pairs = [(folder, value) for folder, values in wanted.items() for value in values]
    there = kubectl.read(stream(value for _, value in pairs))
    found = {(label(value), namespace(value)): value for value in there}
    for folder, value in pairs:
        live = found.get((label(value), namespace(value)))
        place = "not there" if live is None else missing(value, live)
        if place is not None:
            raise UserError(
                f"{label(value)} on the server is not the tree's ({place.lstrip('.')}):"
                f" {_apply(kubectl, folder)}"
            )


def check_queues(kubectl: Kubectl, objects: Iterable[Object]) -> None:
    """Refuse a queue that is not there: its jobs would wait for ever, and nothing would say so."""
    for value in objects:
        queue = value["metadata"].get("labels", {}).get(QUEUE)
        if queue and kubectl.get("localqueues.kueue.x-k8s.io", queue, namespace(value)) is None:
            raise UserError(
                f"{label(value)} waits in queue {queue}, which {namespace(value)} does not have:"
                f" {_apply(kubectl, 'queues')}"
            )


def _apply(kubectl: Kubectl, name: str) -> str:
    context = f"--context {kubectl.context}"
    return f"kubectl {context} apply --server-side -k {render.FOLDER}/{name}"


def _served(kubectl: Kubectl, api: str) -> dict[str, bool]:
    """Give the kinds of an API version, and whether each is namespaced; none for an unknown one."""
    try:
        text = kubectl.ask("get", "--raw", f"/{'apis' if '/' in api else 'api'}/{api}")
    except Refused as error:
        if "NotFound" not in error.said:
            raise
        return {}
    rows = [row for row in json.loads(text)["resources"] if "/" not in row["name"]]
    return {row["kind"]: bool(row["namespaced"]) for row in rows}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
