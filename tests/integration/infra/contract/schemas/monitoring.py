"""Prometheus' operator, from prometheus-operator/prometheus-operator: pkg/apis/monitoring/v1."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from integration.infra.contract.schemas.strict import (
    Count,
    IntOrString,
    Kind,
    LabelSelector,
    Strict,
)

_VERSION = Literal["monitoring.coreos.com/v1"]
Duration = Annotated[str, StringConstraints(pattern=r"^(\d+(ms|[smhdwy]))+$")]
LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


class Relabeling(Strict):
    """How labels of a target or of a sample are made from others."""

    source_labels: list[LabelName] = Field(default_factory=list)
    separator: str | None = None
    target_label: LabelName | None = None
    regex: str | None = None
    modulus: Count | None = None
    replacement: str | None = None
    action: (
        Literal[
            "replace", "keep", "drop", "hashmod", "labelmap", "labeldrop", "labelkeep",
            "lowercase", "uppercase", "keepequal", "dropequal",
        ]
        | None
    ) = None  # fmt: skip


class Endpoint(Strict):
    """One port that is scraped."""

    port: str | None = None
    target_port: IntOrString | None = None
    path: str | None = None
    scheme: Literal["http", "https"] | None = None
    params: dict[str, list[str]] = Field(default_factory=dict)
    interval: Duration | None = None
    scrape_timeout: Duration | None = None
    honor_labels: bool | None = None
    honor_timestamps: bool | None = None
    follow_redirects: bool | None = None
    enable_http2: bool | None = Field(None, alias="enableHttp2")
    relabelings: list[Relabeling] = Field(default_factory=list)
    metric_relabelings: list[Relabeling] = Field(default_factory=list)

    @model_validator(mode="after")
    def _has_a_port(self) -> Endpoint:
        assert self.port or self.target_port, "wanted port or targetPort"
        return self


class NamespaceSelector(Strict):
    """Where Services are looked for."""

    any: bool | None = None
    match_names: list[str] = Field(default_factory=list)


class ServiceMonitorSpec(Strict):
    """Which Services are scraped."""

    job_label: str | None = None
    target_labels: list[str] = Field(default_factory=list)
    pod_target_labels: list[str] = Field(default_factory=list)
    endpoints: Annotated[list[Endpoint], Field(min_length=1)]
    selector: LabelSelector
    namespace_selector: NamespaceSelector | None = None
    sample_limit: Count | None = None
    target_limit: Count | None = None
    label_limit: Count | None = None


class ServiceMonitor(Kind):
    """What Prometheus scrapes."""

    api_version: _VERSION
    kind: Literal["ServiceMonitor"]
    spec: ServiceMonitorSpec


class Rule(Strict):
    """An alert, or a recorded series."""

    record: str | None = None
    alert: str | None = None
    expr: IntOrString
    for_: Duration | None = Field(None, alias="for")
    keep_firing_for: Duration | None = Field(None, alias="keep_firing_for")
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Rule:
        assert (self.record is None) != (self.alert is None), "wanted either record or alert"
        assert self.alert or not (self.for_ or self.annotations), "only alerts wait and explain"
        return self


class RuleGroup(Strict):
    """Rules that are evaluated together."""

    name: Annotated[str, Field(min_length=1)]
    interval: Duration | None = None
    rules: list[Rule] = Field(default_factory=list)
    limit: Count | None = None


class PrometheusRuleSpec(Strict):
    """Groups, each with a name of its own."""

    groups: list[RuleGroup]

    @model_validator(mode="after")
    def _names_are_distinct(self) -> PrometheusRuleSpec:
        names = [group.name for group in self.groups]
        assert len(set(names)) == len(names), "two groups have one name"
        return self


class PrometheusRule(Kind):
    """What Prometheus evaluates."""

    api_version: _VERSION
    kind: Literal["PrometheusRule"]
    spec: PrometheusRuleSpec
