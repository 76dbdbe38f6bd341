"""The Bento: what is in it, that equal inputs give an equal one, and that it serves confined."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from integration.serve.server import SMALL, started
from integration.serve.test_service import CHAT, asked
from processes import alive
from s1_core import artifacts
from s1_core.errors import UserError
from s1_serve import image, stores
from s1_serve.config import ServiceConfig
from s1_serve.packing import BentoConfig, ImageConfig

pytestmark = [pytest.mark.engine, pytest.mark.multiprocess]

ROOT = Path(__file__).resolve().parents[3]
KEY = "0123456789abcdef-one"
SETTINGS = tuple(word.replace("--serve.", "--service.serve.") for word in SMALL)
USER = 10001  # has no entry anywhere, as in Kubernetes
# Reading is allowed because this machine's Python may lie in root's home; nothing else is.
CONFINE = f"""
set -e
mount -t tmpfs -o mode=0700,uid={USER},gid={USER} s1 "$1"
mount -o remount,bind,ro /
cd /
exec setpriv --reuid={USER} --regid={USER} --clear-groups --no-new-privs \
  --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search \
  --bounding-set=-all,+dac_read_search "${{@:2}}"
"""


def run(*command, home, **options):
    environment = os.environ | {"BENTOML_HOME": str(home), "BUILDAH_ISOLATION": "chroot"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, **options)


def build(model, home, *flags):
    """Run the verb; give the tag and what it said."""
    command = [sys.executable, "-m", "s1_serve.bento", "--model", str(model), *SETTINGS, *flags]
    done = run(*command, home=home, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def folder_of(tag, home):
    return home / "bentos" / tag.replace(":", "/")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("bentoml")


@pytest.fixture(scope="module")
def bento(model_folder, home):
    """A Bento that holds its model."""
    tag, said = build(model_folder, home)
    assert f"building {tag}" in said and f"bentoml serve {tag}" in said
    return folder_of(tag, home)


@contextmanager
def served(command, log, port, **variables):
    """Run a server until the block ends; the log is told when it does not come up."""
    variables = {"BENTOML_CONTAINERIZED": "true"} | variables  # it may end itself
    server = started(command, log, port, variables)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.terminate()
            server.process.wait(60)


def serve_command(bento, port):
    address = ("--host", "127.0.0.1", "--port", str(port))
    return [sys.executable, "-m", "bentoml", "serve", str(bento), *address]


def answers(server, name):
    """See that a budget is kept, by a key alone."""
    body = asked(CHAT, model=name, thinking_token_budget=12, min_thinking_tokens=12)
    assert server.post(CHAT, body).status_code == 401
    reply = server.post(CHAT, body, headers={"authorization": f"Bearer {KEY}"}).json()
    assert reply["choices"][0]["thinking"]["tokens"] == 12, reply


def test_what_is_in_it(bento, model_folder):
    found = yaml.safe_load((bento / "bento.yaml").read_text())
    manifest = artifacts.load(model_folder, kind="model")
    assert (found["name"], found["version"]) == ("s1", bento.name) and found["models"] == []
    assert found["labels"] == {"model": manifest.sha256}
    assert found["services"][0]["config"]["traffic"]["timeout"] == 3600
    source = bento / "src"
    assert {path.name for path in source.iterdir()} == {
        *("bentofile.yaml", "model", "s1_core", "s1_serve", "serve.yaml", "uv.toml")
    }
    files = {path for path in bento.rglob("*") if path.is_file()}
    code = {
        path.suffix for name in ("s1_core", "s1_serve") for path in (source / name).rglob("*.*")
    }
    assert code == {".py"} and not [path for path in files if path.name.startswith("test")]
    assert artifacts.load(source / "model", kind="model").sha256 == manifest.sha256
    assert not (source / "model" / artifacts.RUN).exists()
    settings = yaml.safe_load((source / "serve.yaml").read_text())
    assert (settings["model"], settings["host"], settings["name"]) == ("model", "0.0.0.0", "tiny")
    assert ServiceConfig(**settings | {"serve": ServiceConfig().serve, "verifiers": []})
    pins = set((ROOT / "infra/requirements/cpu.txt").read_text().splitlines())
    assert set((bento / "env/python/requirements.txt").read_text().splitlines()) == pins
    assert all(path.stat().st_mode & stat.S_IROTH for path in files)


def test_the_containerfile(bento, home):
    script = (
        "import sys; from pathlib import Path; import bentoml; from s1_serve import image\n"
        "bentoml.container.get_containerfile(sys.argv[1], output_path=sys.argv[2])\n"
        "with image.context(sys.argv[1]) as folder:\n"
        "    Path(sys.argv[3]).write_bytes((folder / 'env/docker/Dockerfile').read_bytes())\n"
    )
    plain, ours = home / "plain", home / "ours"
    done = run(sys.executable, "-c", script, f"s1:{bento.name}", plain, ours, home=home)
    assert done.returncode == 0, done.stderr
    for file in (plain, ours):
        text = file.read_text()
        assert re.findall(r"^FROM (\S+)", text, re.M) == ["docker.io/library/python:3.11-slim"]
        assert "pip install -r $BENTO_PATH/env/python/requirements.txt" in text
        assert text.index("COPY --chown=bentoml:bentoml ./src/uv.toml") < text.index("uv --dir")
        for word in ("build-essential", "gcc", "g++", "git "):
            assert word not in text
        (uv,) = re.findall(r"pip install --no-cache-dir (\S+)", text)
        assert uv in (ROOT / "infra/requirements/cpu.txt").read_text().splitlines()
        for name, value in image.environment("cpu").items():
            assert f"ARG {name}={value}\nENV {name}=${name}\n" in text
    assert re.findall(r"^USER (\S+)", plain.read_text(), re.M)[-1] == "bentoml"
    variables = "ENV BENTOML_HOME=/tmp/bentoml PYTHONPATH=/home/bentoml/bento/src"
    assert ours.read_text().endswith(f"\n{variables}\n\nUSER 1034:1034\n")
    assert "syntax" not in ours.read_text()
    assert "no-deps = true" in (bento / "src/uv.toml").read_text()
    assert image.PYTORCH_CPU_INDEX in (bento / "src/uv.toml").read_text()


def test_the_same_inputs_are_the_same_bento(bento, model_folder, home, tmp_path):
    before = (bento / "bento.yaml").stat().st_ino
    tag, said = build(model_folder, home)
    assert (tag, bento.name) == (f"s1:{bento.name}", tag[3:]) and "up to date" in said
    assert (bento / "bento.yaml").stat().st_ino == before
    copied = shutil.copytree(model_folder, tmp_path / "tiny")
    assert build(copied, home, "--out", str(tmp_path / "out"))[0] == tag
    assert "up to date" in build(copied, home, "--out", str(tmp_path / "out"))[1]
    other, _ = build(model_folder, home, "--base_image", "example/python:3.11", "--requirements",
                     "gpu", "--service.request_timeout_s", "60")  # fmt: skip
    text = (folder_of(other, home) / "env/docker/Dockerfile").read_text()
    assert other != tag and "FROM example/python:3.11" in text and "g++" in text
    found = yaml.safe_load((folder_of(other, home) / "bento.yaml").read_text())
    assert found["services"][0]["config"]["traffic"]["timeout"] == 60
    assert "index =" not in (folder_of(other, home) / "src/uv.toml").read_text()
    assert sorted(path.name for path in (home / "bentos/s1").iterdir() if path.is_dir()) == sorted(
        (tag[3:], other[3:])
    )
    listed = run(sys.executable, "-m", "bentoml", "list", "-o", "json", home=home)
    assert tag in listed.stdout and other in listed.stdout
    weights = bento / "src/model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")  # is found, and made good
    assert "building" in build(model_folder, home)[1]
    assert artifacts.load(bento / "src/model", kind="model")


@pytest.fixture
def open_folder():
    """A folder that every user may enter; pytest's own are root's."""
    with tempfile.TemporaryDirectory(prefix="s1-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.slow
def test_it_serves_as_nobody_with_one_writable_folder(bento, open_folder, tmp_path, unused_port):
    _needs_namespaces()
    scratch, tools = open_folder / "scratch", open_folder / "tools"
    scratch.mkdir()
    tools.mkdir()
    bento = shutil.copytree(bento, open_folder / "bento")
    (tools / "lscpu").symlink_to(shutil.which("lscpu"))  # vLLM's; and no compiler on the path
    variables = image.environment("cpu") | {
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "BENTOML_HOME": str(scratch / "bentoml"),
        "BENTOML_CONTAINERIZED": "true",
        "PATH": str(tools),
        "S1_API_KEYS": KEY,
    }
    words = [f"{name}={value}" for name, value in variables.items()]
    command = ["unshare", "-m", "/bin/bash", "-c", CONFINE, "confine", str(scratch)]
    command += ["/usr/bin/env", "-i", *words, *serve_command(bento, unused_port)]
    with served(command, tmp_path / "log", unused_port) as server:
        pids = [server.process.pid, *_descendants(server.process.pid)]
        for pid in pids:
            status = Path(f"/proc/{pid}/status").read_text()
            assert re.search(rf"^Uid:\s+{USER}\s+{USER}", status, re.M)
        answers(server, "tiny")
        assert httpx.get(f"{server.url}/ui/", timeout=60).status_code == 200
        assert httpx.get(f"{server.url}/metrics", timeout=60).status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
    assert not any(alive(pid) for pid in pids[:2])
    assert "Traceback" not in server.log.read_text()


def _needs_namespaces():
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("setpriv")):
        pytest.skip("needs root, unshare and setpriv to become nobody on a read-only root")
    probe = ["unshare", "-m", "mount", "-o", "remount,bind,ro", "/"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this kernel lets nobody mount the root read-only in a namespace")


def _descendants(pid):
    command = ["ps", "-o", "pid=", "--ppid", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    children = [int(word) for word in listed.stdout.split()]
    return [*children, *(each for child in children for each in _descendants(child))]


@pytest.mark.slow
def test_it_runs_its_own_code_and_wants_keys(bento, tmp_path):
    script = (
        "from s1_serve.server import settings, service\n"
        "print(settings.__file__, service.CONFIG.serve.max_num_seqs, service.CONFIG.open)"
    )
    for flags, code, said in (
        ([], 2, "open to others and there are no API keys"),
        (["--open"], 0, f"{bento}/src/s1_serve/server/settings.py 16 True"),
        (["--host=127.0.0.1", "--serve.max_num_seqs=3"], 0, "settings.py 3 False"),
        (["--no_such_flag=1"], 2, "unknown flag --no_such_flag"),
        ("--open", 2, "give a JSON list of the flags"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=bento / "src", capture_output=True, text=True,
            env=os.environ | {"S1_SERVICE": json.dumps(flags), "BENTOML_HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert said in done.stdout + done.stderr and "Traceback" not in done.stderr
    done = run(*serve_command(bento, 1), home=tmp_path, timeout=60)
    assert done.returncode == 2 and done.stderr.count("no API keys") == 1
    assert "a Bento takes flags from S1_SERVICE" in done.stderr


@pytest.mark.slow
def test_a_model_in_the_store_travels(model_folder, home, tmp_path, unused_port):
    tag, _ = build(model_folder, home, "--carry", "store")
    found = yaml.safe_load((folder_of(tag, home) / "bento.yaml").read_text())
    model = found["models"][0]["tag"]
    assert model == f"s1-model:{artifacts.load(model_folder).sha256[:12]}"
    assert not (folder_of(tag, home) / "src/model").exists()
    stored = home / "models" / model.replace(":", "/")
    (stored / "config.json").write_text("{}")  # is found, and made good
    assert "up to date" in build(model_folder, home, "--carry", "store")[1]
    assert artifacts.load(stored, kind="model")
    script = "import sys, shutil; from s1_serve import image\n"
    script += "with image.context(sys.argv[1]) as f: shutil.copytree(f, sys.argv[2])"
    done = run(sys.executable, "-c", script, tag, tmp_path / "moved", home=home)
    assert done.returncode == 0, done.stderr
    log, elsewhere = tmp_path / "log", str(tmp_path / "elsewhere")  # has no models
    command = serve_command(tmp_path / "moved", unused_port)
    variables = {"BENTOML_HOME": elsewhere, "S1_API_KEYS": KEY}
    with served(command, log, unused_port, **variables) as server:
        answers(server, "tiny")


@pytest.mark.slow
def test_a_mounted_model_is_found_when_it_starts(model_folder, home, tmp_path, unused_port):
    place = tmp_path / "models" / "current"
    tag, _ = build(place, home, "--carry", "mount")
    assert build(place, home, "--carry", "mount")[0] == tag
    place.parent.mkdir()
    place.symlink_to(model_folder)
    variables = {"BENTOML_HOME": str(home), "S1_API_KEYS": KEY}
    command = serve_command(tag, unused_port)
    with served(command, tmp_path / "log", unused_port, **variables) as server:
        answers(server, "tiny")


def test_refusals_of_a_build_areassert_one_line(model_folder, home, tmp_path):
    broken = shutil.copytree(model_folder, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    (tmp_path / "file").write_text("")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("")
    for model, place, flags, line in (
        (broken, home, (), "was altered or cut short"),
        (tmp_path / "gone", home, (), "no artifact at"),
        (model_folder, tmp_path / "file", (), "is a file, wanted a folder"),
        (model_folder, home, ("--out", str(tmp_path / "mine")), "is not a Bento"),
        (model_folder, home, ("--service.port=9",), "service.port is not the Bento's to say"),
    ):
        command = [sys.executable, "-m", "s1_serve.bento", "--model", str(model), *flags]
        assert_one_line(run(*command, home=place), line)
    limited = 'ulimit -f 300; exec "$0" -m s1_serve.bento --model "$1"'
    for carry in ("copy", "store"):
        command = ["bash", "-c", f"{limited} --carry {carry}", sys.executable, str(model_folder)]
        assert_one_line(run(*command, home=tmp_path / "full"), "outgrew the limit")
    left = [path.name for path in (tmp_path / "full").rglob("*") if path.is_file()]
    assert left == [], "what failed left something behind"


def test_refusals_of_an_image_areassert_one_line(bento, home, tmp_path):
    for flags, path, line in (
        (("--bento", "s1:gone", "--tag", "a:1"), None, "no Bento s1:gone"),
        (("--bento", str(tmp_path), "--tag", "a:1"), None, "no Bento"),
        (("--bento", str(bento), "--tag", "a"), None, "give NAME:VERSION"),
        (("--bento", str(bento), "--tag", "a:1", "--builder", "kaniko"), None, "give one of"),
        (("--bento", str(bento), "--tag", "a:1"), "", "no builder is not installed"),
        (("--bento", str(bento), "--tag", "a:1"), "exit 7", "ended with 7"),
    ):
        tools = tmp_path / f"tools-{path}"
        tools.mkdir(exist_ok=True)
        if path != "":  # a builder that fails: no image is built here
            tool = tools / "buildah"
            tool.write_text(f"#!/bin/sh\n{path or 'true'}\n")
            tool.chmod(0o755)
        command = ["/usr/bin/env", f"PATH={tools}", sys.executable, "-m", "s1_serve.image", *flags]
        assert_one_line(run(*command, home=home), line)


def assert_one_line(done, line):
    assert done.returncode == 2, done.stderr
    said = [text for text in done.stderr.splitlines() if text.startswith("s1: ")]
    assert len(said) == 1 and line in said[0] and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"carry": "pigeon"}, "carry is 'pigeon'"),
        ({"requirements": "tpu"}, "requirements is 'tpu'"),
        ({"carry": "mount", "model": "models/current"}, "the absolute path"),
        ({"base_image": "example.org:5000/python"}, "a tag or a digest"),
        ({"service": ServiceConfig(host="10.0.0.1")}, "service.host is not"),
    ],
)
def test_what_a_configuration_refuses(fields, line):
    with pytest.raises(UserError, match=line):
        BentoConfig(**fields)
    assert BentoConfig(base_image="python@sha256:00") and ImageConfig(bento="s1:1", tag="a/b:1")


def test_what_was_not_finished_is_not_in_the_store(monkeypatch, tmp_path):
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))
    target = tmp_path / "bentos" / "s1" / "abc"
    with pytest.raises(KeyboardInterrupt), stores.growing(target) as folder:
        (folder / "half").write_text("")
        assert not target.parent.exists()
        raise KeyboardInterrupt
    assert not target.parent.exists() and not list((tmp_path / "tmp").iterdir())
    target.mkdir(parents=True)  # what BentoML leaves where it is killed
    (target / "half").write_text("")
    with stores.growing(target) as folder:
        (folder / "whole").write_text("")
    assert [path.name for path in target.iterdir()] == ["whole"]
    assert (target.parent / "latest").read_text() == "abc"


@pytest.mark.slow
def test_an_image_is_built(model_folder, home, tmp_path):
    """Its steps run and its user is right; a wheel of two lines stands for 5 GB of requirements."""
    base = _base_image(tmp_path)
    out = tmp_path / "bento"
    build(model_folder, home, "--base_image", base, "--out", str(out))
    (out / "env/python/requirements.txt").write_text("/wheels/tiny-1.0-py3-none-any.whl\n")
    name = "localhost/s1-test:1"
    command = [sys.executable, "-m", "s1_serve.image", "--bento", str(out), "--tag", name]
    done = run(*command, "--builder", "buildah", home=home, timeout=300)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == name, done.stderr
    found = json.loads(_buildah("inspect", "--type", "image", name))["OCIv1"]["config"]
    assert found["User"] == "1034:1034" and found["Entrypoint"][0].endswith("entrypoint.sh")
    variables = dict(pair.split("=", 1) for pair in found["Env"])
    wanted = image.environment("cpu") | {"BENTOML_HOME": "/tmp/bentoml"}
    assert variables | wanted == variables
    container = _buildah("from", name).strip()
    script = "import tiny, s1_core.chat, shutil; assert not shutil.which('gcc')"
    steps = f'cd src && test ! -w . && test -r model/config.json && python -c "{script}"'
    try:
        _buildah("run", "--user", f"{USER}:{USER}", container, "sh", "-c", steps)
    finally:
        _buildah("rm", container)
        _buildah("rmi", "--force", name, base)


def _base_image(folder):
    """Make a Debian with Python, uv, what vLLM loads, and the wheel; skip where that cannot be."""
    missing = [tool for tool in ("buildah", "mmdebstrap") if not shutil.which(tool)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"no image can be built: {', '.join(missing) or 'root'} is missing")
    packages = "--include=python3,libnuma1"
    command = ["mmdebstrap", "--variant=minbase", packages, "bookworm", str(folder / "root.tar")]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no base image can be made: {made.stderr.splitlines()[-1]}")
    info = "tiny-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "")
        needs = "Requires-Dist: no-such-package==1"  # nothing is resolved anew
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n{needs}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    shutil.copy(Path(sys.prefix) / "bin/uv", folder)
    (folder / "Containerfile").write_text(
        "FROM scratch\nADD root.tar /\nCOPY uv /usr/local/bin/\nCOPY *.whl /wheels/\n"
    )
    name = "localhost/s1-test-base:1"
    _buildah("build", "--tag", name, str(folder))
    return name


def _buildah(*words):
    environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(["buildah", *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
