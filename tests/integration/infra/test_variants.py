"""What is applied besides the overlays as they lie there: other components, and submitted runs."""

import os
import shutil

import pytest
import yaml

from integration.infra.contract import render, suite
from integration.infra.contract.objects import of_kind
from integration.infra.defects import edits
from s1_serve.cluster import submit
from s1_serve.cluster.config import SubmitConfig

RELEASE = "release.yaml"
MODEL_IMAGE = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {
        "name": "model-image",
        "annotations": {"config.kubernetes.io/local-config": "true"},
    },
    "data": {"reference": f"registry.example.com/s1/model@sha256:{'a' * 64}"},
}


def overlay(folder, parts, components, namespace, **files):
    """Write an overlay outside of the repository and give its objects and the cluster's own."""
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(content)
    near = [os.path.relpath(render.K8S / part, folder) for part in (*parts, *components)]
    kustomization = {
        "namespace": namespace,
        "resources": [*near[: len(parts)], *(f"{name}.yaml" for name in files)],
        "components": near[len(parts) :],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return render.cluster(str(folder))


def test_a_model_as_an_image_keeps_the_contract(tmp_path) -> None:
    pins = (render.K8S / "serving/overlays/production" / RELEASE).read_text()
    parts = [f"serving/components/{name}" for name in ("gpu", "weights-image", "pins")]
    objects = overlay(
        tmp_path,
        ["serving/base"],
        parts,
        "s1-production",
        release=pins,
        model=yaml.safe_dump(MODEL_IMAGE),
    )
    assert suite.findings(objects) == {}
    claims = of_kind(objects, "PersistentVolumeClaim")
    assert {claim["metadata"]["name"] for claim in claims} == {"artifacts"}  # of data and training
    assert MODEL_IMAGE["data"]["reference"] in str(of_kind(objects, "Deployment"))


def test_rdma_is_a_line_to_uncomment_and_a_queue_that_covers_it(tmp_path) -> None:
    """The shipped queue does not, as most clusters have no such device; the component says so."""
    shutil.copytree(render.K8S, tmp_path / "k8s")
    folder = tmp_path / "k8s" / "training/overlays/cluster"
    file = folder / "kustomization.yaml"
    text = file.read_text()
    assert text.count("  # - ../../components/rdma") == 1
    file.write_text(text.replace("# - ../../components/rdma", "- ../../components/rdma"))
    objects = render.cluster(str(folder))
    found = edits.trainer(objects)
    asked = {key: amount for key, amount in found["resources"]["limits"].items() if "/" in key}
    assert asked == {"nvidia.com/gpu": "8", "rdma/rdma_shared_device_a": "1"}
    assert found["resources"]["requests"].items() >= asked.items()
    assert edits.env(found, "NCCL_IB_HCA") == {"name": "NCCL_IB_HCA", "value": "mlx5"}
    assert suite.findings(objects).keys() == {"queues_have_room"}


def test_every_component_is_part_of_something() -> None:
    listed = {
        (path.parent / component).resolve()
        for path in render.K8S.glob("**/overlays/*/kustomization.yaml")
        for component in yaml.safe_load(path.read_text()).get("components", [])
    }
    tried = {render.K8S / "serving/components/weights-image"}
    tried |= {render.K8S / "training/components/rdma"}
    components = {path.parent for path in render.K8S.glob("**/components/*/kustomization.yaml")}
    assert components <= listed | tried


RUNS = [
    (SubmitConfig(work=work, overlay=overlay, step=step, args=args), f"{folder}/overlays/{overlay}")
    for work, folder, overlay, step, args in [
        ("train", "training", "cluster", None, "--max_steps 10"),
        ("train", "training", "dev", None, ""),
        ("data", "data", "dev", None, "--seed 1"),
        ("data", "data", "cluster", "questions", ""),
        ("data", "data", "cluster", "traces", "--teacher.max_tokens 4096"),
        ("data", "data", "cluster", "attempts-7b", ""),
        ("data", "data", "cluster", "attempts-32b", ""),
        ("data", "data", "cluster", "select", ""),
    ]
]


@pytest.mark.parametrize(("config", "folder"), RUNS, ids=lambda value: getattr(value, "step", None))
def test_a_submitted_run_keeps_the_contract(config, folder) -> None:
    objects = render.cluster(folder)
    rest = [found for found in objects if found["kind"] not in submit.RUNS]
    run = submit.prepared(submit.chosen(objects, config), config)
    assert suite.findings([*rest, run]) == {}


def test_every_run_of_the_overlays_can_be_submitted() -> None:
    for folder in {folder for _, folder in RUNS}:
        runs = [o["metadata"]["name"] for o in render.objects(folder) if o["kind"] in submit.RUNS]
        chosen = [
            submit.chosen(render.objects(folder), config)["metadata"]["name"]
            for config, of in RUNS
            if of == folder
        ]
        assert sorted(chosen) == sorted(runs)
