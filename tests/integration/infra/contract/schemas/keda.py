"""KEDA v1alpha1, from kedacore/keda v2.20: apis/keda/v1alpha1/scaledobject_types.go."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from integration.infra.contract.schemas.strict import Count, Kind, Name, Strict

MetricType = Literal["AverageValue", "Value", "Utilization"]


class ScaleTarget(Strict):
    """What is scaled; a Deployment unless said."""

    name: Name
    api_version: str | None = None
    kind: str | None = None
    env_source_container_name: str | None = None


class Authentication(Strict):
    """How a trigger asks."""

    name: Name
    kind: Literal["TriggerAuthentication", "ClusterTriggerAuthentication"] | None = None


class Prometheus(Strict):
    """What the Prometheus scaler reads; all values are strings."""

    server_address: str
    query: str
    threshold: str
    activation_threshold: str | None = None
    namespace: str | None = None
    query_parameters: str | None = None
    ignore_null_values: Literal["true", "false"] | None = None
    unsafe_ssl: Literal["true", "false"] | None = None
    timeout: str | None = None
    auth_modes: str | None = None

    @model_validator(mode="after")
    def _thresholds_are_numbers(self) -> Prometheus:
        float(self.threshold), float(self.activation_threshold or 0)
        return self


class Trigger(Strict):
    """A number that asks for pods."""

    type: Literal["prometheus"]
    name: str | None = None
    use_cached_metrics: bool | None = None
    metadata: Prometheus
    authentication_ref: Authentication | None = None
    metric_type: MetricType | None = None


class Fallback(Strict):
    """How many pods there are while the number cannot be had."""

    failure_threshold: Count
    replicas: Count
    behavior: (
        Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]
        | None
    ) = None


class HpaConfig(Strict):
    """The autoscaler behind it; its behavior is looked at by the schemas of Kubernetes."""

    name: Name | None = None
    behavior: dict[str, Any] | None = None


class ScalingModifiers(Strict):
    """One number made of several triggers."""

    formula: str
    target: str
    activation_target: str | None = None
    metric_type: Literal["AverageValue", "Value"] | None = None


class Advanced(Strict):
    """How fast it goes."""

    horizontal_pod_autoscaler_config: HpaConfig | None = None
    restore_to_original_replica_count: bool | None = None
    scaling_modifiers: ScalingModifiers | None = None


class ScaledObjectSpec(Strict):
    """What is scaled, between how many, by what."""

    scale_target_ref: ScaleTarget
    polling_interval: Annotated[int, Field(gt=0)] | None = None
    initial_cooldown_period: Count | None = None
    cooldown_period: Count | None = None
    idle_replica_count: Count | None = None
    min_replica_count: Count = 0
    max_replica_count: Count = 100
    advanced: Advanced | None = None
    triggers: Annotated[list[Trigger], Field(min_length=1)]
    fallback: Fallback | None = None

    @model_validator(mode="after")
    def _counts_are_in_order(self) -> ScaledObjectSpec:
        least, most, idle = self.min_replica_count, self.max_replica_count, self.idle_replica_count
        assert least <= most, f"minReplicaCount {least} is above maxReplicaCount {most}"
        assert idle is None or idle < least, f"idleReplicaCount {idle} is not below {least}"
        names = [trigger.name for trigger in self.triggers if trigger.name]
        assert len(set(names)) == len(names), "two triggers have one name"
        return self

    @model_validator(mode="after")
    def _can_fall_back(self) -> ScaledObjectSpec:
        modifiers = self.advanced.scaling_modifiers if self.advanced else None
        kinds = [modifiers.metric_type] if modifiers else [t.metric_type for t in self.triggers]
        can = any(kind in (None, "AverageValue") for kind in kinds)
        assert self.fallback is None or can, "a fallback wants metricType AverageValue"
        return self


class ScaledObject(Kind):
    """An autoscaler on any number."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledObject"]
    spec: ScaledObjectSpec
