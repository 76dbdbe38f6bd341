"""Kueue v1beta2, from kubernetes-sigs/kueue v0.19: apis/kueue/v1beta2/*_types.go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from integration.infra.contract.schemas.strict import (
    Kind,
    LabelSelector,
    Name,
    Quantity,
    Strict,
    Toleration,
)

_VERSION = Literal["kueue.x-k8s.io/v1beta2"]
StopPolicy = Literal["None", "Hold", "HoldAndDrain"]
_HOSTNAME = "kubernetes.io/hostname"


class ResourceQuota(Strict):
    """How much of a resource there is."""

    name: str
    nominal_quota: Quantity
    borrowing_limit: Quantity | None = None
    lending_limit: Quantity | None = None


class FlavorQuotas(Strict):
    """The quotas of one flavor."""

    name: Name
    resources: Annotated[list[ResourceQuota], Field(min_length=1, max_length=64)]


class ResourceGroup(Strict):
    """Resources that come from the same flavors; each flavor lists all of them, in this order."""

    covered_resources: Annotated[list[str], Field(min_length=1, max_length=64)]
    flavors: Annotated[list[FlavorQuotas], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _flavors_cover(self) -> ResourceGroup:
        for flavor in self.flavors:
            listed = [quota.name for quota in flavor.resources]
            assert listed == self.covered_resources, f"flavor {flavor.name} lists {listed}"
        return self


class BorrowWithinCohort(Strict):
    """Whom a borrower may preempt."""

    policy: Literal["Never", "LowerPriority"] = "Never"
    max_priority_threshold: int | None = None


class Preemption(Strict):
    """Who may stop whom."""

    reclaim_within_cohort: Literal["Never", "LowerPriority", "Any"] = "Never"
    borrow_within_cohort: BorrowWithinCohort | None = None
    within_cluster_queue: Literal["Never", "LowerPriority", "LowerOrNewerEqualPriority"] = "Never"


class FlavorFungibility(Strict):
    """When the next flavor is tried."""

    when_can_borrow: Literal["MayStopSearch", "TryNextFlavor"] | None = None
    when_can_preempt: Literal["MayStopSearch", "TryNextFlavor"] | None = None


class ClusterQueueSpec(Strict):
    """What may run at a time."""

    resource_groups: list[ResourceGroup] = Field(default_factory=list, max_length=16)
    cohort_name: Name | None = None
    queueing_strategy: Literal["StrictFIFO", "BestEffortFIFO"] | None = None
    namespace_selector: LabelSelector  # without one no namespace may submit
    flavor_fungibility: FlavorFungibility | None = None
    preemption: Preemption | None = None
    stop_policy: StopPolicy | None = None

    @model_validator(mode="after")
    def _borrows_from_a_cohort(self) -> ClusterQueueSpec:
        quotas = [q for g in self.resource_groups for f in g.flavors for q in f.resources]
        limits = [quota.name for quota in quotas if quota.borrowing_limit is not None]
        assert self.cohort_name or not limits, f"borrowingLimit of {limits} without a cohort"
        flavors = [flavor.name for group in self.resource_groups for flavor in group.flavors]
        assert len(set(flavors)) == len(flavors), "a flavor is in two resource groups"
        return self


class ClusterQueue(Kind):
    """The queue that holds the quota."""

    api_version: _VERSION
    kind: Literal["ClusterQueue"]
    spec: ClusterQueueSpec


class LocalQueueSpec(Strict):
    """Which queue a namespace's own stands for."""

    cluster_queue: Name
    stop_policy: StopPolicy | None = None


class LocalQueue(Kind):
    """The queue that a namespace's work is put in."""

    api_version: _VERSION
    kind: Literal["LocalQueue"]
    spec: LocalQueueSpec


class Taint(Strict):
    """Kubernetes' own taint of a node."""

    key: str
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class ResourceFlavorSpec(Strict):
    """Which nodes a flavor means."""

    node_labels: dict[str, str] = Field(default_factory=dict, max_length=8)
    node_taints: list[Taint] = Field(default_factory=list, max_length=8)
    tolerations: list[Toleration] = Field(default_factory=list, max_length=8)
    topology_name: Name | None = None

    @model_validator(mode="after")
    def _topology_wants_labels(self) -> ResourceFlavorSpec:
        assert not self.topology_name or self.node_labels, "a topology wants a nodeLabel"
        return self


class ResourceFlavor(Kind):
    """A kind of nodes."""

    api_version: _VERSION
    kind: Literal["ResourceFlavor"]
    spec: ResourceFlavorSpec = ResourceFlavorSpec()


class TopologyLevel(Strict):
    """A node label whose values part the nodes."""

    node_label: Annotated[str, Field(min_length=1, max_length=316)]


class TopologySpec(Strict):
    """Levels, the widest first; the host, if it is one, last."""

    levels: Annotated[list[TopologyLevel], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _levels_are_distinct(self) -> TopologySpec:
        labels = [level.node_label for level in self.levels]
        assert len(set(labels)) == len(labels), "a level stands twice"
        assert _HOSTNAME not in labels[:-1], f"{_HOSTNAME} is not the last level"
        return self


class Topology(Kind):
    """How nodes lie to each other."""

    api_version: _VERSION
    kind: Literal["Topology"]
    spec: TopologySpec


class WorkloadPriorityClass(Kind):
    """A rank in the queue."""

    api_version: _VERSION
    kind: Literal["WorkloadPriorityClass"]
    value: int
    description: Annotated[str, Field(max_length=2048)] = ""
