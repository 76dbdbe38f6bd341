"""Argo Rollouts v1alpha1, from argoproj/argo-rollouts v1.9: pkg/apis/rollouts/v1alpha1."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from integration.infra.contract.schemas.strict import (
    Count,
    IntOrString,
    Kind,
    LabelSelector,
    Name,
    PodSpec,
    Strict,
)

Percent = Annotated[int, Field(ge=0, le=100)]


class ValueFrom(Strict):
    """Where an argument's value is taken from."""

    pod_template_hash_value: Literal["Stable", "Latest"] | None = None
    field_ref: dict[Literal["fieldPath"], str] | None = None
    secret_key_ref: dict[Literal["name", "key"], str] | None = None


class Argument(Strict):
    """A value handed to an analysis; without one the template asks for it."""

    name: str
    value: str | None = None
    value_from: ValueFrom | None = None


class TemplateReference(Strict):
    """An AnalysisTemplate."""

    template_name: Name
    cluster_scope: bool | None = None


class RolloutAnalysis(Strict):
    """Which analyses run, with what."""

    templates: Annotated[list[TemplateReference], Field(min_length=1)]
    args: list[Argument] = Field(default_factory=list)
    starting_step: Count | None = None  # of one in the background only


class Pause(Strict):
    """Until its time is over, or somebody says so."""

    duration: IntOrString | None = None


class CanaryScale(Strict):
    """How many pods of the new version there are, whatever traffic they get."""

    weight: Percent | None = None
    replicas: Count | None = None
    match_traffic_weight: bool | None = None


class CanaryStep(Strict):
    """One thing at a time."""

    set_weight: Percent | None = None
    pause: Pause | None = None
    analysis: RolloutAnalysis | None = None
    set_canary_scale: CanaryScale | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> CanaryStep:
        assert len(self.model_fields_set) == 1, f"a step is one of {sorted(self.model_fields_set)}"
        return self


class PodMetadata(Strict):
    """Labels and annotations of the pods of one version."""

    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class TrafficRouting(Strict):
    """Who parts the traffic; without one, the numbers of pods do."""

    plugins: dict[str, dict[str, Any]]
    max_traffic_weight: Count | None = None


class Canary(Strict):
    """New pods beside the old ones, step by step."""

    canary_service: Name | None = None
    stable_service: Name | None = None
    steps: list[CanaryStep] = Field(default_factory=list)
    traffic_routing: TrafficRouting | None = None
    max_unavailable: IntOrString | None = None
    max_surge: IntOrString | None = None
    analysis: RolloutAnalysis | None = None
    canary_metadata: PodMetadata | None = None
    stable_metadata: PodMetadata | None = None
    scale_down_delay_seconds: Count | None = None
    abort_scale_down_delay_seconds: Count | None = None
    dynamic_stable_scale: bool | None = None
    min_pods_per_replica_set: Count | None = None

    @model_validator(mode="after")
    def _routes_between_two_services(self) -> Canary:
        pair = self.canary_service and self.stable_service
        assert not self.traffic_routing or pair, "trafficRouting wants canary- and stableService"
        assert self.traffic_routing or self.scale_down_delay_seconds is None, (
            "scaleDownDelaySeconds does nothing without trafficRouting"
        )
        return self


class Strategy(Strict):
    """Ours is a canary."""

    canary: Canary


class WorkloadReference(Strict):
    """The workload whose pod template is taken."""

    api_version: str
    kind: Literal["Deployment", "ReplicaSet", "PodTemplate"]
    name: Name
    scale_down: Literal["never", "onsuccess", "progressively"] | None = None


class RollbackWindow(Strict):
    """How many versions back no steps are taken."""

    revisions: Count


class RunHistory(Strict):
    """How many ended analyses are kept."""

    successful_run_history_limit: Count | None = None
    unsuccessful_run_history_limit: Count | None = None


class RolloutSpec(Strict):
    """How one version takes over from another."""

    replicas: Count | None = None
    selector: LabelSelector | None = None
    template: PodSpec | None = None
    workload_ref: WorkloadReference | None = None
    min_ready_seconds: Count | None = None
    rollback_window: RollbackWindow | None = None
    strategy: Strategy
    revision_history_limit: Count | None = None
    paused: bool | None = None
    progress_deadline_seconds: Count | None = None
    progress_deadline_abort: bool | None = None
    analysis: RunHistory | None = None

    @model_validator(mode="after")
    def _has_one_template(self) -> RolloutSpec:
        own, taken = self.template is not None, self.workload_ref is not None
        assert own != taken, "wanted either template or workloadRef"
        assert own == (self.selector is not None), "the selector belongs to the template"
        return self


class Rollout(Kind):
    """A Deployment that goes step by step."""

    api_version: Literal["argoproj.io/v1alpha1"]
    kind: Literal["Rollout"]
    spec: RolloutSpec
