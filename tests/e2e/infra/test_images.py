"""Both images by Debian's tools: built on a base made here, pushed, copied by digest, and run.

A dozen packages stand for 5 GB of pins; the Containerfile, the installer and the verbs are real.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from checkout import ROOT, Checkout
from s1_core import artifacts

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess, pytest.mark.timeout(900)]

TOOLS = ("buildah", "mmdebstrap", "docker-registry", "skopeo", "git")
BASE = "localhost/s1-test-base:1"
USER = "10001:10001"
# What the verbs that are run in the images import, and what installs them.
NAMES = {
    "attrs", "bentoml", "docstring-parser", "httpx", "httpcore", "h11", "anyio", "certifi", "idna",
    "importlib-resources", "jsonargparse", "markdown-it-py", "mdurl", "numpy", "pyarrow",
    "pygments", "pyyaml", "rich", "setuptools", "typeshed-client", "typing-extensions", "uv",
}  # fmt: skip
PINS = [
    line
    for line in (ROOT / "infra/requirements/cpu.txt").read_text().splitlines()
    if line.partition("==")[0] in NAMES
]
# The wheels beside it are all the index there is: neither pip nor uv looks further.
CONTAINERFILE = """
FROM scratch
ADD root.tar /
COPY wheels /wheels
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels UV_OFFLINE=1 UV_FIND_LINKS=/wheels
RUN ln -s /usr/bin/python3 /usr/local/bin/python && rm /usr/lib/python3*/EXTERNALLY-MANAGED
"""


@pytest.fixture(scope="module")
def place():
    """A folder for everything, containers' storage too: nothing of it outlives the tests."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"no images can be built and pushed: {', '.join(missing) or 'root'} is missing")
    with tempfile.TemporaryDirectory(prefix="s1-images-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{place}/storage"\n'
        (place / "storage.conf").write_text(f'{storage}runroot = "{place}/run"\n')
        yield place
        _let_go(place)


def _let_go(place):
    """Unmount what containers' storage has mounted."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{place}/")), reverse=True):
        subprocess.run(["umount", mount], check=True)


@pytest.fixture(scope="module")
def variables(place):
    return {
        "BUILDAH_ISOLATION": "chroot",
        "CONTAINERS_STORAGE_CONF": str(place / "storage.conf"),
        "BENTOML_HOME": str(place / "bentoml"),
    }


@pytest.fixture(scope="module")
def buildah(variables):
    def call(*words, **options):
        command = ["buildah", *map(str, words)]
        done = subprocess.run(
            command, env=os.environ | variables, capture_output=True, text=True, **options
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    return call


@pytest.fixture(scope="module")
def base(place, buildah):
    """A Debian with Python, pip, and wheels of the pins."""
    folder = place / "base"
    folder.mkdir()
    packages = "--include=python3,python3-venv,python3-pip,libnuma1"
    made = subprocess.run(
        ["mmdebstrap", "--variant=minbase", packages, "bookworm", str(folder / "root.tar")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no base image can be made: {made.stderr.splitlines()[-1]}")
    (folder / "pins.txt").write_text("\n".join(PINS))
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    pip += ["--python-version", "3.11", "--only-binary", ":all:"]  # what the Debian has
    words = ["--dest", str(folder / "wheels"), "--requirement", str(folder / "pins.txt")]
    subprocess.run([*pip, *words], check=True)
    (folder / "Containerfile").write_text(CONTAINERFILE)
    buildah("build", "--tag", BASE, folder)
    return BASE


@pytest.fixture(scope="module")
def registry(place):
    """Debian's registry on loopback; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    store = f"storage: {{filesystem: {{rootdirectory: {place}/registry}}}}"
    (place / "registry.yml").write_text(f"version: 0.1\n{store}\nhttp: {{addr: '{address}'}}\n")
    command = ["docker-registry", "serve", str(place / "registry.yml")]
    with (place / "registry.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_for(f"http://{address}/v2/", place / "registry.log")
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(url, log):
    for _ in range(100):
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def checkout(place):
    made = Checkout(place / "checkout", {"infra/requirements/cpu.txt": "\n".join(PINS) + "\n"})
    cache = made.root / "packages/core/src/s1_core/__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "stale.pyc").write_text("")  # what git ignores stays out of the image
    return made


@contextmanager
def container(buildah, image, *flags):
    """Run commands in a root made of the image, as the user whom nobody knows."""
    name = buildah("from", "--tls-verify=false", image).strip()

    def run(*words):
        return buildah("run", *flags, "--user", USER, name, "--", *words)

    try:
        yield run
    finally:
        buildah("rm", name)


def manifest_digest(image):
    """Ask the registry itself what it holds under a digest."""
    place, _, digest = image.partition("@")
    address, _, repository = place.partition("/")
    kinds = "application/vnd.oci.image.manifest.v1+json"
    url = f"http://{address}/v2/{repository}/manifests/{digest}"
    answer = httpx.head(url, headers={"accept": kinds})
    assert answer.status_code == 200, answer
    return answer.headers["docker-content-digest"]


def test_the_batch_image(checkout, base, registry, buildah, variables):
    """It is built, pushed, recorded, copied and run: verbs, recipes, an artifact; no compiler."""
    words = ("--batch", "cpu", "--tag", "s1-batch:1", "--builder", "buildah", "--base_image", base)
    repository = f"{registry}/s1/batch"
    push = ("--push", repository, "--tls_verify", "false")
    done = checkout.run("s1_serve.image", *words, *push, **variables)
    assert done.returncode == 0, done.stderr[-4000:]
    image = done.stdout.strip()
    digest = image.removeprefix(f"{repository}@")
    assert manifest_digest(image) == digest
    said = json.loads((checkout.root / "artifacts/images/s1-batch-1.json").read_text())
    assert said.pop("time") and said == {
        "image": image, "digest": digest, "tag": "s1-batch:1", "code": checkout.head,
        "batch": "cpu", "bento": None,
    }  # fmt: skip
    copied = checkout.run("s1_serve.image", "--copy", image, "--to", f"{registry}/prod/batch",
                          "--tls_verify", "false")  # fmt: skip
    assert copied.stdout.strip() == f"{registry}/prod/batch@{digest}", copied.stderr
    assert manifest_digest(copied.stdout.strip()) == digest
    about = json.loads(buildah("inspect", "--type", "image", "s1-batch:1"))["OCIv1"]["config"]
    assert about["User"] == USER and not about.get("Entrypoint")
    assert about["Labels"]["org.opencontainers.image.revision"] == checkout.head
    with container(buildah, copied.stdout.strip()) as run:
        assert "usage:" in run("python", "-m", "s1_data.build", "--help")
        assert "strategy" in run("python", "-m", "s1_train.fit", "--config", "s1-32b",
                                 "--data=/artifacts/data/s1k", "--print_config")  # fmt: skip
        assert "usage:" in run("python", "-m", "s1_serve.weights", "--help")
        run("python", "-m", "s1_data.benchmarks", "--name", "heldout", "--out", "/tmp/heldout")
        assert checkout.head in run("cat", "/tmp/heldout/run.json")
        run("sh", "-c", "! command -v cc && ! command -v g++ && ! test -w /app")
        assert set(run("ls", "-A", "/app").split()) == {".venv", "infra", "packages"}
        assert not run("find", "/app/packages", "-name", "stale.pyc")
        run("test", "-f", "/app/packages/core/src/s1_core/__pycache__/cli.cpython-311.pyc")


def test_new_code_is_a_small_layer(checkout, base, registry, buildah, variables):
    """The pins' layers are those of the image before: they are neither built nor pushed again."""
    words = ("--batch", "cpu", "--builder", "buildah", "--base_image", base)
    push = ("--push", f"{registry}/s1/batch", "--tls_verify", "false")
    for tag in ("s1-layers:1", "s1-layers:2"):
        source = checkout.root / "packages/core/src/s1_core/errors.py"
        source.write_text(source.read_text() + "\n# a change\n")
        checkout.commit()
        done = checkout.run("s1_serve.image", *words, "--tag", tag, *push, **variables)
        assert done.returncode == 0, done.stderr[-4000:]
    one, two = (
        json.loads(buildah("inspect", "--type", "image", tag))["OCIv1"]["rootfs"]["diff_ids"]
        for tag in ("s1-layers:1", "s1-layers:2")
    )
    assert one != two and one[:-2] == two[:-2]


def test_the_image_of_a_bento(place, checkout, base, registry, buildah, variables):
    """It brings the weights it will serve; one of other code is not pushed."""
    model = ("--carry", "mount", "--model", "/models/current", "--base_image", base)
    done = checkout.run("s1_serve.bento", *model, **variables)
    assert done.returncode == 0, done.stderr[-4000:]
    bento, repository = done.stdout.strip(), f"{registry}/s1/serve"
    words = ("--bento", bento, "--tag", bento, "--push", repository, "--tls_verify", "false")
    done = checkout.run("s1_serve.image", *words, **variables)
    assert done.returncode == 0, done.stderr[-4000:]
    image = done.stdout.strip()
    assert manifest_digest(image) == image.partition("@")[2]
    record = checkout.root / f"artifacts/images/{bento.replace(':', '-')}.json"
    said = json.loads(record.read_text())
    assert (said["image"], said["bento"], said["code"]) == (image, bento, checkout.head)
    model = artifacts.load("embedded")
    source = shutil.copytree(model.path, place / "model")
    with container(buildah, image, "--volume", f"{source}:/source:ro") as run:
        bring = ("python", "-m", "s1_serve.weights", "--sha256", model.sha256, "--source")
        found = run(*bring, "/source", "--store", "/tmp")
        assert found == f"/tmp/{model.sha256}\n"
    source = checkout.root / "packages/serve/src/s1_serve/weights.py"
    source.write_text(source.read_text() + "\n# a change\n")
    checkout.commit()
    record.unlink()
    done = checkout.run("s1_serve.image", "--bento", bento, *words[2:], **variables)
    assert done.returncode == 2 and "holds other code than this commit" in done.stderr
    assert not done.stdout and not record.exists()
