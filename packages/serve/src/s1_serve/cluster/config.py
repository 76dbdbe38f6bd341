"""Configuration of the cluster verbs: which overlay, which cluster, what to change of it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import ClassVar

from s1_core.errors import UserError, require
from s1_serve.release import pins
from s1_serve.release.record import check_image

STAGES = ("dev", *pins.STAGES)
WORKS = ("data", "train")
# A pod of a JobSet is called NAME-workers-0-0-xxxxx, and 63 letters are its most.
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,43}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """Print what an overlay comes to."""

    POSITIONAL: ClassVar[str] = "overlay"

    overlay: str
    """A folder below infra/k8s, or its short name: staging, training/cluster, data/dev ..."""


@dataclass(frozen=True, kw_only=True)
class DeployConfig:
    """Bring a stage of the service to what its overlay says, and wait until it runs."""

    POSITIONAL: ClassVar[str] = "stage"

    stage: str
    """dev, staging or production."""
    context: str | None = None
    """Of the kubeconfig; None takes its current one."""
    dry_run: bool = False
    """Show what would change and stop there."""
    timeout_s: int = 21600
    """How long weights, pods and a canary may take together: of three pods, which come one by one,
    5,400 for the weights + 3 x 2,100 to schedule and start + 2 x 1,200 of pauses + 2 x 1,800 of a
    Prometheus that is away + 2 x 1,679 for a GPU that a draining pod still has = 21,058. The
    overlays bound each pod and each step and not how many there are: more pods want 2,100 to 3,800
    more each. A deploy that gives up stops nothing; run it again to go on waiting."""

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise UserError(f"stage is {self.stage!r}: give one of {', '.join(STAGES)}")
        require(self.timeout_s > 0, f"timeout_s is {self.timeout_s}: give more than 0")


@dataclass(frozen=True, kw_only=True)
class SubmitConfig:
    """Start a run of data or training on a cluster."""

    POSITIONAL: ClassVar[str] = "work"

    work: str
    """data or train."""
    overlay: str = "cluster"
    """Which overlay of infra/k8s/data or infra/k8s/training."""
    step: str | None = None
    """Of data: questions, traces, select ..., whichever Jobs the overlay has."""
    image: str | None = None
    """REPOSITORY@sha256:DIGEST, instead of the one that the overlay pins."""
    args: str = ""
    """More of the container's, as in --args="--max_steps 10"; a later flag wins."""
    name: str | None = None
    """Of the run; None makes a new one. A name taken by the same run is no error."""
    context: str | None = None
    """Of the kubeconfig; None takes its current one."""
    dry_run: bool = False
    """Print what would be submitted; no cluster is asked."""

    def __post_init__(self) -> None:
        if self.work not in WORKS:
            raise UserError(f"found {self.work!r}, wanted {' or '.join(WORKS)}: just submit train")
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise UserError(f"name is {self.name!r}: give at most 45 of a-z, 0-9 and -, from a-z")
        if self.image is not None:
            check_image(self.image)
        _ = self.words

    @property
    def words(self) -> list[str]:
        try:
            return shlex.split(self.args)
        except ValueError as error:
            raise UserError(f"args is {self.args!r}: {error}, so close what is open") from error

    @property
    def folder(self) -> str:
        """Name the overlay as `just render` does."""
        return f"{'training' if self.work == 'train' else 'data'}/{self.overlay}"
