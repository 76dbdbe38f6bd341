"""What a rehearsal stands on: a clone of this repository, and the service packed for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from rehearsal.checkpoints import GATES, verb
from rehearsal.stage import digest_of
from s1_serve.release import record

ROOT = Path(__file__).resolve().parents[2]
AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Rehearsal"), ("EMAIL", "rehearsal@example.com"))
}
QUIET = {
    "OMP_NUM_THREADS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "HF_HUB_OFFLINE": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "COLUMNS": "120",
}


def clone(work: Path) -> Path:
    """Clone this repository's newest commit, and let it ask of tiny models what they can give."""
    clone = work / "s1"
    git(work, "clone", "--quiet", "--no-tags", str(ROOT), str(clone))
    shutil.copy(GATES, clone / record.FOLDER / GATES.name)
    git(clone, "commit", "--quiet", "--all", "--message", "The rehearsal's gates")
    return clone


def bento(work: Path) -> tuple[Path, str]:
    """Pack the service without a model, under the digest of its files as its image's."""
    folder, bentos = work / "bento", work / "bentos"
    os.environ["BENTOML_HOME"] = str(work / "bentoml")
    verb("s1_serve.bento", "--carry", "mount", "--model", "/models/pinned", "--out", folder)
    digest = digest_of(folder)
    bentos.mkdir()
    folder.rename(bentos / digest)
    return bentos, f"localhost/s1/serve@sha256:{digest}"


def git(folder: Path, *words: str) -> str:
    """Run git there; give what it printed."""
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout
