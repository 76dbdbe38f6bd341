"""`just image`: a container image of a Bento; and what every such image is.

Owns the image's steps, environment and user. It installs the pinned file as `just setup` does,
without resolving anything anew, and runs as nobody in particular on a read-only root file system:
whatever is written at run time goes below /tmp.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from s1_core import cli
from s1_core.errors import UserError
from s1_serve.config import BUILDERS, ImageConfig

if TYPE_CHECKING:
    from bentoml import Bento
    from bentoml.images import Image

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
_LAST_LINES = "\nENV BENTOML_HOME=/tmp/bentoml\n\nUSER 1034:1034\n"


def main(config: ImageConfig) -> None:
    """Build the image with the builder named or found.

    Raises:
        UserError: no such Bento or builder, or the builder failed.
    """
    builder = _builder(config.builder)
    cli.say(f"building {config.tag} from {config.bento} with {builder}")
    with context(config.bento) as folder:
        file = folder / "env" / "docker" / "Dockerfile"
        command = [builder, "build", "--tag", config.tag, "--file", str(file), str(folder)]
        if code := subprocess.run(command, stdout=sys.stderr, check=False).returncode:
            raise UserError(f"{builder} ended with {code}, its lines are above: mend and run again")
    sys.stdout.write(f"{config.tag}\n")
    cli.say(
        f"next: {builder.replace('buildah', 'podman')} run --read-only --tmpfs /tmp"
        f" -e S1_API_KEYS=KEY -p 3000:3000 {config.tag}"
    )


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


def _builder(name: str | None) -> str:
    found = [each for each in BUILDERS if shutil.which(each)]
    if name is None and found:
        return found[0]
    if name is None or name not in found:
        raise UserError(f"{name or 'no builder'} is not installed: wanted {' or '.join(BUILDERS)}")
    return name


def _bento(name: str) -> Bento:
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
