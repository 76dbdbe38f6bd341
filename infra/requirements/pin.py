"""Compile the .in files to the pinned cpu.txt and gpu.txt: `just pin`."""

import subprocess
import sys
from pathlib import Path

from install import pip_sources

HERE = Path(__file__).resolve().parent
COMMON = ["--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"]
# As `just setup` installs: with several indexes the first need not have the version wanted.
COMMON += ["--index-strategy", "unsafe-best-match"]
# Headers and annotations would carry this machine's paths.
QUIET = ["--no-header", "--no-annotate", "--quiet"]


def compile_file(variant: str, *extra: str) -> None:
    """Resolve `<variant>.in` into `<variant>.txt`."""
    source, target = HERE / f"{variant}.in", HERE / f"{variant}.txt"
    uv = [sys.executable, "-m", "uv", "pip", "compile", str(source), "-o", str(target)]
    subprocess.run([*uv, *COMMON, *QUIET, *extra], check=True)


def main() -> None:
    """Write both files."""
    override = ["--override", str(HERE / "override-cpu.txt")]
    compile_file("cpu", *override, *pip_sources())
    # Without pip's find-links, where a local CPU wheel of torch would win over the CUDA build.
    compile_file("gpu")


if __name__ == "__main__":
    main()
