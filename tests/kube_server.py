"""A small Kubernetes API server on 127.0.0.1: what kubectl asks for, out of a `kube_store`.

Speaks real HTTP with the API's paths, verbs and errors; knows nothing of our code.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml

from kube_store import Cluster, Fault, Key, Object, Resource


@contextmanager
def serving(cluster: Cluster) -> Iterator[str]:
    """Serve a cluster on a free port and give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        cluster.stopped = True
        server.shutdown()
        server.server_close()
        thread.join()


def kubeconfig(path: Path, server: str, context: str = "here", **cluster: object) -> Path:
    """Write a kubeconfig of one context, the current one."""
    content = {
        "apiVersion": "v1", "kind": "Config", "current-context": context,
        "clusters": [{"name": context, "cluster": {"server": server, **cluster}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "users": [{"name": context, "user": {}}],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    return path


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_PATCH(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_words: object) -> None:
            cluster.requests.append(f"{self.command} {self.path}")

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            try:
                with cluster.lock:
                    code, value = 200, _reply(cluster, self.command, url.path, query, body)
            except Fault as fault:
                code, value = fault.code, fault.status
            if query.get("watch") in ("1", "true"):
                self._watch(url.path, query)
                return
            self._send(201 if self.command == "POST" and code == 200 else code, value)

        def _send(self, code: int, value: Object) -> None:
            content = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if cluster.warning and self.command != "GET":
                self.send_header("Warning", f'299 - "{cluster.warning}"')
            self.end_headers()
            self.wfile.write(content)

        def _watch(self, path: str, query: dict[str, str]) -> None:
            """Send what changed since, a JSON line each, until the server or its client ends."""
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.close_connection = True
            seen = int(query.get("resourceVersion") or 0)
            while not cluster.stopped:
                with cluster.lock:
                    items = _reply(cluster, "GET", path, query, b"")["items"]
                    lines = [json.dumps({"type": "MODIFIED", "object": one}) for one in items
                             if int(one["metadata"]["resourceVersion"]) > seen]  # fmt: skip
                    seen = cluster.count
                try:
                    self.wfile.write("".join(f"{line}\n" for line in lines).encode())
                    self.wfile.flush()
                except OSError:
                    return
                time.sleep(0.1)

    return Handler


def _reply(cluster: Cluster, verb: str, path: str, query: dict[str, str], body: bytes) -> Object:
    if path == "/version":
        major, minor = cluster.version.split(".")
        return {"major": major, "minor": f"{minor}+", "gitVersion": f"v{cluster.version}.1"}
    if path.startswith("/openapi/v3"):
        return _openapi(cluster, path)
    for resource in cluster.resources:
        if path.startswith(f"{resource.root}/"):
            words = path.removeprefix(f"{resource.root}/").split("/")
            namespace = ""
            if words[0] == "namespaces" and len(words) > 2:
                namespace, words = words[1], words[2:]
            if words[0] == resource.plural:
                name = words[1] if len(words) > 1 else ""
                if verb == "GET":
                    return _read(cluster, resource, namespace, name, query)
                return _write(cluster, verb, (resource.kind, namespace, name), query, body)
    return _discovery(cluster, path)


def _read(
    cluster: Cluster, resource: Resource, namespace: str, name: str, query: dict[str, str]
) -> Object:
    if name:
        return cluster.find(resource.kind, namespace, name)
    if query.get("sendInitialEvents"):
        raise Fault(422, "Invalid", "sendInitialEvents is not supported")
    wanted = dict(one.split("=") for one in query.get("labelSelector", "").split(",") if one)
    only = query.get("fieldSelector", "").removeprefix("metadata.name=")
    items = [
        value
        for (kind, place, called), value in cluster.objects.items()
        if kind == resource.kind and place == namespace and only in ("", called)
        if wanted.items() <= value["metadata"].get("labels", {}).items()
    ]
    meta = {"resourceVersion": str(cluster.count)}
    return {
        "apiVersion": resource.api,
        "kind": f"{resource.kind}List",
        "metadata": meta,
        "items": items,
    }


def _write(cluster: Cluster, verb: str, key: Key, query: dict[str, str], body: bytes) -> Object:
    value = yaml.safe_load(body)
    dry = query.get("dryRun") == "All"
    if cluster.fault is not None:
        raise cluster.fault
    if verb == "POST":
        key = (key[0], key[1], value["metadata"]["name"])
        if key in cluster.objects:
            raise Fault(409, "AlreadyExists", f'{key[0].lower()}s "{key[2]}" already exists')
    return cluster.write(value, query["fieldManager"], force=query.get("force") == "true", dry=dry)


def _discovery(cluster: Cluster, path: str) -> Object:
    apis = sorted({one.api for one in cluster.resources})
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups: dict[str, list[Object]] = {}
        for api in apis:
            group, _, version = api.rpartition("/")
            if group:
                groups.setdefault(group, []).append({"groupVersion": api, "version": version})
        listed = [{"name": name, "versions": versions, "preferredVersion": versions[-1]}
                  for name, versions in groups.items()]  # fmt: skip
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    for api in apis:
        found = [one for one in cluster.resources if one.api == api]
        if path == found[0].root:
            verbs = ["create", "get", "list", "patch", "watch"]
            rows = [{"name": one.plural, "singularName": one.kind.lower(), "verbs": verbs,
                     "namespaced": one.namespaced, "kind": one.kind} for one in found]  # fmt: skip
            return {"kind": "APIResourceList", "groupVersion": api, "resources": rows}
    raise Fault(404, "NotFound", "the server could not find the requested resource")


def _openapi(cluster: Cluster, path: str) -> Object:
    """Say no more than that objects can be written dry and strictly: kubectl looks for that."""
    if path == "/openapi/v3":
        roots = {one.root for one in cluster.resources}
        return {"paths": {root[1:]: {"serverRelativeURL": f"/openapi/v3{root}"} for root in roots}}
    root = path.removeprefix("/openapi/v3")
    parameters = [{"name": name, "in": "query"} for name in ("dryRun", "fieldValidation")]
    paths = {}
    for one in [one for one in cluster.resources if one.root == root]:
        group, _, version = one.api.rpartition("/")
        kind = {"group": group, "version": version, "kind": one.kind}
        patch = {"parameters": parameters, "x-kubernetes-group-version-kind": kind}
        paths[f"{root}/{one.plural}/{{name}}"] = {"patch": patch}
    return {"openapi": "3.0.0", "info": {"title": "it", "version": "1"}, "paths": paths}
