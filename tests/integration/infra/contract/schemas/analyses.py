"""Analyses of Argo Rollouts v1alpha1, from argoproj/argo-rollouts v1.9: analysis_types.go."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from integration.infra.contract.schemas.rollouts import Argument, PodMetadata
from integration.infra.contract.schemas.strict import Count, GoDuration, IntOrString, Kind, Strict


class PrometheusMetric(Strict):
    """A query."""

    address: str
    query: str
    timeout: int | None = None
    insecure: bool | None = None


class JobMetric(Strict):
    """A Job whose end is the result; its spec is looked at by the schemas of Kubernetes."""

    metadata: PodMetadata | None = None
    spec: dict[str, Any]


class Provider(Strict):
    """Who measures."""

    prometheus: PrometheusMetric | None = None
    job: JobMetric | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Provider:
        assert len(self.model_fields_set) == 1, "wanted one provider"
        return self


class Metric(Strict):
    """What is measured, how often, and what of it is good."""

    name: str
    interval: GoDuration | None = None
    initial_delay: GoDuration | None = None
    count: IntOrString | None = None
    success_condition: str | None = None
    failure_condition: str | None = None
    failure_limit: IntOrString | None = None
    inconclusive_limit: IntOrString | None = None
    consecutive_error_limit: IntOrString | None = None
    consecutive_success_limit: IntOrString | None = None
    provider: Provider

    @field_validator(
        "failure_limit",
        "inconclusive_limit",
        "consecutive_error_limit",
        "consecutive_success_limit",
    )
    @classmethod
    def _is_a_limit(cls, value: int | str | None) -> int | str | None:
        is_argument = isinstance(value, str) and "{{" in value
        assert value is None or is_argument or int(value) >= 0, "a limit is at least 0"
        return value

    @model_validator(mode="after")
    def _repeats_at_intervals(self) -> Metric:
        once = self.count in (None, 1, "1")
        assert once or self.interval, "a count above 1 wants an interval"
        return self


class DryRun(Strict):
    """A metric that is measured and does not count."""

    metric_name: str


class Retention(Strict):
    """How many measurements of a metric are kept."""

    metric_name: str
    limit: Count


class AnalysisSpec(Strict):
    """Metrics, and the values they are asked with."""

    args: list[Argument] = Field(default_factory=list)
    metrics: Annotated[list[Metric], Field(min_length=1)]
    dry_run: list[DryRun] = Field(default_factory=list)
    measurement_retention: list[Retention] = Field(default_factory=list)


class AnalysisTemplate(Kind):
    """What decides whether a canary goes on."""

    api_version: Literal["argoproj.io/v1alpha1"]
    kind: Literal["AnalysisTemplate"]
    spec: AnalysisSpec
