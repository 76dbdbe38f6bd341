"""The admission policy: what it lets in, what it refuses and with which words."""

import copy

import pytest

from integration.infra.contract import admission, render

PINNED = f"registry.example.com/s1/serve@sha256:{'a' * 64}"
TAGGED = "registry.example.com/s1/serve:1.2"
ZERO = f"registry.example.com/s1/serve@sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def policies():
    return [found for part in render.SHARED for found in render.objects(part)]


def pod(image=PINNED, namespace="s1-production", **spec):
    spec = {"containers": [{"name": "s1", "image": image}], **spec}
    metadata = {"name": "s1", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def owner(kind, image):
    template = {"spec": pod(image)["spec"]}
    spec = (
        {"template": template}
        if kind != "CronJob"
        else {"jobTemplate": {"spec": {"template": template}}}
    )
    version = "batch/v1" if kind in ("Job", "CronJob") else "apps/v1"
    metadata = {"name": "s1", "namespace": "s1-production"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def test_a_digest_is_let_in(policies) -> None:
    assert admission.admit(policies, pod()) == {}


@pytest.mark.parametrize(
    "image", [TAGGED, "s1", "", f"s1@sha256:{'a' * 63}", f"s1@sha512:{'a' * 64}"]
)
def test_anything_but_a_digest_is_refused(policies, image) -> None:
    (message,) = admission.admit(policies, pod(image))["Deny"]
    assert f'image "{image}" has no digest' in message


def test_the_zero_digest_is_refused_as_not_pinned(policies) -> None:
    (message,) = admission.admit(policies, pod(ZERO))["Deny"]
    assert "not pinned yet" in message


def test_a_container_without_an_image_is_refused(policies) -> None:
    found = pod()
    del found["spec"]["containers"][0]["image"]
    assert "Deny" in admission.admit(policies, found)


def test_a_pod_without_containers_holds_no_image(policies) -> None:
    assert admission.admit(policies, pod(containers=[])) == {}


def test_what_cannot_be_looked_at_is_refused(policies) -> None:
    found = pod()
    del found["spec"]["containers"]
    assert "Deny" in admission.admit(policies, found)


@pytest.mark.parametrize("field", ["initContainers", "ephemeralContainers"])
def test_other_containers_are_looked_at_too(policies, field) -> None:
    assert admission.admit(policies, pod(**{field: [{"name": "x", "image": PINNED}]})) == {}
    (message,) = admission.admit(policies, pod(**{field: [{"name": "x", "image": TAGGED}]}))["Deny"]
    assert TAGGED in message


def test_image_volumes_are_looked_at_too(policies) -> None:
    def volumes(reference):
        return [{"name": "tmp", "emptyDir": {}}, {"name": "m", "image": {"reference": reference}}]

    assert admission.admit(policies, pod(volumes=volumes(PINNED))) == {}
    assert "Deny" in admission.admit(policies, pod(volumes=volumes(TAGGED)))


def test_a_container_added_to_a_running_pod_is_looked_at(policies) -> None:
    old, new = pod(), pod(ephemeralContainers=[{"name": "debug", "image": TAGGED}])
    assert "Deny" in admission.admit(policies, new, old, part="ephemeralcontainers")


def test_a_pod_from_before_the_policy_may_still_end(policies) -> None:
    old = pod(TAGGED)
    new = copy.deepcopy(old)
    new["metadata"]["finalizers"] = []
    assert admission.admit(policies, new, old) == {}


@pytest.mark.parametrize(
    "kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"]
)
def test_who_applies_a_workload_is_told_at_once(policies, kind) -> None:
    assert admission.admit(policies, owner(kind, PINNED)) == {}
    assert "Deny" in admission.admit(policies, owner(kind, TAGGED))


@pytest.mark.parametrize("namespace", ["s1-staging", "s1-production", "s1-training"])
def test_namespaces_of_ours_refuse_tags(policies, namespace) -> None:
    assert "Deny" in admission.admit(policies, pod(TAGGED, namespace))


def test_dev_warns_and_others_are_left_alone(policies) -> None:
    assert admission.admit(policies, pod(TAGGED, "s1-dev")).keys() == {"Warn"}
    assert admission.admit(policies, pod(TAGGED, "kube-system")) == {}
