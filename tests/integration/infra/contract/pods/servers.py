"""The containers that serve, with what they were told; what cannot be read is for other checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from click import ClickException

from integration.infra.contract.objects import Object, Pod, each_container
from integration.infra.contract.pods import argv
from s1_core.errors import S1Error
from s1_serve.config import ServiceConfig


class Server(NamedTuple):
    """A container that runs `bentoml serve`: its options, and the service's settings if any."""

    pod: Pod
    container: Object
    where: str
    options: dict[str, Any]
    config: ServiceConfig | None

    @property
    def drain_s(self) -> int | None:
        """How long answers may go on after the signal."""
        return self.options.get("timeout_graceful_shutdown")


def servers(objects: list[Object]) -> Iterator[Server]:
    """Walk over the containers that serve."""
    for pod, container, where in each_container(objects):
        try:
            options = argv.serve_options(pod, container)
        except ClickException:  # `commands_parse` tells
            continue
        if options is not None:
            yield Server(pod, container, where, options, _settings(pod, container))


def _settings(pod: Pod, container: Object) -> ServiceConfig | None:
    try:
        return argv.service_config(pod, container)
    except S1Error:  # `service_settings_parse` tells
        return None
