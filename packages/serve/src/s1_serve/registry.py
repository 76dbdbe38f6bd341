"""Images in registries: pushed, copied and recorded by their digest.

Owns the tools' words for it. A digest is taken from the push that made it, never asked for by a
tag, which may have moved meanwhile. Who may push is the tools' own business (`buildah login`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from s1_core import cli
from s1_core.errors import UserError
from s1_serve.release.record import DIGITS

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def push(builder: str, tag: str, repository: str, verifies_tls: bool) -> str:
    """Push a local image under its version; give REPOSITORY@DIGEST.

    Raises:
        UserError: the builder could not, or said no digest.
    """
    target = f"{repository}:{tag.rpartition(':')[2]}"
    cli.say(f"pushing {tag} to {target}")
    if builder == "docker":
        call(builder, "tag", tag, target)
        call(builder, "push", target)
        digest = _digest_by_docker(target, repository)
    else:
        with tempfile.TemporaryDirectory(prefix="s1-image-") as folder:
            file = Path(folder) / "digest"
            flags = [] if verifies_tls else ["--tls-verify=false"]
            call(builder, "push", "--digestfile", str(file), *flags, tag, f"docker://{target}")
            digest = _digest(builder, file)
    return f"{repository}@{digest}"


def copy(source: str, repository: str, verifies_tls: bool) -> str:
    """Copy a pushed image as it is; give REPOSITORY@DIGEST, the digest of the source.

    Raises:
        UserError: no skopeo, or it could not, or would have had to change the image.
    """
    if not shutil.which("skopeo"):
        raise UserError("skopeo is not installed: it copies images between registries")
    digest = source.partition("@")[2]
    # Registries throw away what no tag holds.
    target = f"{repository}:{digest[7 : 7 + DIGITS]}"
    cli.say(f"copying {source} to {target}")
    flags = [] if verifies_tls else ["--src-tls-verify=false", "--dest-tls-verify=false"]
    with tempfile.TemporaryDirectory(prefix="s1-image-") as folder:
        file = Path(folder) / "digest"
        flags += ["--all", "--preserve-digests", "--digestfile", str(file)]
        call("skopeo", "copy", *flags, f"docker://{source}", f"docker://{target}")
        copied = _digest("skopeo", file)
    assert copied == digest, f"skopeo kept {digest} and wrote {copied}"
    return f"{repository}@{digest}"


def record(folder: Path, tag: str, image: str, about: Mapping[str, str | None]) -> Path:
    """Write what was pushed to `folder`, in one step; give the file."""
    file = folder / f"{tag.rpartition('/')[2].replace(':', '-')}.json"
    time = datetime.now(UTC).isoformat(timespec="seconds")
    fields = {"image": image, "digest": image.partition("@")[2], "tag": tag, **about, "time": time}
    folder.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(json.dumps(fields, indent=1, sort_keys=True) + "\n")
    draft.replace(file)
    return file


def call(*command: str) -> None:
    """Run a tool, its lines on stderr; its failure is a UserError."""
    if code := subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise UserError(f"{command[0]} ended with {code}, its lines are above: mend and run again")


def _digest(tool: str, file: Path) -> str:
    said = file.read_text().strip() if file.is_file() else ""
    if not _DIGEST.fullmatch(said):
        raise UserError(f"{tool} gave no digest but {said!r}: wanted one that knows --digestfile")
    return said


def _digest_by_docker(target: str, repository: str) -> str:
    """Ask docker, which keeps an image's digests by repository, the last pushed one of each."""
    form = "{{range .RepoDigests}}{{println .}}{{end}}"
    command = ["docker", "inspect", "--format", form, target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.split():
        name, _, digest = line.partition("@")
        if name.removeprefix("docker.io/") == repository.removeprefix("docker.io/"):
            return digest
    raise UserError(f"docker knows no digest of {target}: {done.stderr.strip() or 'push it again'}")
