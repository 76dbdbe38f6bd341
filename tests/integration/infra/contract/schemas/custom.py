"""All kinds of the suite: which schema an object is looked at by. An unknown kind is a fault."""

from __future__ import annotations

from pydantic import ValidationError

from integration.infra.contract.objects import Object, name
from integration.infra.contract.schemas import (
    analyses,
    builtin,
    gateway,
    jobset,
    keda,
    kueue,
    monitoring,
    rollouts,
)
from integration.infra.contract.schemas.strict import Kind

MODELS: dict[str, type[Kind]] = {
    model.__name__: model
    for model in (
        jobset.JobSet,
        kueue.ClusterQueue,
        kueue.LocalQueue,
        kueue.ResourceFlavor,
        kueue.Topology,
        kueue.WorkloadPriorityClass,
        monitoring.ServiceMonitor,
        monitoring.PrometheusRule,
        keda.ScaledObject,
        rollouts.Rollout,
        analyses.AnalysisTemplate,
        gateway.HTTPRoute,
    )
}


def faults(found: Object, version: str) -> list[str]:
    """Say what a cluster of a Kubernetes version, with our controllers, would refuse."""
    if builtin.is_builtin(found):
        return builtin.faults(found, version)
    model = MODELS.get(found["kind"])
    if model is None:
        return [f"{name(found)}: no schema for {found['apiVersion']} {found['kind']}"]
    return [*_model_faults(found, model), *builtin.inner_faults(found, version)]


def _model_faults(found: Object, model: type[Kind]) -> list[str]:
    try:
        model.model_validate(found)
    except ValidationError as error:
        return [
            f"{name(found)}: {'.'.join(map(str, fault['loc'])) or 'object'}: {fault['msg']}"
            for fault in error.errors()
        ]
    return []


def objects_are_accepted(objects: list[Object], version: str = builtin.VERSIONS[-1]) -> list[str]:
    """Each object is valid, strictly: no field but those that there are."""
    return [fault for found in objects for fault in faults(found, version)]
