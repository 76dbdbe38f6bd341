"""Schemas: what is shipped is accepted by each supported Kubernetes, and a typo is not."""

import copy

import pytest
import yaml

from integration.infra.contract import render
from integration.infra.contract.objects import jobs, name
from integration.infra.contract.schemas import builtin, custom

FOLDERS = [*render.overlays(), *render.SHARED]


@pytest.mark.parametrize("version", builtin.VERSIONS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_objects_are_accepted(folder, version) -> None:
    assert custom.objects_are_accepted(render.objects(folder), version) == []


@pytest.fixture(scope="module")
def everything():
    """One object of each kind that is shipped anywhere."""
    return {o["kind"]: o for folder in FOLDERS for o in render.objects(folder)}


@pytest.mark.parametrize("version", builtin.VERSIONS)
def test_an_unknown_field_is_refused_in_every_kind(everything, version) -> None:
    for found in everything.values():
        broken = copy.deepcopy(found)
        broken.setdefault("spec" if "spec" in broken else "metadata", {})["replicass"] = 1
        assert custom.faults(broken, version), name(found)


def test_an_unknown_field_is_refused_in_a_job_inside(everything) -> None:
    holders = [found for found in everything.values() if jobs(found)]
    assert {"Job", "JobSet"} <= {found["kind"] for found in holders}
    for found in holders:
        broken = copy.deepcopy(found)
        jobs(broken)[0]["template"]["spec"]["containers"][0]["comand"] = ["true"]
        assert custom.faults(broken, builtin.VERSIONS[0]), name(found)


def test_every_model_is_used(everything) -> None:
    """A model that nothing is looked at by would rot."""
    assert custom.MODELS.keys() <= everything.keys()


@pytest.mark.parametrize(
    "text",
    [
        "{apiVersion: batch/v2, kind: Job, metadata: {name: x}}",
        "{apiVersion: v1, kind: Jbo, metadata: {name: x}}",
        "{apiVersion: s1.example.com/v1, kind: Job, metadata: {name: x}}",
        "{apiVersion: keda.sh/v1, kind: ScaledObject, metadata: {name: x}}",
        "{apiVersion: trainer.kubeflow.org/v1alpha1, kind: TrainJob, metadata: {name: x}}",
    ],
)
def test_an_unknown_kind_or_version_is_a_fault(text) -> None:
    assert custom.faults(yaml.safe_load(text), builtin.VERSIONS[-1])


ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: s1}
spec:
  parentRefs: [{name: gateway}]
  rules: [{timeouts: {request: VALUE, backendRequest: 20s}, backendRefs: [{name: s1, port: 80}]}]
"""
QUEUE = """
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: s1}
spec:
  namespaceSelector: {}
  resourceGroups:
    - coveredResources: [cpu, memory]
      flavors:
        - {name: f, resources: [{name: cpu, nominalQuota: 1}, {name: VALUE, nominalQuota: 1Gi}]}
"""
CANARY = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: s1}
spec:
  workloadRef: {apiVersion: apps/v1, kind: Deployment, name: s1}
  strategy: {canary: {steps: [{setWeight: VALUE}]}}
"""
ANALYSIS = """
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: s1}
spec:
  metrics:
    - name: up
      consecutiveErrorLimit: VALUE
      provider: {prometheus: {address: http://p, query: up}}
"""
SCALER = """
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: s1}
spec:
  scaleTargetRef: {name: s1}
  minReplicaCount: 2
  maxReplicaCount: VALUE
  triggers: [{type: prometheus, metadata: {serverAddress: http://p, query: up, threshold: "1"}}]
"""
RULES = """
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: s1}
spec: {groups: [{name: s1, rules: [{alert: Down, expr: up == 0, for: VALUE}]}]}
"""


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        (ROUTE, "20s", "10s"),
        (ROUTE, "1h", "1 hour"),
        (QUEUE, "memory", "nvidia.com/gpu"),
        (CANARY, "5", '"5"'),
        (CANARY, "100", "101"),
        (ANALYSIS, "180", "-1"),
        (ANALYSIS, '"{{args.errors}}"', "half an hour"),
        (SCALER, "2", "1"),
        (RULES, "5m", "5 minutes"),
    ],
)
def test_models_know_values_too(text, right, wrong) -> None:
    def faults(value):
        return custom.faults(yaml.safe_load(text.replace("VALUE", value)), builtin.VERSIONS[-1])

    assert faults(right) == []
    assert faults(wrong)
