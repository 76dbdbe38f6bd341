"""Overlays rendered, deployed and submitted by the real kubectl, to an API server on loopback."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from integration.serve import overlays
from kube_server import kubeconfig, serving
from kube_store import EXTRAS, RESOURCES, Cluster, Fault
from s1_core.config_parser import parse
from s1_core.errors import UserError
from s1_serve.cluster import deploy, objects, render, submit
from s1_serve.cluster.config import DeployConfig, RenderConfig, SubmitConfig
from s1_serve.release import pins

pytestmark = pytest.mark.multiprocess
if shutil.which("kubectl") is None:
    pytest.skip("kubectl is not installed", allow_module_level=True)


VERBS = {
    "render": (RenderConfig, render.main),
    "deploy": (DeployConfig, deploy.main),
    "submit": (SubmitConfig, submit.main),
}


@dataclass
class Place:
    """A repository, a cluster, and a kubeconfig that names it."""

    root: Path
    cluster: Cluster
    address: str
    environment: dict[str, str]

    def run(self, verb: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of ours as its recipe does."""
        return subprocess.run(
            [sys.executable, "-m", f"s1_serve.cluster.{verb}", *words],
            cwd=self.root, env=self.environment | variables, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip

    def refused(self, verb: str, *words: str, **variables: str) -> str:
        """Call a verb that ends with a UserError and leaves the cluster as it was."""
        config_class, main = VERBS[verb]
        before = list(self.cluster.writes)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError) as refusal:
            patch.chdir(self.root)
            for name, value in (self.environment | variables).items():
                patch.setenv(name, value)
            main(parse(config_class, words, "serve"))
        assert self.cluster.writes == before
        return str(refusal.value)

    def asked(self) -> set[str]:
        """List what the cluster was asked, apart from its version: some kubectls always ask."""
        return {one for one in self.cluster.requests if not one.startswith("GET /version")}

    def promote(self, stage: str, digit: str) -> None:
        """Pin a stage to a release made of a digit."""
        overlays.pin(self.root, stage, pins.of(overlays.release(self.root, digit)))


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    return overlays.build(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def place(repository, tmp_path):
    root = tmp_path / "repository"
    shutil.copytree(repository, root)
    cluster = Cluster()
    for text in (overlays.NAMESPACES, overlays.POLICY, overlays.QUEUE):
        for value in objects.parse(text):
            cluster.put(value)
    cluster.writes.clear()
    with serving(cluster) as address:
        config = kubeconfig(tmp_path / "kubeconfig", address)
        variables = {"KUBECONFIG": str(config), "KUBECACHEDIR": str(tmp_path / "cache")}
        yield Place(root, cluster, address, dict(os.environ) | variables)


def test_render(place):
    rendered = place.run("render", "serving/overlays/staging")
    assert rendered.returncode == 0
    kinds = [value["kind"] for value in yaml.safe_load_all(rendered.stdout)]
    assert kinds == ["ServiceAccount", "Deployment", "Job"]
    for name in ("staging", "infra/k8s/serving/overlays/staging/"):
        assert place.run("render", name).stdout == rendered.stdout
    assert "JobSet" in place.run("render", "training/cluster").stdout
    line = place.refused("render", "stagin")
    assert (
        "data/cluster, dev, namespaces, policy, production, queues, staging, training/cluster"
        in (line)
    )


def test_render_without_kubectl(place):
    assert "nowhere was not found: install kubectl" in place.refused(
        "render", "staging", KUBECTL="nowhere"
    )


def test_deploy(place):
    """What will change is shown, applied and waited for; the second time nothing changes."""
    place.promote("staging", "1")
    shown = place.run("deploy", "staging", "--dry_run")
    assert shown.returncode == 0, shown.stderr
    assert f"+        image: registry.example.com/s1/serve@sha256:{'1' * 64}" in shown.stdout
    assert not place.cluster.writes

    first = place.run("deploy", "staging")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(shown.stdout.splitlines()[0].split()[0])
    assert first.stdout.endswith(
        f"s1-staging: 1 pods run registry.example.com/s1/serve@sha256:{'1' * 64}, as pinned\n"
    )
    assert "context here: http://127.0.0.1" in first.stderr
    wanted = ["ServiceAccount/s1", "Job/weights", "Deployment/s1"]
    assert place.cluster.writes == wanted, "pods come after their weights"

    again = place.run("deploy", "staging")
    assert again.returncode == 0 and "nothing changes" in again.stderr
    assert place.cluster.writes == wanted

    place.promote("staging", "2")
    changed = place.run("deploy", "staging")
    assert changed.returncode == 0
    assert place.cluster.writes == [*wanted, "Deployment/s1"]


def test_deploy_takes_nothing_back_in_a_clone_that_is_behind(place):
    place.promote("staging", "1")
    assert place.run("deploy", "staging").returncode == 0
    live = place.cluster.objects["Deployment", "s1-staging", "s1"]
    template = live["spec"]["template"]["metadata"]
    template["annotations"] = {"s1/release": "9" * 64}
    line = place.refused("deploy", "staging")
    assert "runs release 999999999999" in line and "git pull first" in line
    template["annotations"] = {"s1/release": "0" * 64}
    assert "nothing changes" in place.run("deploy", "staging").stderr


def test_deploy_refuses_pins(place):
    assert "holds zeros: nothing was promoted to staging" in place.refused("deploy", "staging")
    assert "zeros stand for a digest to come" in place.refused("deploy", "dev")
    release = overlays.release(place.root, "1")
    good = pins.of(release)
    overlays.pin(place.root, "staging", replace(good, image="registry.example.com/s1/serve:v1"))
    assert "since tags move" in place.refused("deploy", "staging")
    overlays.pin(place.root, "staging", replace(good, model="3" * 64))
    line = place.refused("deploy", "staging")
    assert "other digests than the record" in line and release.id[:12] in line
    overlays.pin(place.root, "staging", replace(good, release="4" * 64))
    assert "no release is called '4444" in place.refused("deploy", "staging")
    (place.root / release.path).write_text(release.text.replace("1", "2", 1))
    overlays.pin(place.root, "staging", good)
    assert "was altered" in place.refused("deploy", "staging")
    assert place.asked() == set()


def test_deploy_of_dev_needs_a_digest_and_no_record(place):
    image = f"registry.example.com/s1/serve@sha256:{'5' * 64}"
    overlays.pin(place.root, "dev", pins.Pins(release="0" * 64, image=image, model="6" * 64))
    done = place.run("deploy", "dev")
    assert done.returncode == 0, done.stderr
    assert f"s1-dev: 1 pods run {image}, as pinned" in done.stdout


def test_deploy_refuses_a_tree_that_no_commit_holds(place):
    place.promote("staging", "1")
    place.root.joinpath("note").write_text("to do")
    assert "the tree is dirty (note)" in place.refused("deploy", "staging")
    overlays.commit(place.root)
    done = place.run("deploy", "test")
    assert done.returncode == 2 and done.stderr.startswith("s1: stage is 'test': give one of dev")
    file = place.root / "infra/k8s/serving/overlays/staging/kustomization.yaml"
    file.write_text(file.read_text().partition("replacements:")[0])
    overlays.commit(place.root)
    assert "mend the replacements of the overlay" in place.refused("deploy", "staging")


def test_deploy_refuses_servers(place, tmp_path):
    place.promote("staging", "1")

    def refused(server: str, *words: str, **cluster: object) -> str:
        config = kubeconfig(tmp_path / "other", server, **cluster)
        return place.refused("deploy", "staging", *words, KUBECONFIG=str(config))

    assert "without TLS: give an https server" in refused("http://api.example.com:6443")
    insecure = {"insecure-skip-tls-verify": True}
    assert "skips the verification" in refused("https://api.example.com:6443", **insecure)
    assert "does not answer" in refused("http://127.0.0.1:9")
    assert "give --context" in refused(place.address, "--context", "elsewhere")
    assert "give --context" in place.refused(
        "deploy", "staging", KUBECONFIG=str(tmp_path / "nothing")
    )
    for version, said in (("1.33", "drop fields"), ("1.38", "never checked")):
        place.cluster.version = version
        assert said in place.refused("deploy", "staging")


def test_deploy_refuses_a_cluster_that_is_not_ready_for_it(place):
    place.promote("staging", "1")
    place.promote("production", "2")
    cluster = place.cluster
    policy = ("ValidatingAdmissionPolicy", "", "s1-digests-only")
    space = ("Namespace", "", "s1-staging")

    cluster.objects[policy]["spec"]["failurePolicy"] = "Ignore"
    line = place.refused("deploy", "staging")
    assert "s1-digests-only on the server is not the tree's (spec.failurePolicy)" in line
    assert "kubectl --context here apply --server-side -k infra/k8s/policy" in line
    cluster.objects[policy]["spec"]["failurePolicy"] = "Fail"

    fence = cluster.objects.pop(("NetworkPolicy", "s1-staging", "default-deny"))
    assert "NetworkPolicy/default-deny on the server is not" in place.refused("deploy", "staging")
    cluster.put(fence)
    cluster.writes.clear()

    del cluster.objects[space]["metadata"]["labels"]
    assert "Namespace/s1-staging on the server is not the tree's (metadata" in place.refused(
        "deploy", "staging"
    )
    del cluster.objects[space]
    assert "Namespace/s1-staging on the server is not the tree's (not there)" in place.refused(
        "deploy", "staging"
    )
    del cluster.objects[policy]
    assert "s1-digests-only on the server is not the tree's (not there)" in place.refused(
        "deploy", "staging"
    )

    cluster.resources = RESOURCES
    line = place.refused("deploy", "production")
    assert "does not know argoproj.io/v1alpha1 Rollout: install what brings it" in line
    cluster.resources = RESOURCES + EXTRAS


def test_deploy_takes_nothing_from_others(place):
    place.promote("staging", "1")
    assert place.run("deploy", "staging").returncode == 0
    value = place.cluster.objects[("Deployment", "s1-staging", "s1")]
    image = f"other.example.com/s1@sha256:{'9' * 64}"
    container = {"name": "s1", "image": image}
    place.cluster.put(
        {"apiVersion": "apps/v1", "kind": "Deployment",
         "metadata": {"name": "s1", "namespace": "s1-staging"},
         "spec": {"template": {"spec": {"containers": [container]}}}},
        "kubectl-set",
    )  # fmt: skip
    line = place.refused("deploy", "staging")
    assert 'conflict with "kubectl-set" using apps/v1' in line and "containers" in line
    assert "force" not in line
    assert value["spec"]["template"]["spec"]["containers"][0]["image"] != image


def test_deploy_hears_the_server(place):
    place.promote("staging", "1")
    place.cluster.warning = "spec.topologySpreadConstraints: selects nothing"
    assert "selects nothing; the API server warns" in place.refused("deploy", "staging")
    place.cluster.warning = None
    said = "ValidatingAdmissionPolicy 's1-digests-only' with binding 'b' denied request: a tag"
    place.cluster.fault = Fault(422, "Invalid", f'deployments.apps "s1" is forbidden: {said}')
    line = place.refused("deploy", "staging")
    assert "denied request: a tag; the cluster's policy refuses it" in line


def test_deploy_of_pods_that_never_become_ready(place):
    """It ends with what the pods wait for; once they are ready, the same command goes on."""
    place.promote("staging", "1")
    assert place.run("deploy", "staging").returncode == 0
    place.promote("staging", "2")
    place.cluster.ready = False
    done = place.run("deploy", "staging", "--timeout_s", "2")
    assert done.returncode == 2
    assert "did not become ready: s1-0 ImagePullBackOff" in done.stderr
    place.cluster.ready, place.cluster.running = True, "mirror.example.com/s1@sha256:" + "0" * 64
    place.cluster.put(place.cluster.objects["Deployment", "s1-staging", "s1"] | {"x": {}}, "none")
    line = place.refused("deploy", "staging")
    assert "s1-0 runs mirror.example.com" in line and "is pinned" in line


@pytest.mark.slow
def test_deploy_of_weights_that_never_come(place):
    """A killed deploy is run again; without the weights no pod is replaced."""
    place.promote("staging", "1")
    place.cluster.ready = False
    done = place.run("deploy", "staging", "--timeout_s", "1")
    assert done.returncode == 2
    assert "Job/weights is not done in time: 1 pods at work" in done.stderr
    command = [sys.executable, "-m", "s1_serve.cluster.deploy", "staging"]
    for stop, code in ((signal.SIGTERM, 75), (signal.SIGKILL, -9)):
        with subprocess.Popen(
            command, cwd=place.root, env=place.environment, stderr=subprocess.PIPE, text=True
        ) as stopped:
            for line in stopped.stderr:
                if "pods at work" in line:
                    stopped.send_signal(stop)
            assert stopped.wait(30) == code
    assert place.cluster.writes == ["ServiceAccount/s1", "Job/weights"]
    place.cluster.ready = True
    place.cluster.objects["Job", "s1-staging", "weights"]["status"] = {
        "conditions": [{"type": "Complete", "status": "True"}]
    }
    assert place.run("deploy", "staging").returncode == 0
    assert place.cluster.writes[2:] == ["Deployment/s1"]


def test_deploy_of_a_canary(place):
    place.promote("production", "1")
    place.cluster.phase = "Paused"
    paused = place.run("deploy", "production")
    assert paused.returncode == 75, paused.stderr
    assert "kubectl argo rollouts promote s1 --namespace s1-production" in paused.stderr
    writes = list(place.cluster.writes)
    place.cluster.phase = "Healthy"
    rollout_of = place.cluster.objects["Rollout", "s1-production", "s1"]
    rollout_of["status"] = place.cluster.status(rollout_of)
    done = place.run("deploy", "production")
    assert done.returncode == 0, done.stderr
    assert "as pinned" in done.stdout and place.cluster.writes == writes


def test_submit_train(place):
    """Each run has a name of its own; what all share is applied once."""
    names = [place.run("submit", "train").stdout.strip() for _ in range(2)]
    assert names[0] != names[1]
    for name in names:
        assert re.fullmatch(r"train-\d{8}-\d{6}-[0-9a-f]{4}", name)
        run = place.cluster.find("JobSet", "s1-training", name)
        (container,) = objects.containers(run)
        assert container["args"] == ["--out", "/artifacts/runs/$(RUN)"]
    claim, *runs = place.cluster.writes
    assert claim == "PersistentVolumeClaim/artifacts"
    assert runs == [f"JobSet/{name}" for name in names]


def test_submit_by_name(place):
    """The same run twice is one run; another one may not take its name."""
    first = place.run("submit", "train", "--name", "run-7")
    assert first.returncode == 0 and first.stdout == "run-7\n"
    assert "kubectl --context here --namespace s1-training get jobset run-7 --watch" in first.stderr
    writes = list(place.cluster.writes)
    again = place.run("submit", "train", "--name", "run-7")
    assert again.returncode == 0 and again.stdout == "run-7\n"
    assert "already submitted" in again.stderr and place.cluster.writes == writes
    line = place.refused("submit", "train", "--name", "run-7", "--args=--max_steps 10")
    assert "another run" in line
    assert "give at most 45" in place.refused("submit", "train", "--name", "Run_7")


def test_submit_data(place):
    assert "data/cluster has 3 runs; give --step, one of: questions, select, traces" in (
        place.refused("submit", "data")
    )
    assert "no step 'trace'" in place.refused("submit", "data", "--step", "trace")
    done = place.run("submit", "data", "--step", "traces")
    assert done.returncode == 0, done.stderr
    assert place.cluster.writes == [f"Job/{done.stdout.strip()}"]
    job = place.cluster.find("Job", "s1-training", done.stdout.strip())
    assert job["metadata"]["labels"]["s1/step"] == "traces"
    assert job["spec"]["template"]["spec"]["containers"][0]["name"] == "traces"


def test_submit_takes_an_image_and_arguments(place):
    image = f"registry.example.com/mine@sha256:{'7' * 64}"
    words = ("submit", "train", "--image", image, "--args=--max_steps 10 --seed '1'", "--dry_run")
    shown = place.run(*words)
    assert shown.returncode == 0, shown.stderr
    run = list(yaml.safe_load_all(shown.stdout))[-1]
    (container,) = objects.containers(run)
    assert container["image"] == image
    assert container["args"][-4:] == ["--max_steps", "10", "--seed", "1"]
    assert place.asked() == set()
    assert "wanted REPOSITORY@sha256:DIGEST" in place.refused(
        "submit", "train", "--image", "registry.example.com/mine:latest"
    )
    assert "close what is open" in place.refused("submit", "train", "--args=--x '")


def test_submit_refuses(place):
    assert "wanted data or train" in place.refused("submit", "trian")
    assert "no overlay is called 'training/mars'" in place.refused(
        "submit", "train", "--overlay", "mars"
    )
    del place.cluster.objects["LocalQueue", "s1-training", "s1"]
    assert "waits in queue s1, which s1-training does not have" in place.refused("submit", "train")
    place.cluster.resources = RESOURCES
    assert "does not know jobset.x-k8s.io/v1alpha2 JobSet" in place.refused("submit", "train")
    file = place.root / "infra/k8s/training/overlays/cluster/objects.yaml"
    file.write_text(overlays.TRAINING.replace("b" * 64, "0" * 64))
    assert "the tree is dirty" in place.refused("submit", "train")
    overlays.commit(place.root)
    assert "zeros stand for a digest to come" in place.refused("submit", "train")


@pytest.fixture
def ours(place):
    """The overlays of this tree instead of small ones, and a cluster that was made ready."""
    folder = place.root / "infra/k8s"
    shutil.rmtree(folder)
    shutil.copytree(Path(__file__).parents[3] / "infra/k8s", folder)
    overlays.commit(place.root)
    for name in ("namespaces", "policy", "queues"):
        for value in objects.parse(place.run("render", name).stdout):
            if any(one.kind == value["kind"] for one in place.cluster.resources):
                place.cluster.put(value)
    place.cluster.writes.clear()
    return place


STAGES = ["production", *(pytest.param(one, marks=pytest.mark.slow) for one in ("dev", "staging"))]


@pytest.mark.parametrize("stage", STAGES)
def test_deploy_our_overlays(ours, stage):
    ours.promote(stage, "1")
    done = ours.run("deploy", stage)
    assert done.returncode == 0, done.stderr
    assert f"s1-{stage}: " in done.stdout and "as pinned" in done.stdout
    before = list(ours.cluster.writes)
    assert "nothing changes" in ours.run("deploy", stage).stderr
    ours.promote(stage, "2")
    done = ours.run("deploy", stage)
    assert done.returncode == 0, done.stderr
    kinds = [name.partition("/")[0] for name in ours.cluster.writes[len(before) :]]
    assert set(kinds) <= {"Deployment", "Job"}, "a promotion touches pods alone"


def test_submit_our_overlays(ours):
    image = ("--image", f"registry.example.com/s1/batch@sha256:{'7' * 64}")
    steps = ours.refused("submit", "data").rpartition("one of: ")[2].split(", ")
    assert {"questions", "traces", "select"} <= set(steps)
    for words in (["train"], ["data", "--overlay", "dev"]):
        done = ours.run("submit", *words, *image)
        assert done.returncode == 0, done.stderr
    runs = [["train", "--overlay", "dev"], *(["data", "--step", step] for step in steps)]
    for words in runs:
        shown = ours.run("submit", *words, *image, "--args=--seed 1", "--dry_run")
        assert shown.returncode == 0, shown.stderr
        found = [one for value in objects.parse(shown.stdout) for one in objects.containers(value)]
        assert {one["image"] for one in found} == {image[1]}
        assert [one["args"][-2:] for one in found if "args" in one] == [["--seed", "1"]]
