"""What the cluster verbs conclude from what a cluster and kubectl say."""

from __future__ import annotations

import pytest

from s1_core.errors import Interrupted, UserError
from s1_serve.cluster import kubectl, objects, rollout, trust


def state(phase: str, step: int = 0, reasons: tuple[str, ...] = ("CanaryPauseStep",), **fields):
    status = {
        "observedGeneration": "2",
        "workloadObservedGeneration": "4",
        "phase": phase,
        "currentStepIndex": step,
        "pauseConditions": [{"reason": one} for one in reasons],
    }
    steps = [{"pause": {"duration": "1h"}}, {"pause": {}}]
    return {
        "kind": "Rollout",
        "metadata": {"name": "s1", "namespace": "here", "generation": 2},
        "status": status | fields,
        "spec": {"strategy": {"canary": {"steps": steps}}},
    }


def test_states_of_a_canary():
    assert rollout.rollout_state(state("Healthy"), 3) == (True, "Healthy")
    assert rollout.rollout_state(state("Paused"), 4) == (False, "Paused")
    assert rollout.rollout_state(state("Paused", 1, ()), 4) == (False, "Paused")
    for before in (state("Healthy", observedGeneration="1"), state("Healthy") | {"status": {}}):
        assert rollout.rollout_state(before, 4)[0] is False
    assert rollout.rollout_state(state("Healthy"), 5)[0] is False
    for waiting in (state("Paused", 1), state("Paused", 0, ("InconclusiveAnalysisRun",))):
        with pytest.raises(Interrupted, match="waits for a person"):
            rollout.rollout_state(waiting, 4)
    with pytest.raises(UserError, match="was stopped: Degraded RolloutAborted"):
        rollout.rollout_state(state("Degraded", message="RolloutAborted"), 4)


def test_states_of_a_job():
    job = {"kind": "Job", "metadata": {"name": "weights", "namespace": "here"}}
    failed = {"type": "Failed", "status": "True", "reason": "Deadline", "message": "late"}
    assert rollout.job_state(job) == (False, "0 pods at work")
    with pytest.raises(UserError, match=r"failed \(Deadline: late\)"):
        rollout.job_state(job | {"status": {"conditions": [failed]}})


def test_pods_say_what_they_wait_for():
    crash = {"name": "s1", "ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
             "lastState": {"terminated": {"message": "a line\ns1: no model\n"}}}  # fmt: skip
    pods = [
        {"metadata": {"name": "a"}, "status": {"containerStatuses": [crash]}},
        {"metadata": {"name": "b"}, "status": {"containerStatuses": [{"ready": False}]}},
        {"metadata": {"name": "c"}, "status": {"containerStatuses": [{"ready": True}]}},
        {"metadata": {"name": "d"}},
    ]
    assert rollout.troubles(pods) == ["a CrashLoopBackOff: s1: no model", "b runs and is not ready"]


def test_pods_have_to_run_what_is_pinned():
    def pod(image: str) -> dict:
        status = {"containerStatuses": [{"name": "s1", "imageID": image}, {"name": "x"}]}
        return {"metadata": {"name": "a"}, "status": status}

    pinned = f"r/s1@sha256:{'1' * 64}"
    other = pinned.replace("1" * 64, "2" * 64)
    mirrored = "docker-pullable://mirror/" + pinned
    assert rollout.check_running([pod(pinned), pod(mirrored), pod("")], "s1", pinned) == 2
    with pytest.raises(UserError, match="a runs r/s1@sha256:2"):
        rollout.check_running([pod(other)], "s1", pinned)
    with pytest.raises(UserError, match="no pod runs"):
        rollout.check_running([pod("")], "s1", pinned)


def test_kustomize_has_to_be_new_enough():
    kubectl.check_kustomize("v5.5.0")
    for version in ("v4.5.7", "None"):
        with pytest.raises(UserError, match="wanted 5 or newer"):
            kubectl.check_kustomize(version)


def test_what_may_be_trusted():
    def view(server: str) -> dict:
        return {"current-context": "here", "clusters": [{"cluster": {"server": server}}]}

    for server in ("https://api.example.com", "http://localhost:1", "http://[::1]:8080"):
        assert trust.checked_server(view(server)) == server
    for server in ("http://127.0.0.1.example.com", "http://10.0.0.1", "api.example.com"):
        with pytest.raises(UserError, match="without TLS"):
            trust.checked_server(view(server))
    for minor in ("34", "37+"):
        trust.check_version({"major": "1", "minor": minor}, False)
    with pytest.raises(UserError, match="calls itself"):
        trust.check_version({"major": "", "minor": ""}, False)
    trust.check_version({"major": "1", "minor": "36"}, True)
    with pytest.raises(UserError, match="may drop volumes that are images"):
        trust.check_version({"major": "1", "minor": "35"}, True)


SAID = [
    ("Unable to connect to the server: dial tcp: lookup api.example.com: no such host",
     "no such host; the API server does not answer"),
    ("error: You must be logged in to the server (Unauthorized)", "log in, and run again"),
    ('Error from server (Forbidden): jobs.batch is forbidden: User "me" cannot list resource "x"',
     "you lack a right"),
    ('Error from server (NotFound): error when creating "STDIN": namespaces "s1-dev" not found',
     "kubectl apply -k infra/k8s/namespaces"),
    ('The Job "weights" is invalid: spec.template: Invalid value: {}: field is immutable',
     "delete it, and run again"),
    ('Error from server (BadRequest): strict decoding error: unknown field "spec.replica"',
     "the object is not valid"),
    ('Warning: a\nWarning: b\nE1126 05:52:47.2 7711 run.go:72] "command failed"',
     "Warning: a Warning: b; the API server warns"),
    ("error: EOF", "no credentials: log in"),
    ("error: something new", "something new"),
    ("", "it said nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "told"), SAID)
def test_what_kubectl_says_becomes_one_line(said, told):
    line = kubectl.explain(said)
    assert told in line and "\n" not in line and not line.startswith("error:")


def test_what_is_missing():
    wanted = {"a": [{"b": 1}, {"c": []}], "d": None}
    assert objects.missing(wanted, {"a": [{"b": 1, "e": 2}, {}], "f": 1}) is None
    assert objects.missing(wanted, {"a": [{"b": 2}, {}]}) == ".a[0].b"
    assert objects.missing(wanted, {"a": [{"b": 1}]}) == ".a"


def test_images_are_found_wherever_they_are():
    good = f"r/x@sha256:{'a' * 64}"
    inner = {"initContainers": [{"image": good}], "containers": [{"image": good}]}
    value = {"kind": "X", "metadata": {"name": "x"}, "spec": [{"deep": {"spec": inner}}]}
    objects.check_images([value])
    inner["volumes"] = [{"image": {"reference": "r/model:latest"}}]
    with pytest.raises(UserError, match=r"X/x: image is 'r/model:latest'"):
        objects.check_images([value])
