"""`just image`: a container image of a Bento, or of the batch jobs; and what each of them is.

Owns the images' steps, environment and user. They install the pinned file as `just setup` does,
without resolving anything anew, and run as nobody in particular on a read-only root file system:
whatever is written at run time goes below /tmp.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from s1_core import cli
from s1_core.errors import UserError
from s1_serve import registry
from s1_serve.packing import BUILDERS, ImageConfig
from s1_serve.release.repository import Repository

if TYPE_CHECKING:
    from bentoml import Bento
    from bentoml.images import Image

ROOT = Path(__file__).parents[4]
CONTAINERFILE = ROOT / "infra" / "images" / "Containerfile"
HOME = "/home/bentoml"  # BentoML's
PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
INSTALLER = "uv.toml"
# The file is complete, and an index may hold another version of a package than the one pinned.
_INSTALLER = '[pip]\nno-deps = true\nindex-strategy = "unsafe-best-match"\n'
_CPU_INDEX = f'extra-index-url = ["{PYTORCH_CPU_INDEX}"]\n'
# What the wheels lack: vLLM's CPU kernels load libnuma; Triton compiles launchers at run time.
_SYSTEM = {"cpu": "libnuma1", "gpu": "g++"}
# An ENV of BentoML's template comes before its ARG of the same name and wins, so BENTOML_HOME
# can only be said behind it; and Kubernetes tells from a number alone that a user is not root.
# The path is for what is not the service: `python -m s1_serve.weights` in the same image.
_LAST_LINES = f"""
ENV BENTOML_HOME=/tmp/bentoml PYTHONPATH={HOME}/bento/src

USER 1034:1034
"""
_REVISION = "org.opencontainers.image.revision"


def main(config: ImageConfig) -> None:
    """Build the image with the builder named or found, and push it if told to; or copy one.

    What lies in a registry is printed by its digest, the only name of it that does not move.

    Raises:
        UserError: no such Bento or builder, a tree that no commit describes, or a tool failed.
    """
    if config.copy and config.to:
        made = registry.copy(config.copy, config.to, config.tls_verify)
    else:
        made = _made(config, _builder(config))
    sys.stdout.write(f"{made}\n")


def _made(config: ImageConfig, builder: str) -> str:
    """Build, and push if told to; give the image's name."""
    tag, bento = str(config.tag), _bento(config.bento) if config.bento else None
    code = _code(bento, is_pushed=config.push is not None)
    _build(config, builder, code)
    if config.push is None:
        runner = f"{builder.replace('buildah', 'podman')} run --read-only --tmpfs /tmp"
        serves, trains = "-e S1_API_KEYS=KEY -p 3000:3000", "python -m s1_train.fit --help"
        cli.say(f"next: {runner} {f'{serves} {tag}' if bento else f'{tag} {trains}'}")
        return tag
    image = registry.push(builder, tag, config.push, config.tls_verify)
    about = {"code": code, "batch": config.batch, "bento": str(bento.tag) if bento else None}
    cli.say(f"recorded in {registry.record(Path(config.out), tag, image, about)}")
    return image


def _build(config: ImageConfig, builder: str, code: str | None) -> None:
    # Layers, so that new code neither installs nor pushes 5 GB again; docker knows no other way.
    command = [builder, "build", *(["--layers", "--force-rm"] if builder != "docker" else [])]
    command += ["--tag", str(config.tag), "--label", f"{_REVISION}={code or 'unknown'}"]
    cli.say(f"building {config.tag} from {config.bento or f'{config.batch} pins'} with {builder}")
    if config.bento:
        with context(config.bento) as folder:
            file = folder / "env" / "docker" / "Dockerfile"
            registry.call(*command, "--file", str(file), str(folder))
        return
    if not CONTAINERFILE.is_file():
        raise UserError(f"{CONTAINERFILE} is missing: build from a checkout of the repository")
    facts = {"BASE_IMAGE": config.base_image, "VARIANT": config.batch, "CODE": code or ""}
    words = [word for name, value in facts.items() for word in ("--build-arg", f"{name}={value}")]
    registry.call(*command, *words, "--file", str(CONTAINERFILE), str(ROOT))


def _code(bento: Bento | None, *, is_pushed: bool) -> str | None:
    """Name the commit that an image is made of; None where there is none and it is not pushed.

    Raises:
        UserError: an image to be pushed is of a dirty tree, or its Bento of other code than this.
    """
    repository = Repository(ROOT)
    try:
        repository.demand_clean()
        if bento and not _is_of_this_code(bento):
            raise UserError(
                f"{bento.tag} holds other code than this commit: run `just bento` again"
            )
        return repository.head()
    except UserError as error:
        if is_pushed:
            raise UserError(f"nothing was pushed: {error}") from error
        return None


def _is_of_this_code(bento: Bento) -> bool:
    """Say whether the packages that a Bento carries are those of this checkout."""
    here = _sources(ROOT / "packages/core/src") | _sources(ROOT / "packages/serve/src")
    return _sources(Path(bento.path) / "src") == here


def _sources(folder: Path) -> dict[str, bytes]:
    files = folder.glob("s1_*/**/*.py")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@contextmanager
def context(bento: str) -> Iterator[Path]:
    """Yield a build context: the Bento, models of BentoML's store that it names, a Containerfile.

    Raises:
        UserError: no such Bento, or a model of it is gone.
    """
    from bentoml._internal.container import construct_containerfile
    from bentoml.exceptions import BentoMLException

    found = _bento(bento)
    try:
        # BuildKit's syntax line would load a frontend from the network.
        with construct_containerfile(found, enable_buildkit=False) as (folder, file):
            with Path(file).open("a") as stream:
                stream.write(_LAST_LINES)
            yield Path(folder)
    except BentoMLException as error:
        raise UserError(f"{bento}: {error}") from error


def describe(base_image: str, requirements: Path, variant: str) -> Image:
    """Describe to BentoML the image of a Bento that installs `requirements`."""
    from bentoml.images import Image

    # No distribution is named: BentoML would add compilers to one that it knows.
    image = Image(
        base_image=base_image, distro="", python_version="3.11", lock_python_packages=False
    )
    package = _SYSTEM[variant]
    image.run(
        f"dpkg -s {package} >/dev/null 2>&1 || (apt-get update"
        f" && apt-get install -q -y --no-install-recommends {package}"
        " && rm -rf /var/lib/apt/lists/*)"
    )
    pins = requirements.read_text().splitlines()
    uv = next(pin for pin in pins if pin.startswith("uv=="))
    image.run(f"command -v uv >/dev/null || pip install --no-cache-dir {uv}")
    image.build_include(INSTALLER)  # uv runs in this file's folder and reads it
    image.python_packages(*pins)
    folders = " ".join(f"{HOME}/{name}" for name in ("bentos", "models", "envs", "tmp"))
    # Any user may run it, and BentoML makes these where it does not find them.
    image.run(f"mkdir -p {folders} && chmod 755 {HOME}")
    return image


def installer(variant: str) -> str:
    """Write uv's settings for one of the requirement files."""
    return _INSTALLER + (_CPU_INDEX if variant == "cpu" else "")


def environment(variant: str) -> dict[str, str]:
    """Give the variables of the image: local, offline, silent, and writing below /tmp alone."""
    variables = {
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "USER": "s1",  # torch asks for a name, and a user without an entry has none
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        "UV_NO_CACHE": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    if variant == "cpu":
        variables["OMP_NUM_THREADS"] = "1"
    return variables


def _builder(config: ImageConfig) -> str:
    found = [each for each in BUILDERS if shutil.which(each)]
    name = config.builder or next(iter(found), None)
    if name not in found:
        raise UserError(f"{name or 'no builder'} is not installed: wanted {' or '.join(BUILDERS)}")
    if name == "docker" and config.push and not config.tls_verify:
        raise UserError("docker takes tls_verify from its daemon alone (insecure-registries)")
    return name


def _bento(name: str) -> Bento:
    """Find a Bento by its tag or its folder; none is a UserError."""
    import bentoml
    from bentoml.exceptions import BentoMLException

    try:
        if (Path(name) / "bento.yaml").is_file():
            return bentoml.Bento.from_path(name)
        return bentoml.bentos.get(name)
    except (BentoMLException, ValueError) as error:
        raise UserError(f"no Bento {name}: give a tag or the folder of one") from error


if __name__ == "__main__":
    cli.run(ImageConfig, main, package="serve")
