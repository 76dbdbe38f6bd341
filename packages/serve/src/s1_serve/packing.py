"""What the verbs that pack can be told: a Bento, an image. Torch-free.

Refuses values that contradict each other, and bases that move.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from s1_core.errors import UserError
from s1_serve.config import ServiceConfig
from s1_serve.release.record import check_image

CARRIES = ("copy", "store", "mount")
REQUIREMENTS = ("cpu", "gpu")
BASE_IMAGE = "docker.io/library/python:3.11-slim"
BUILDERS = ("buildah", "podman", "docker")
_REPOSITORY = re.compile(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+")


@dataclass(frozen=True, kw_only=True)
class BentoConfig:
    """Pack the service, its settings and its pinned requirements into a Bento."""

    model: str = "artifacts/demo/model"
    """A model artifact, or embedded; with carry=mount the path where one will be mounted."""
    carry: str = "copy"
    """How the model comes along: copy (in the Bento), store (BentoML's own) or mount (does not)."""
    requirements: str = "cpu"
    """Which pinned requirements an image gets: cpu or gpu."""
    base_image: str = BASE_IMAGE
    """What an image starts from: a Debian with Python 3.11 and its pip; a digest fixes it."""
    out: str | None = None
    """A folder for the Bento; None is BentoML's store."""
    service: ServiceConfig = field(default_factory=ServiceConfig)
    """What `just serve` takes; model, host and port are not said here."""

    def __post_init__(self) -> None:
        for name, known in (("carry", CARRIES), ("requirements", REQUIREMENTS)):
            if getattr(self, name) not in known:
                raise UserError(f"{name} is {getattr(self, name)!r}: give {' or '.join(known)}")
        if self.carry == "mount" and not self.model.startswith("/"):
            raise UserError(
                f"model is {self.model!r}: with carry=mount give the absolute path where it will be"
            )
        if not {":", "@"} & set(self.base_image.rpartition("/")[2]):
            raise UserError(f"base_image {self.base_image!r} moves: give it a tag or a digest")
        for name in ("model", "host", "port"):
            if getattr(self.service, name) != getattr(ServiceConfig, name):
                raise UserError(
                    f"service.{name} is not the Bento's to say: give --model here, and host and"
                    " port to `bentoml serve`"
                )


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """Build a container image of a Bento or of the batch jobs, and push it; or copy one."""

    bento: str | None = None
    """A Bento's tag in BentoML's store, or its folder: the image that serves."""
    batch: str | None = None
    """The image of data and training jobs instead, with the pinned requirements cpu or gpu."""
    tag: str | None = None
    """What the built image is called, NAME:VERSION."""
    builder: str | None = None
    """buildah, podman or docker; None takes the first that is installed."""
    base_image: str = BASE_IMAGE
    """What a batch image starts from, as a Bento names its own; a digest fixes it."""
    push: str | None = None
    """A registry's REGISTRY/REPO that gets the built image; its digest is recorded and printed."""
    copy: str | None = None
    """A pushed image, REGISTRY/REPO@sha256:DIGEST, to copy with skopeo instead of a build."""
    to: str | None = None
    """The REGISTRY/REPO that gets the copy, under the same digest."""
    tls_verify: bool = True
    """Off, a registry may speak plain HTTP or show any certificate: for one on loopback."""
    out: str = "artifacts/images"
    """The folder of the records of pushed images."""

    def __post_init__(self) -> None:
        chosen = [name for name in ("bento", "batch", "copy") if getattr(self, name) is not None]
        if len(chosen) != 1:
            found = " and ".join(chosen) or "nothing"
            raise UserError(
                f"found {found} to make an image of: give one of --bento, --batch, --copy"
            )
        if self.copy is not None:
            check_image(self.copy)
            if self.to is None or self.push is not None or self.tag is not None:
                raise UserError("a copy takes --to REGISTRY/REPO, and neither --push nor --tag")
        elif self.tag is None or not self.tag.rpartition("/")[2].partition(":")[2]:
            raise UserError(f"tag is {self.tag!r}: give NAME:VERSION")
        elif self.to is not None:
            raise UserError("--to is where a copy goes: give --push for what is built")
        if self.batch not in (None, *REQUIREMENTS):
            raise UserError(f"batch is {self.batch!r}: give {' or '.join(REQUIREMENTS)}")
        if self.builder not in (None, *BUILDERS):
            raise UserError(f"builder is {self.builder!r}: give one of {', '.join(BUILDERS)}")
        for name in ("push", "to"):
            place = getattr(self, name)
            if place is not None and not _REPOSITORY.fullmatch(place):
                raise UserError(f"{name} is {place!r}: give REGISTRY/REPO, no tag and no digest")
