"""Gateway API v1, from kubernetes-sigs/gateway-api v1.6: apis/v1/httproute_types.go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from integration.infra.contract.objects import seconds
from integration.infra.contract.schemas.strict import Kind, Name, Strict

GatewayDuration = Annotated[
    str, StringConstraints(pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")  # of GEP-2257
]  # fmt: skip
Port = Annotated[int, Field(ge=1, le=65535)]


class ParentReference(Strict):
    """The Gateway that a route hangs on."""

    group: str | None = None
    kind: Literal["Gateway", "Service", "ListenerSet"] | None = None
    namespace: Name | None = None
    name: Name
    section_name: str | None = None
    port: Port | None = None


class ValueMatch(Strict):
    """A header or a query parameter."""

    type: Literal["Exact", "RegularExpression"] | None = None
    name: str
    value: str


class PathMatch(Strict):
    """A path, or what one begins with."""

    type: Literal["Exact", "PathPrefix", "RegularExpression"] | None = None
    value: Annotated[str, StringConstraints(pattern=r"^/")] = "/"


class RouteMatch(Strict):
    """Which requests are meant."""

    path: PathMatch | None = None
    headers: list[ValueMatch] = Field(default_factory=list)
    query_params: list[ValueMatch] = Field(default_factory=list)
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] | None = None


class BackendReference(Strict):
    """A port of a Service, and its share."""

    group: str | None = None
    kind: Literal["Service"] | None = None
    name: Name
    namespace: Name | None = None
    port: Port
    weight: Annotated[int, Field(ge=0, le=1_000_000)] | None = None


class Timeouts(Strict):
    """How long a request may take, and each try of it."""

    request: GatewayDuration | None = None
    backend_request: GatewayDuration | None = None

    @model_validator(mode="after")
    def _tries_fit(self) -> Timeouts:
        if self.request and self.backend_request and (whole := seconds(self.request)):
            assert seconds(self.backend_request) <= whole, "backendRequest is longer than request"
        return self


class RouteRule(Strict):
    """Which requests go where."""

    name: str | None = None
    matches: list[RouteMatch] = Field(default_factory=list, max_length=64)
    backend_refs: list[BackendReference] = Field(default_factory=list, max_length=16)
    timeouts: Timeouts | None = None


class HTTPRouteSpec(Strict):
    """Hosts and rules."""

    parent_refs: Annotated[list[ParentReference], Field(min_length=1)]
    hostnames: list[str] = Field(default_factory=list, max_length=16)
    rules: Annotated[list[RouteRule], Field(min_length=1, max_length=16)]


class HTTPRoute(Kind):
    """How requests come in."""

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["HTTPRoute"]
    spec: HTTPRouteSpec
