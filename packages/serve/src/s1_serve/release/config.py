"""What the release verbs can be told. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s1_core.errors import require
from s1_serve.release.pins import STAGES

NONE = "none"
"""what `--expect` says of a stage that serves nothing yet"""
STORE = "artifacts/releases"
RESTART = (
    'at=$(date -u +%FT%TZ); rollout="--namespace s1-staging rollouts.argoproj.io/s1"'
    """; kubectl patch $rollout --type merge --patch '{"spec":{"restartAt":"'$at'"}}'"""
    " && kubectl wait $rollout --for=jsonpath={.status.restartedAt}=$at --timeout=25m"
    " && kubectl wait $rollout --for=jsonpath={.status.phase}=Healthy --timeout=30m"
)
"""what `kubectl argo rollouts restart` does, without that plugin, and waiting for the new pods; in
kubectl's current context"""


@dataclass(frozen=True, kw_only=True)
class CreateConfig:
    """Make a release of a model, its report and the image that serves it, and commit its record."""

    model: str
    """the model artifact"""
    report: str
    """its evaluation, as infra/releases/gates.yaml asks for it"""
    image: str
    """the service, REPOSITORY@sha256:DIGEST as `just image --push` prints it"""
    images: str = "artifacts/images"
    """where `just image --push` has put what it pushed, and of which commit"""
    store: str = STORE
    """where models/ and reports/ are found by hash; what is not there yet is linked"""
    dry_run: bool = False
    """say what would be written, and stop"""
    push: str | None = None
    """a git remote that has to take the commit first"""


@dataclass(frozen=True, kw_only=True)
class StatusConfig:
    """Show which release is where, and since when."""

    json: bool = False
    """print rows as JSON on stdout instead of a table"""


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """Judge a release: offline against production, or at the endpoint of staging."""

    POSITIONAL: ClassVar[str] = "release"

    release: str
    """an id, or the start of one"""
    endpoint: str | None = None
    """the URL of staging; S1_API_KEY holds its key. Without one the offline gates run"""
    restart: str = RESTART
    """with an endpoint: the command that replaces its server and ends when the new one is up"""
    production_report: str | None = None
    """a newer report of production's model, to compare with: after another engine, say"""
    store: str = STORE
    """where models/ and reports/ are found by hash"""
    dry_run: bool = False
    """judge, restart nothing, and record nothing"""
    push: str | None = None
    """a git remote that has to take the commit first"""

    def __post_init__(self) -> None:
        require(self.endpoint != "", "the endpoint is empty: give a URL, or leave --endpoint out")


@dataclass(frozen=True, kw_only=True)
class PromoteConfig:
    """Let a stage serve a release that has passed what the stage asks for."""

    POSITIONAL: ClassVar[tuple[str, ...]] = ("stage", "release")

    stage: str
    """staging or production"""
    release: str
    """an id, or the start of one"""
    expect: str | None = None
    """what the stage has to serve now, an id or none; production always wants it"""
    dry_run: bool = False
    """say what would change, and stop"""
    push: str | None = None
    """a git remote that has to take the commit first"""

    def __post_init__(self) -> None:
        check_stage(self.stage)
        require(
            self.stage != "production" or bool(self.expect),
            "production wants --expect: the id that it serves now, or none (`just release status`)",
        )


@dataclass(frozen=True, kw_only=True)
class RollbackConfig:
    """Let a stage serve again what it served before."""

    POSITIONAL: ClassVar[str] = "stage"

    stage: str
    """staging or production"""
    to: str | None = None
    """an earlier release of this stage; None takes the one before the present"""
    expect: str | None = None
    """what the stage has to serve now"""
    dry_run: bool = False
    """say what would change, and stop"""
    push: str | None = None
    """a git remote that has to take the commit first"""

    def __post_init__(self) -> None:
        check_stage(self.stage)


def check_stage(stage: str) -> None:
    """Refuse a stage that nothing is promoted to."""
    require(stage in STAGES, f"the stage is {stage!r}: give {' or '.join(STAGES)}")
