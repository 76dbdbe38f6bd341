"""A small Hugging Face hub on 127.0.0.1: the few answers that its own client asks for.

Speaks real HTTP with the hub's paths, headers and error codes; knows nothing of our code. A child
process uses it through `environment`, with a cache of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]
READING = ("/paths-info/main", "/validate-yaml")


class Fault(Exception):
    """An answer that is no success: its status, the hub's code for it, perhaps where to look."""

    def __init__(self, status: int, code: str, url: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.url = status, code, url


@dataclass
class Hub:
    """What the server holds: the files of each dataset by revision, and who may read which."""

    datasets: dict[str, dict[str, Files]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=lambda: {"hf_writer"})
    requests: list[str] = field(default_factory=list)
    address: str = ""

    def put(self, dataset: str, files: Mapping[str, bytes | str], revision: str = "main") -> str:
        """Store a revision of a dataset and return its commit."""
        content = {name: text.encode() if isinstance(text, str) else text
                   for name, text in files.items()}  # fmt: skip
        self.datasets.setdefault(dataset, {})[revision] = content
        return commit(content)

    def find(self, dataset: str, revision: str) -> Files:
        """Return the files at a branch, tag or commit."""
        if dataset not in self.datasets:
            raise Fault(404, "RepoNotFound")
        for name, files in self.datasets[dataset].items():
            if revision in (name, commit(files)):
                return files
        raise Fault(404, "RevisionNotFound")


def commit(files: Files) -> str:
    """Name a set of files as git would: 40 hex digits of their content."""
    digest = hashlib.sha1()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + files[name])
    return digest.hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Serve a hub on a free port and give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        hub.address = f"http://127.0.0.1:{server.server_address[1]}"
        yield hub.address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def environment(address: str, home: Path) -> dict[str, str]:
    """Give a child process this hub instead of the real one, and an empty cache."""
    ours = ("HF_", "S1_DATA", "HUGGINGFACE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {
        "HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    }  # fmt: skip


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_words: object) -> None:
            hub.requests.append(f"{self.command} {unquote(self.path)}")

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                path = urlsplit(self.path).path
                token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
                if (
                    self.command == "POST"
                    and not path.endswith(READING)
                    and token not in hub.tokens
                ):
                    raise Fault(401, "Unauthorized")
                headers, content = _reply(hub, path, body)
                status = 200
            except Fault as fault:
                status, headers = fault.status, {"X-Error-Code": fault.code}
                content = json.dumps({"error": fault.code, "url": fault.url}).encode()
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    return Handler


def _reply(hub: Hub, path: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """Answer `/api/datasets/ID/...` with JSON, `/datasets/ID/resolve/REVISION/FILE` with bytes."""
    words = [unquote(word) for word in path.strip("/").split("/")]
    if words[0] == "api" and words[-2:] in UPLOADING:
        return {"Content-Type": "application/json"}, json.dumps(_upload(hub, words, body)).encode()
    if words[:2] == ["api", "datasets"]:
        dataset, rest = "/".join(words[2:4]), words[4:]
        value = _facts(hub, dataset, rest, body)
        return {"Content-Type": "application/json"}, json.dumps(value).encode()
    if words[0] == "datasets" and words[3:4] == ["resolve"]:
        return _file(hub, "/".join(words[1:3]), words[4], "/".join(words[5:]))
    raise Fault(404, "NotFound")


UPLOADING = (
    ["repos", "create"],
    ["api", "validate-yaml"],
    ["preupload", "main"],
    ["commit", "main"],
)


def _upload(hub: Hub, words: list[str], body: bytes) -> Any:
    """Answer the four requests that an upload consists of; small files come inside the commit."""
    if words[-1] == "validate-yaml":
        return {"errors": [], "warnings": []}
    if words[-1] == "create":
        asked = json.loads(body)
        name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
        url = f"{hub.address}/datasets/{name}"
        if name in hub.datasets:
            raise Fault(409, "Conflict", url)
        hub.put(name, {})
        return {"url": url}
    name = "/".join(words[2:4])
    if words[-2] == "preupload":
        files = json.loads(body)["files"]
        return {
            "files": [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for file in files
            ]
        }
    lines = [json.loads(line) for line in body.splitlines()]
    files = {
        line["value"]["path"]: base64.b64decode(line["value"]["content"])
        for line in lines
        if line["key"] == "file"
    }
    oid = hub.put(name, hub.find(name, "main") | files)
    return {
        "success": True,
        "commitOid": oid,
        "commitUrl": f"{hub.address}/datasets/{name}/commit/{oid}",
    }


def _facts(hub: Hub, dataset: str, rest: list[str], body: bytes) -> Any:
    verb, revision, *below = [*rest, *["revision", "main"][len(rest) :]]
    files = hub.find(dataset, revision)
    if verb == "revision":
        siblings = [{"rfilename": name} for name in sorted(files)]
        return {"id": dataset, "sha": commit(files), "siblings": siblings, "private": False,
                "gated": False, "disabled": False, "tags": [], "downloads": 0}  # fmt: skip
    if verb == "tree":
        return _tree(files, "/".join(below))
    if verb == "paths-info":
        wanted = json.loads(body)["paths"]
        return [entry for entry in _tree(files, "") if entry["path"] in wanted]
    raise Fault(404, "NotFound")


def _tree(files: Files, folder: str) -> list[dict[str, Any]]:
    start = f"{folder}/" if folder else ""
    found: list[dict[str, Any]] = []
    for name, content in files.items():
        for parent in list(Path(name).parents)[-2::-1]:
            entry = {"type": "directory", "path": str(parent), "oid": "0" * 40, "size": 0}
            if entry not in found:
                found.append(entry)
        oid = hashlib.sha1(content).hexdigest()
        found.append({"type": "file", "path": name, "oid": oid, "size": len(content)})
    inside = [entry for entry in found if entry["path"].startswith(start)]
    if folder and not inside:
        raise Fault(404, "EntryNotFound")
    return inside


def _file(hub: Hub, dataset: str, revision: str, name: str) -> tuple[dict[str, str], bytes]:
    files = hub.find(dataset, revision)
    if dataset in hub.gated:  # anyone may see what there is, not everyone what it says
        raise Fault(403, "GatedRepo")
    if name not in files:
        raise Fault(404, "EntryNotFound")
    oid = hashlib.sha1(files[name]).hexdigest()
    return {"X-Repo-Commit": commit(files), "ETag": f'"{oid}"'}, files[name]
