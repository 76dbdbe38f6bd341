"""The release record: what exactly would be served, and what was measured of it, by hash.

Canonical JSON whose SHA-256 is the release's id, so a record cannot change and keep its name.
Refuses records that were altered, and names that fit none or several.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from s1_core.errors import UserError, require

if TYPE_CHECKING:
    from s1_serve.release.repository import Repository

RECORD_VERSION = 1
FOLDER = "infra/releases"
ZERO = "0" * 64
DIGITS = 12
"""of an id, where people read it"""
_HASH = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Release:
    """Hashes alone: nothing here says where a folder lies or when it was made."""

    model: str
    """of the model's manifest, which holds that of every file"""
    image: str
    """of the service, REPOSITORY@sha256:DIGEST"""
    code: str
    """the newest commit of the checkout, releases themselves aside, when the record was made"""
    data: str | None
    """of the s1k manifest; None for a model that was not trained here"""
    base: str | None
    """of the base model's manifest or weights"""
    checkpoint: str | None
    """of the run's checkpoint that was exported"""
    step: int | None
    """the optimiser step of that checkpoint"""
    report: str
    """of the evaluation's manifest"""
    gates: str
    """of the bytes of the gate config that it has to pass"""
    schema_version: int = RECORD_VERSION

    def __post_init__(self) -> None:
        require(self.schema_version == RECORD_VERSION, f"a record of schema {self.schema_version}")
        check_image(self.image)
        require(bool(_COMMIT.fullmatch(self.code)), f"code is {self.code!r}, wanted a full commit")
        for name in ("model", "report", "gates"):
            value = getattr(self, name)
            require(is_hash(value), f"{name} is {value!r}, wanted a SHA-256 of 64 hex digits")

    @property
    def text(self) -> str:
        """Canonical JSON: sorted keys, no spaces, one newline at the end."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")) + "\n"

    @property
    def id(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.id}.json"


def is_sha256(value: object) -> bool:
    """Say whether it is a SHA-256 in hex, be it the zeros of one to come."""
    return isinstance(value, str) and bool(_HASH.fullmatch(value))


def is_hash(value: object) -> bool:
    """Say whether it is a SHA-256 in hex, and not the placeholder of zeros."""
    return is_sha256(value) and value != ZERO


def is_by_digest(image: str) -> bool:
    """Say whether an image is named by a digest, be it the zeros of one to come."""
    return bool(_IMAGE.fullmatch(image))


def check_image(image: str) -> None:
    """Refuse an image that is not named by a digest: tags move, zeros are a placeholder."""
    require(
        is_by_digest(image),
        f"image is {image!r}, wanted REPOSITORY@sha256:DIGEST; `just image --push` prints it",
    )
    require(not image.endswith(ZERO), f"image is {image!r}: zeros stand for a digest to come")


def short(release: str | None) -> str:
    """Shorten an id for people."""
    return release[:DIGITS] if release else "none"


def parse(text: str, name: str) -> Release:
    """Read the record that is called `name`; an altered one is a UserError."""
    try:
        values: dict[str, Any] = json.loads(text)
        release = Release(**{entry.name: values[entry.name] for entry in fields(Release)})
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{FOLDER}/{name}.json is no release record: restore it with git"
        ) from error
    if release.id != name or release.text != text:
        raise UserError(
            f"{FOLDER}/{name}.json was altered: its content has the id {short(release.id)};"
            " restore it with git, or create a release anew"
        )
    return release


def names(repository: Repository) -> list[str]:
    """List the ids of all committed records."""
    paths = repository.listed(FOLDER)
    stems = [path.removeprefix(f"{FOLDER}/").removesuffix(".json") for path in paths]
    return sorted(stem for stem in stems if is_sha256(stem))


def find(repository: Repository, name: str) -> Release:
    """Open the committed record that an id, or the start of one, names.

    Raises:
        UserError: none or several fit, or the record was altered.
    """
    fits = [one for one in names(repository) if name and one.startswith(name)]
    if len(fits) != 1:
        known = ", ".join(short(one) for one in names(repository)) or "there are none yet"
        found = "no release is" if not fits else f"{len(fits)} releases are"
        raise UserError(f"{found} called {name!r}; known: {known} (`just release create` adds one)")
    return parse(repository.show(f"{FOLDER}/{fits[0]}.json") or "", fits[0])
