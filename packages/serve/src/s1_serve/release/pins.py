"""The pins of a stage: the three lines of an overlay that say which release it serves.

The one file that a promotion edits. kustomize copies its values to where they are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from s1_core.errors import UserError
from s1_serve.release.record import ZERO, Release, is_by_digest

if TYPE_CHECKING:
    from s1_serve.release.repository import Repository

STAGES = ("staging", "production")
_TEXT = """\
# Written by `just promote`; nothing else in this folder names an image or a model.
apiVersion: v1
kind: ConfigMap
metadata:
  name: release
  annotations:
    config.kubernetes.io/local-config: "true"
data:
  release: "{release}"
  image: {image}
  model: "{model}"
"""


@dataclass(frozen=True)
class Pins:
    """What an overlay serves; zeros where nothing was promoted yet."""

    release: str
    image: str
    model: str

    @property
    def is_set(self) -> bool:
        """Say whether anything is pinned: all three are zeros before the first promotion."""
        return not all(value.endswith(ZERO) for value in (self.release, self.image, self.model))

    @property
    def text(self) -> str:
        """Write the file; two pins differ in the digests alone."""
        return _TEXT.format(release=self.release, image=self.image, model=self.model)


def of(release: Release) -> Pins:
    """Give the pins of a release."""
    return Pins(release=release.id, image=release.image, model=release.model)


def path(stage: str) -> str:
    """Name the file of a stage, below the repository's root."""
    return f"infra/k8s/serving/overlays/{stage}/release.yaml"


def parse(text: str, stage: str) -> Pins:
    """Read a stage's file; anything but what is written here is a UserError."""
    try:
        data = yaml.safe_load(text)["data"]
        pins = Pins(release=data["release"], image=data["image"], model=data["model"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{path(stage)} holds no pins: restore it with git") from error
    if not all(isinstance(value, str) for value in vars(pins).values()):
        raise UserError(f"{path(stage)} holds a number for a hash: restore it with git")
    if not is_by_digest(pins.image):
        raise UserError(
            f"{path(stage)} pins the image {pins.image!r}: wanted REPOSITORY@sha256:DIGEST, since"
            " tags move; restore it with git"
        )
    return pins


def current(repository: Repository, stage: str) -> Pins:
    """Read what a stage serves by the newest commit."""
    text = repository.show(path(stage))
    if text is None:
        raise UserError(f"{path(stage)} is not in the repository: wanted the overlay of {stage}")
    return parse(text, stage)
