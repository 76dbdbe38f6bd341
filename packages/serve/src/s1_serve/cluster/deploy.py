"""`just deploy`: a stage of the service as its overlay says it, applied and waited for.

Writes only what was shown before, from a committed tree, and owns no field by force. Everything it
does may be done twice, so a deploy that was stopped is run again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

from s1_core import cli
from s1_core.errors import UserError, require
from s1_serve.cluster import render, rollout, trust
from s1_serve.cluster.config import DeployConfig
from s1_serve.cluster.kubectl import Kubectl
from s1_serve.cluster.objects import (
    Object,
    check_images,
    containers,
    label,
    namespace,
    only,
    resource,
    stream,
)
from s1_serve.release import pins, record, standing
from s1_serve.release.pins import Pins
from s1_serve.release.repository import RELEASE, Repository

OWNER = "s1-deploy"
NAME = "s1"
WEIGHTS = "weights"
MODEL = "MODEL_SHA256"
# What makes pods, and a scaler, which finds nothing to scale before there is one of those.
_AFTER_WEIGHTS = ("Deployment", "Rollout", "ScaledObject")
_RELEASE = "s1/release"
_COMPONENT = "app.kubernetes.io/component"
_DIFF = ("diff", "--server-side", f"--field-manager={OWNER}", "-f", "-")


def main(config: DeployConfig) -> None:
    """Bring the stage to what its overlay says.

    Raises:
        UserError: the tree, the pins, the cluster or the rollout is not as it has to be.
        Interrupted: a canary waits for a person.
    """
    repository, kubectl = Repository.here(), Kubectl.here()
    repository.demand_clean()
    wanted = pinned(repository, config.stage)
    objects = render.objects(kubectl, repository.root, config.stage)
    check_pinned(objects, wanted)
    cluster = trust.connect(kubectl, config.context, objects)
    trust.check(cluster, repository.root, objects)
    check_live(cluster, repository, config.stage, _service(objects))
    cli.say(f"{config.stage}: {wanted.image}, commit {repository.head()[: record.DIGITS]}")
    changes = changed(cluster, objects)
    sys.stdout.write(changes)
    if not changes:
        cli.say(f"{config.stage}: nothing changes")
    if config.dry_run:
        return
    wait = rollout.Wait(cluster, time.monotonic() + config.timeout_s)
    if changes:
        apply(wait, objects)
    settle(wait, objects, wanted)


def pinned(repository: Repository, stage: str) -> Pins:
    """Read a stage's pins; unset ones, or ones that no record holds, are a UserError.

    What `dev` serves is nobody's business: it needs hashes and no record.
    """
    found = pins.current(repository, stage)
    if stage not in pins.STAGES:
        record.check_image(found.image)
        require(record.is_hash(found.model), f"{pins.path(stage)} names no model: put its SHA-256")
        return found
    if not found.is_set:
        raise UserError(
            f"{pins.path(stage)} holds zeros: nothing was promoted to {stage} yet;"
            f" just promote {stage} RELEASE"
        )
    standing.serving(repository, stage)
    return found


def check_pinned(objects: Iterable[Object], wanted: Pins) -> None:
    """Refuse an overlay whose service is not made of its pins alone."""
    objects = list(objects)
    check_images(objects)
    deployment = _service(objects)
    service: Object = next((one for one in containers(deployment) if one["name"] == NAME), {})
    variables = {one["name"]: one.get("value") for one in service.get("env", ())}
    for what, here, there in (
        ("image", service.get("image"), wanted.image),
        ("model", variables.get(MODEL), wanted.model),
    ):
        if here != there:
            raise UserError(
                f"{label(deployment)} renders {what} {here}, and release.yaml pins {there}: mend"
                " the replacements of the overlay"
            )


def check_live(kubectl: Kubectl, repository: Repository, stage: str, service: Object) -> None:
    """Refuse to take a cluster back from a release of which this clone has not heard yet."""
    live = kubectl.get(resource(service), NAME, namespace(service))
    if live is None or stage not in pins.STAGES:
        return
    notes = live["spec"]["template"]["metadata"].get("annotations", {})
    noted = notes.get(_RELEASE, record.ZERO)
    known = {move.trailers[RELEASE] for move in standing.moves(repository, stage)}
    require(
        noted in (record.ZERO, *known),
        f"the cluster runs release {record.short(noted)}, which this clone never promoted to"
        f" {stage}: git pull first",
    )


def changed(kubectl: Kubectl, objects: Iterable[Object]) -> str:
    """Show what applying would change, nothing if nothing; the server judges everything first."""
    text = stream(objects)
    kubectl.apply(text, OWNER, "--dry-run=server", "--warnings-as-errors")
    return kubectl.ask(*_DIFF, text=text, codes=(0, 1))


def apply(wait: rollout.Wait, objects: list[Object]) -> None:
    """Apply the objects; pods that need new weights come after the Job that brings them."""
    jobs = [value for value in only(objects, "Job") if _is_weights(value)]
    # An ended Job is deleted after a while, which may be now: one seen complete is not waited for.
    waited = [job for job in jobs if not _is_complete(wait.kubectl, job)]
    if jobs:
        before = [value for value in objects if value["kind"] not in _AFTER_WEIGHTS]
        cli.say(wait.kubectl.apply(stream(before), OWNER).rstrip())
    for job in waited:
        wait.until(job, rollout.job_state)
    cli.say(wait.kubectl.apply(stream(objects), OWNER).rstrip())


def settle(wait: rollout.Wait, objects: list[Object], wanted: Pins) -> None:
    """Wait until the service runs what is pinned, and say so."""
    deployment = _service(objects)
    canaries = only(objects, "Rollout")
    for canary in canaries:
        wait.rollout(canary, deployment)
    if not canaries:
        wait.deployment(deployment)
    count = rollout.check_running(rollout.pods(wait.kubectl, deployment), NAME, wanted.image)
    sys.stdout.write(f"{namespace(deployment)}: {count} pods run {wanted.image}, as pinned\n")


def _service(objects: Iterable[Object]) -> Object:
    found = [value for value in only(objects, "Deployment") if value["metadata"]["name"] == NAME]
    require(len(found) == 1, f"the overlay has {len(found)} Deployments called {NAME}, wanted one")
    return found[0]


def _is_weights(job: Object) -> bool:
    return bool(job["metadata"].get("labels", {}).get(_COMPONENT) == WEIGHTS)


def _is_complete(kubectl: Kubectl, job: Object) -> bool:
    found = kubectl.get(resource(job), job["metadata"]["name"], namespace(job))
    return found is not None and rollout.job_state(found)[0]


if __name__ == "__main__":
    cli.run(DeployConfig, main, package="serve")
