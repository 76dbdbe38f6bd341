"""JobSet v1alpha2, from kubernetes-sigs/jobset v0.12: api/jobset/v1alpha2/jobset_types.go."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from integration.infra.contract.schemas.strict import Count, Kind, Name, Strict

_LONGEST = 63
_SUFFIX = len("-abcde")

Action = Literal[
    "FailJobSet",
    "RestartJobSet",
    "RestartJobSetAndIgnoreMaxRestarts",
    "RestartJob",
    "RestartJobAndIgnoreMaxRestarts",
]
RuleName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]


class JobTemplate(Strict):
    """A Job to be; its spec is looked at by the schemas of Kubernetes."""

    metadata: dict[str, dict[str, str]] = Field(default_factory=dict)
    spec: dict[str, Any]


class DependsOn(Strict):
    """Another replicated job that comes first."""

    name: Name
    status: Literal["Ready", "Complete"]


class ReplicatedJob(Strict):
    """Jobs of one template."""

    name: Name
    group_name: str | None = None
    replicas: Count = 1
    template: JobTemplate
    depends_on: list[DependsOn] = Field(default_factory=list)


class Network(Strict):
    """Whether and how pods find each other by name."""

    enable_d_n_s_hostnames: bool | None = Field(None, alias="enableDNSHostnames")
    subdomain: Name | None = None
    publish_not_ready_addresses: bool | None = None


class FailurePolicyRule(Strict):
    """What a failed Job leads to, by its reason and message."""

    name: RuleName | None = None
    action: Action
    on_job_failure_reasons: list[
        Literal[
            "BackoffLimitExceeded",
            "DeadlineExceeded",
            "FailedIndexes",
            "MaxFailedIndexesExceeded",
            "PodFailurePolicy",
        ]
    ] = Field(default_factory=list)
    on_job_failure_message_patterns: list[str] = Field(default_factory=list)
    target_replicated_jobs: list[str] = Field(default_factory=list)


class FailurePolicy(Strict):
    """How often, and when, the set starts anew."""

    max_restarts: Count = 0
    restart_strategy: Literal["Recreate", "BlockingRecreate", "InPlaceRestart"] | None = None
    rules: list[FailurePolicyRule] = Field(default_factory=list)


class SuccessPolicy(Strict):
    """Whose success is the set's."""

    operator: Literal["All", "Any"]
    target_replicated_jobs: list[str] = Field(default_factory=list)


class Coordinator(Strict):
    """The pod whose address all others are told."""

    replicated_job: Name
    job_index: Count = 0
    pod_index: Count = 0


class JobSetSpec(Strict):
    """A set of Jobs that start, fail and succeed together."""

    replicated_jobs: Annotated[list[ReplicatedJob], Field(min_length=1)]
    network: Network | None = None
    success_policy: SuccessPolicy | None = None
    failure_policy: FailurePolicy | None = None
    suspend: bool | None = None
    coordinator: Coordinator | None = None
    managed_by: str | None = None
    ttl_seconds_after_finished: Count | None = None

    @model_validator(mode="after")
    def _names_jobs_that_there_are(self) -> JobSetSpec:
        names = {job.name for job in self.replicated_jobs}
        meant = {self.coordinator.replicated_job} if self.coordinator else set()
        for policy in (self.success_policy, *(self.failure_policy or FailurePolicy()).rules):
            meant |= set(policy.target_replicated_jobs) if policy else set()
        assert meant <= names, f"no replicated job {', '.join(sorted(meant - names))}"
        return self


class JobSet(Kind):
    """The object, whose pods have names that must be those of hosts."""

    api_version: Literal["jobset.x-k8s.io/v1alpha2"]
    kind: Literal["JobSet"]
    spec: JobSetSpec

    @model_validator(mode="after")
    def _pods_have_short_names(self) -> JobSet:
        for job in self.spec.replicated_jobs:
            last = job.template.spec.get("completions", 1) - 1
            pod = f"{self.metadata.name}-{job.name}-{job.replicas - 1}-{last}"
            assert len(pod) + _SUFFIX <= _LONGEST, f"pod name {pod}-abcde is too long"
        return self
