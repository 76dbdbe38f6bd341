"""In which order `just deploy` applies what is shipped, and which Job of weights it waits for."""

import math

import pytest
import yaml

from integration.infra.contract import render
from integration.infra.contract.objects import name
from s1_core.errors import UserError
from s1_serve.cluster import deploy
from s1_serve.cluster.rollout import Wait

COMPLETE = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
FAILED = {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}


class Cluster:
    """A kubectl that keeps what it is given and answers, in turn, what a Job is said to be."""

    def __init__(self, *answers) -> None:
        self.answers, self.applied = list(answers), []

    def apply(self, text, owner):
        self.applied.append([name(found) for found in yaml.safe_load_all(text)])
        return ""

    def get(self, kind, name, namespace):
        answer = self.answers.pop(0)
        metadata = {"name": name, "namespace": namespace}
        return None if answer is None else {"kind": "Job", "metadata": metadata, **answer}


def applied(*answers):
    """Apply production to a cluster; give what was applied together, first and last."""
    cluster = Cluster(*answers)
    deploy.apply(Wait(cluster, math.inf), render.objects("serving/overlays/production"))
    assert not cluster.answers, "not all was asked"
    first, last = cluster.applied
    return set(first), set(last)


def test_what_wants_pods_comes_after_the_weights() -> None:
    first, last = applied(None, COMPLETE)
    assert last - first == {"Deployment/s1", "Rollout/s1", "ScaledObject/s1"}
    assert any(found.startswith("Job/weights-") for found in first)


def test_a_job_that_was_complete_may_vanish() -> None:
    applied(COMPLETE)
    with pytest.raises(UserError, match="was deleted meanwhile"):
        applied(None, None)


def test_a_job_that_failed_is_told_before_anything_is_applied() -> None:
    cluster = Cluster(FAILED)
    with pytest.raises(UserError, match="failed"):
        deploy.apply(Wait(cluster, math.inf), render.objects("serving/overlays/production"))
    assert cluster.applied == []
