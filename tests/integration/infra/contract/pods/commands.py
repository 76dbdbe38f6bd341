"""What containers run is read by those who will read it: our verbs, BentoML and the service."""

from __future__ import annotations

from pathlib import PurePosixPath

from click import ClickException

from integration.infra.contract.objects import Object, at, each_container
from integration.infra.contract.pods import argv
from integration.infra.contract.pods.servers import servers
from s1_core.errors import S1Error
from s1_serve import image

_SOURCES = f"{image.HOME}/bento/src"
"""where the sources lie in an image that BentoML builds; it starts one folder above"""
_BENTO_PORT = 3000


def commands_parse(objects: list[Object]) -> list[str]:
    """Each container runs a verb that takes its words."""
    findings = []
    for pod, container, where in each_container(objects):
        try:
            is_known = argv.config_of(pod, container) or argv.serve_options(pod, container)
        except (S1Error, ClickException) as error:
            text = error.format_message() if isinstance(error, ClickException) else str(error)
            findings.append(f"{where}: its command is refused: {text}")
            continue
        if is_known is None:
            findings.append(f"{where}: runs {argv.words(pod, container)[:3]}, no verb of ours")
    return findings


def service_settings_parse(objects: list[Object]) -> list[str]:
    """A server has settings that the service takes."""
    findings = []
    for server in servers(objects):
        try:
            config = argv.service_config(server.pod, server.container)
        except S1Error as error:
            findings.append(f"{server.where}: S1_SERVICE is refused: {error}")
            continue
        if config is None:
            findings.append(f"{server.where}: has no S1_SERVICE")
    return findings


def servers_find_what_they_read(objects: list[Object]) -> list[str]:
    """The model and the keys that a server is told of lie in volumes that it mounts read-only."""
    findings = []
    for _, container, where, _, config in servers(objects):
        if config is None:
            continue
        if not (config.api_keys_file or config.open or "S1_API_KEYS" in _names(container)):
            findings.append(f"{where}: beyond loopback and without API keys it refuses to start")
        for what, path in (("model", config.model), ("api_keys_file", config.api_keys_file)):
            mount = _mount(container, path) if path else None
            if path and (mount is None or not mount.get("readOnly")):
                findings.append(f"{where}: {what} {path} is in no read-only volume")
    return findings


def servers_serve_the_pinned_model(objects: list[Object]) -> list[str]:
    """The model of a server is the one whose hash is pinned, at its immutable path."""
    findings = []
    for pod, container, where, _, config in servers(objects):
        pinned = argv.variables(pod, container).get("MODEL_SHA256")
        if config and (pinned is None or PurePosixPath(config.model).name != pinned):
            findings.append(f"{where}: serves {config.model}, wanted the model {pinned}")
    return findings


def servers_listen_on_their_port(objects: list[Object]) -> list[str]:
    """A server listens on the port that its container declares, for all addresses."""
    findings = []
    for _, container, where, options, _ in servers(objects):
        port = options.get("port") or _BENTO_PORT
        declared = [entry["containerPort"] for entry in container.get("ports") or []]
        if port not in declared:
            findings.append(f"{where}: listens on {port} and declares {declared}")
        if options.get("host") in ("127.0.0.1", "localhost", "::1"):
            findings.append(f"{where}: listens on {options['host']}, where nobody reaches it")
    return findings


def modules_are_found(objects: list[Object]) -> list[str]:
    """No variable of a pod hides the path at which the serving image has our sources."""
    findings = []
    for pod, container, where in each_container(objects):
        module = argv.module_of(argv.words(pod, container)) or ""
        places = argv.variables(pod, container).get("PYTHONPATH", _SOURCES).split(":")
        if module.startswith("s1_serve.") and _SOURCES not in places:
            findings.append(f"{where}: {module} lies in {_SOURCES}, off Python's path")
    return findings


def _names(container: Object) -> set[str]:
    return {entry["name"] for entry in container.get("env") or []}


def _mount(container: Object, path: str) -> Object | None:
    mounts = container.get("volumeMounts") or []
    above = [str(each) for each in (PurePosixPath(path), *PurePosixPath(path).parents)]
    found = [mount for mount in mounts if at(mount, "mountPath", default="").rstrip("/") in above]
    return max(found, key=lambda mount: len(mount["mountPath"]), default=None)
