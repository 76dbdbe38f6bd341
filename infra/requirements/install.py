"""Install the pinned environment into this virtual environment: `just setup`.

Standard library only. Owns the choice of requirement file (CPU or CUDA) and the checks a
fresh machine needs; a stamp of its inputs makes a second run cost milliseconds.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STAMP = Path(sys.prefix) / ".s1-setup"
UV = "uv==0.13.9"
PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
MIN_DISK_GB = 8
MIN_MEMORY_GB = 6
PACKAGES = [ROOT / "packages" / name for name in ("core", "data", "train", "serve")]


def fail(message: str) -> None:
    """Say in one line what is missing and leave with the user's exit code."""
    print(f"setup: {message}", file=sys.stderr)
    sys.exit(2)


def variant() -> str:
    """Return `gpu` where an NVIDIA driver answers, else `cpu`; S1_VARIANT overrules."""
    chosen = os.environ.get("S1_VARIANT") or ("gpu" if _has_cuda() else "cpu")
    if chosen not in ("cpu", "gpu"):
        fail(f"S1_VARIANT is {chosen!r}; it must be cpu or gpu")
    return chosen


def _has_cuda() -> bool:
    tool = shutil.which("nvidia-smi")
    return bool(tool) and subprocess.run([tool, "-L"], capture_output=True).returncode == 0


def stamp(requirements: Path) -> str:
    """Hash everything an installation depends on."""
    inputs = [Path(__file__), requirements, *(p / "pyproject.toml" for p in PACKAGES)]
    text = "".join(hashlib.sha256(p.read_bytes()).hexdigest() for p in inputs)
    return hashlib.sha256(f"{text}{sys.version}{ROOT}".encode()).hexdigest()


def check_machine() -> None:
    """Refuse, with the mend, a machine on which the installation cannot work."""
    if not (3, 11) <= sys.version_info[:2] < (3, 13):
        found = platform.python_version()
        fail(f"found Python {found}; s1 needs 3.11 or 3.12: make the venv with python3.11")
    if sys.prefix == sys.base_prefix:
        fail("not in a virtual environment: run `python3 -m venv .venv` first")
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        fail(f"found {sys.platform}/{platform.machine()}; s1 supports Linux on x86-64")
    if not shutil.which("g++"):
        fail("no C++ compiler found: install one, e.g. `apt-get install g++`")
    free_gb = shutil.disk_usage(sys.prefix).free / 1e9
    if free_gb < MIN_DISK_GB:
        fail(f"{free_gb:.1f} GB of disk free at {sys.prefix}; {MIN_DISK_GB} GB are needed")
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    if memory_gb < MIN_MEMORY_GB:
        fail(f"{memory_gb:.1f} GB of memory; {MIN_MEMORY_GB} GB are needed")


def pip_sources() -> list[str]:
    """Translate pip's own configuration (index, find-links) to uv's flags; uv does not read it."""
    flags = {"index-url": "--index-url", "extra-index-url": "--extra-index-url"}
    flags |= {"find-links": "--find-links"}
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True
    ).stdout
    found: dict[tuple[str, str], None] = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        flag = flags.get(key.split(".", 1)[-1])
        for source in value.strip("'\"").replace("\\n", " ").split() if flag else ():
            if _exists(source):
                found[flag, source] = None
    return [word for pair in found for word in pair]


def _exists(source: str) -> bool:
    path = Path(source.removeprefix("file://"))
    return "://" in source.removeprefix("file://") or path.exists()


def install_requirements(requirements: Path) -> None:
    """Install uv, then the pinned file."""
    if subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", UV]).returncode:
        fail("pip could not install uv: see its message above; is the package index reachable?")
    if not _install_pinned(requirements):
        fail("the pinned requirements could not be installed: see the message above")


def install_packages() -> None:
    """Install the packages of this repository where they lie: recipes are found beside them."""
    done = uv("--no-build-isolation", *(w for path in PACKAGES for w in ("-e", str(path))))
    if done.returncode:
        fail(f"the packages of this repository could not be installed: {done.stderr}")


def _install_pinned(requirements: Path) -> bool:
    """Install the file as the machine resolves it, for CPU then also with PyTorch's CPU index."""
    attempts: list[list[str]] = [[]]
    if requirements.stem == "cpu":
        attempts.append(["--extra-index-url", PYTORCH_CPU_INDEX])
    for extra in attempts:
        done = uv("--compile-bytecode", *pip_sources(), *extra, "-r", str(requirements))
        if done.returncode == 0:
            return True
    print(done.stderr, file=sys.stderr)
    return False


def uv(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `uv pip install` into this environment, without resolving anything anew."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
    flags = ["--quiet", "--no-deps", "--index-strategy", "unsafe-best-match"]
    return subprocess.run([*command, *flags, *words], capture_output=True, text=True)


def main() -> None:
    """Install what is missing; do nothing when the stamp matches."""
    requirements = HERE / f"{variant()}.txt"
    wanted = stamp(requirements)
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    check_machine()
    print(f"setup: installing {requirements.relative_to(ROOT)} (about 5 GB, once)", flush=True)
    install_requirements(requirements)
    install_packages()
    STAMP.write_text(wanted)


if __name__ == "__main__":
    main()
