"""`just image` around the builders: what it tells them, what it records, and what it refuses.

The builders are scripts that say what they were told; e2e/infra/test_images.py has real ones.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from checkout import ROOT, Checkout
from s1_core.errors import UserError
from s1_serve import image
from s1_serve.packing import BASE_IMAGE, ImageConfig

DIGEST = f"sha256:{'1f' * 32}"
REPOSITORY = "registry.example.com/s1/batch"
BATCH = ("--batch", "cpu", "--tag", "s1-batch:1")
# Each says its words; a push gives its digest in the way of its tool, from the variable DIGEST.
TOOL = """#!/bin/sh
echo "$(basename "$0") $*" >> "$SAID"
test "$1" != "$FAILS" || exit 7
case "$1" in inspect) echo "other.example.com/s1/batch@sha256:00"; echo "$KNOWN@$DIGEST" ;; esac
while [ $# -gt 1 ]; do test "$1" != --digestfile || printf %s "$DIGEST" > "$2"; shift; done
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return Checkout(tmp_path_factory.mktemp("checkout"))


class Tools:
    """Builders on a path of their own, beside git."""

    def __init__(self, folder, checkout):
        self.folder, self.checkout, self.said = folder / "tools", checkout, folder / "said"
        self.folder.mkdir()
        self.records = folder / "images"
        for name in ("git", "sh", "basename"):
            (self.folder / name).symlink_to(shutil.which(name))

    def add(self, *names):
        for name in names:
            (self.folder / name).write_text(TOOL)
            (self.folder / name).chmod(0o755)

    def run(self, *words, digest=DIGEST, fails="never", known=REPOSITORY):
        """Run the verb; give how it ended and what the tools were told."""
        self.said.write_text("")
        variables = {"PATH": str(self.folder), "SAID": str(self.said), "DIGEST": digest}
        variables |= {"FAILS": fails, "KNOWN": known}
        out = ("--out", self.records) if "--copy" not in words else ()
        done = self.checkout.run("s1_serve.image", *words, *out, **variables)
        assert "Traceback" not in done.stderr, done.stderr
        return done, self.said.read_text().splitlines()

    def refused(self, *words, **options):
        """Run what is refused; give its one line, and see that nothing was recorded."""
        done, told = self.run(*words, **options)
        lines = [line for line in done.stderr.splitlines() if line.startswith("s1: ")]
        assert (done.returncode, done.stdout, len(lines)) == (2, "", 1), done.stderr
        assert not self.records.exists()
        return lines[0], told


@pytest.fixture
def tools(tmp_path, checkout):
    return Tools(tmp_path, checkout)


@pytest.mark.parametrize("builder", ["buildah", "podman", "docker"])
def test_a_batch_image_is_built_pushed_and_recorded(tools, checkout, builder):
    tools.add(builder)
    done, told = tools.run(*BATCH, "--push", REPOSITORY)
    assert done.returncode == 0 and done.stdout == f"{REPOSITORY}@{DIGEST}\n", done.stderr
    head, file = checkout.head, checkout.root / "infra/images/Containerfile"
    assert told[0] == (
        f"{builder} build {'' if builder == 'docker' else '--layers --force-rm '}--tag s1-batch:1"
        f" --label org.opencontainers.image.revision={head} --build-arg BASE_IMAGE={BASE_IMAGE}"
        f" --build-arg VARIANT=cpu --build-arg CODE={head} --file {file} {checkout.root}"
    )
    target = f"{REPOSITORY}:1"
    if builder == "docker":
        assert told[1:3] == [f"docker tag s1-batch:1 {target}", f"docker push {target}"]
    else:
        assert re.fullmatch(
            rf"{builder} push --digestfile \S+ s1-batch:1 docker://{target}", told[1]
        )
    (record,) = tools.records.iterdir()
    said = json.loads(record.read_text())
    assert record.name == "s1-batch-1.json" and re.match(r"20\d\d-", said.pop("time"))
    assert said == {
        "image": f"{REPOSITORY}@{DIGEST}", "digest": DIGEST, "tag": "s1-batch:1", "code": head,
        "batch": "cpu", "bento": None,
    }  # fmt: skip
    assert not checkout.git("status", "--porcelain")


def test_a_plain_registry_is_told_to_the_tools(tools):
    tools.add("buildah", "skopeo")
    _, told = tools.run(*BATCH, "--push", "127.0.0.1:5000/a/b", "--tls_verify", "false")
    assert "--tls-verify=false s1-batch:1 docker://127.0.0.1:5000/a/b:1" in told[1]
    source = f"127.0.0.1:5000/a/b@{DIGEST}"
    done, told = tools.run("--copy", source, "--to", "127.0.0.1:5000/prod/b", "--tls_verify=false")
    assert done.stdout == f"127.0.0.1:5000/prod/b@{DIGEST}\n", done.stderr
    assert re.fullmatch(
        r"skopeo copy --src-tls-verify=false --dest-tls-verify=false --all --preserve-digests"
        rf" --digestfile \S+ docker://{source} docker://127.0.0.1:5000/prod/b:1f1f1f1f1f1f",
        told[0],
    )


def test_without_a_push_a_dirty_tree_is_built_without_a_commit(tools, checkout):
    tools.add("podman")
    stray = checkout.root / "packages/stray.py"
    stray.write_text("")
    try:
        done, told = tools.run(*BATCH)
        assert done.stdout == "s1-batch:1\n" and not tools.records.exists()
        assert "revision=unknown" in told[0] and "CODE= --file" in told[0] and len(told) == 1
        line, told = tools.refused(*BATCH, "--push", REPOSITORY)
        assert "nothing was pushed: the tree is dirty (packages/stray.py)" in line and not told
    finally:
        stray.unlink()


def test_what_fails_is_one_line_and_leaves_no_record(tools):
    push = (*BATCH, "--push", REPOSITORY)
    assert "no builder is not installed" in tools.refused(*push)[0]
    copy = ("--copy", f"{REPOSITORY}@{DIGEST}", "--to", "registry.example.com/prod/batch")
    assert "skopeo is not installed" in tools.refused(*copy)[0]
    tools.add("docker", "skopeo")
    assert "podman is not installed" in tools.refused(*push, "--builder", "podman")[0]
    line, told = tools.refused(*push, "--tls_verify", "false")
    assert "insecure-registries" in line and not told
    assert "docker knows no digest" in tools.refused(*push, known="elsewhere.example.com/a")[0]
    assert "skopeo ended with 7" in tools.refused(*copy, fails="copy")[0]
    tools.add("buildah")
    line, told = tools.refused(*push, fails="build")
    assert "buildah ended with 7, its lines are above" in line and len(told) == 1
    assert "buildah ended with 7" in tools.refused(*push, fails="push")[0]
    assert "buildah gave no digest but ''" in tools.refused(*push, digest="")[0]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "found nothing to make an image of"),
        ({"bento": "s1:1", "batch": "cpu"}, "found bento and batch"),
        ({"bento": "s1:1", "copy": f"a/b@{DIGEST}"}, "found bento and copy"),
        ({"batch": "tpu"}, "batch is 'tpu': give cpu or gpu"),
        ({"batch": "cpu", "tag": None}, "tag is None: give NAME:VERSION"),
        ({"batch": "cpu", "builder": "kaniko"}, "builder is 'kaniko'"),
        ({"batch": "cpu", "push": "registry.example.com/a:1"}, "no tag and no digest"),
        ({"batch": "cpu", "push": f"registry.example.com/a@{DIGEST}"}, "no tag and no digest"),
        ({"batch": "cpu", "push": "a"}, "push is 'a': give REGISTRY/REPO"),
        ({"batch": "cpu", "to": "registry.example.com/a"}, "--to is where a copy goes"),
        ({"copy": "registry.example.com/a:1", "tag": None}, "tags move|wanted REPOSITORY@sha256"),
        ({"copy": f"registry.example.com/a@sha256:{'0' * 64}", "tag": None}, "zeros"),
        ({"copy": f"registry.example.com/a@{DIGEST}", "tag": None}, "a copy takes --to"),
        ({"copy": f"a/b@{DIGEST}", "to": "registry.example.com/a"}, "neither --push nor --tag"),
    ],
)
def test_what_a_configuration_refuses(fields, line):
    with pytest.raises(UserError, match=line):
        ImageConfig(**({"tag": "s1-batch:1"} | fields))


def test_the_containerfile_is_of_one_mind_with_the_serving_image():
    text = (ROOT / "infra/images/Containerfile").read_text()
    assert f"ARG BASE_IMAGE={BASE_IMAGE}\n" in text
    assert dict(re.findall(r"(cpu|gpu)\) package=(\S+)", text)) == image._SYSTEM
    variables = dict(re.findall(r"\b([A-Z][A-Z0-9_]+)=([\w/.]+)", text))
    # Data jobs may read the hub, and BentoML is not there.
    for name, value in image.environment("cpu").items():
        assert name in ("HF_HUB_OFFLINE", "BENTOML_DO_NOT_TRACK") or variables[name] == value
    assert "ENTRYPOINT []\nUSER 10001:10001\n" in text


def test_the_context_holds_what_the_containerfile_copies():
    text = (ROOT / "infra/images/Containerfile").read_text()
    sources = {word for line in re.findall(r"^COPY (.+) \S+$", text, re.M) for word in line.split()}
    kept = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert all(any(source.startswith(place) for place in kept) for source in sources)
    assert {Path(place).parts[0] for place in kept} == {"infra", "packages"}
    assert all((ROOT / place).is_dir() for place in kept)
