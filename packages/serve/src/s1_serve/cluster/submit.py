"""`just submit`: a run of data or training, under a name of its own.

A run is created and never changed: a name that is taken belongs to the run that has it. What runs
share (network policies, a claim, an account) is applied first, and takes no field from anybody.
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime

import yaml

from s1_core import cli
from s1_core.errors import UserError
from s1_serve.cluster import render, trust
from s1_serve.cluster.config import SubmitConfig
from s1_serve.cluster.kubectl import Kubectl, Refused
from s1_serve.cluster.objects import (
    Object,
    check_images,
    containers,
    label,
    namespace,
    resource,
    stream,
)
from s1_serve.release.repository import Repository

OWNER = "s1-submit"
STEP = "s1/step"
CONTENT = "s1/content"
RUNS = ("Job", "JobSet")
_CREATE = ("create", f"--field-manager={OWNER}", "--validate=strict", "-f", "-")


def main(config: SubmitConfig) -> None:
    """Create the run, print its name, and tell how to watch it.

    Raises:
        UserError: the overlay has no such run, its image is not pinned, the cluster is not fit, or
            the name belongs to another run.
    """
    repository, kubectl = Repository.here(), Kubectl.here()
    if not config.dry_run:
        repository.demand_clean()
    objects = render.objects(kubectl, repository.root, config.folder)
    shared = [value for value in objects if value["kind"] not in RUNS]
    run = prepared(chosen(objects, config), config)
    wanted = [*shared, run]
    check_images(wanted)
    if config.dry_run:
        sys.stdout.write(yaml.safe_dump_all(wanted, sort_keys=False))
        return
    cluster = trust.connect(kubectl, config.context, wanted)
    trust.check(cluster, repository.root, wanted)
    if is_there(cluster, run):
        cli.say(f"{label(run)} is already submitted; delete it to start it again")
    else:
        cli.say(f"{label(run)}: {config.folder}, {next(containers(run))['image']}")
        create(cluster, shared, run)
    sys.stdout.write(f"{run['metadata']['name']}\n")
    cli.say("\n".join(["watch it:", *watching(cluster, run)]))


def chosen(objects: Iterable[Object], config: SubmitConfig) -> Object:
    """Find the run that is meant: the overlay's only one, or the one of a step."""
    runs = [value for value in objects if value["kind"] in RUNS]
    steps = {value["metadata"].get("labels", {}).get(STEP): value for value in runs}
    if config.step is None and len(runs) == 1:
        return runs[0]
    if config.step is None or config.step not in steps:
        found = f"no step {config.step!r}" if config.step else f"{len(runs)} runs"
        known = ", ".join(str(step) for step in steps if step) or "there are none"
        raise UserError(f"{config.folder} has {found}; give --step, one of: {known}")
    return steps[config.step]


def prepared(run: Object, config: SubmitConfig) -> Object:
    """Give the run its image, its arguments and its name, and note what it was made of.

    Its pods read the name from the label that their controller gives them, so it stands once.
    """
    made = copy.deepcopy(run)
    for container in containers(made):
        if config.image is not None:
            container["image"] = config.image
    if config.words:
        mains = [one for one in containers(made) if "args" in one]
        if len(mains) != 1:
            raise UserError(f"{label(run)} has {len(mains)} containers with args: --args wants one")
        mains[0]["args"] += config.words
    content = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    name = config.name or unique(run["metadata"]["name"], content)
    made["metadata"].setdefault("annotations", {})[CONTENT] = content
    made["metadata"]["name"] = name
    return made


def unique(name: str, content: str) -> str:
    """Make a name that nobody else makes, also not in the same second."""
    now = time.time_ns()
    stamp = datetime.fromtimestamp(now / 1e9, UTC).strftime("%Y%m%d-%H%M%S")
    return f"{name}-{stamp}-{hashlib.sha256(f'{content}{now}'.encode()).hexdigest()[:4]}"


def is_there(kubectl: Kubectl, run: Object) -> bool:
    """Say whether the run is submitted already; another run of this name is a UserError."""
    found = kubectl.get(resource(run), run["metadata"]["name"], namespace(run))
    if found is None:
        return False
    theirs = found["metadata"].get("annotations", {}).get(CONTENT)
    if theirs != run["metadata"]["annotations"][CONTENT]:
        raise UserError(
            f"{label(run)} is another run that was submitted before: give another --name, or none,"
            " or delete that one"
        )
    return True


def create(kubectl: Kubectl, shared: list[Object], run: Object) -> None:
    """Create the run after what it stands on; the server judges it before anything is written."""
    text = stream([run])
    kubectl.ask(*_CREATE, "--dry-run=server", "--warnings-as-errors", text=text)
    if shared:
        cli.say(kubectl.apply(stream(shared), OWNER).rstrip())
    try:
        cli.say(kubectl.ask(*_CREATE, text=text).strip())
    except Refused as error:
        # Two submits of one name: the second finds the first one's run.
        if "AlreadyExists" not in error.said or not is_there(kubectl, run):
            raise
        cli.say(f"{label(run)} is already submitted")


def watching(kubectl: Kubectl, run: Object) -> list[str]:
    """Name the commands that show how the run goes."""
    place = f"kubectl --context {kubectl.context} --namespace {namespace(run)}"
    kind, name = run["kind"].lower(), run["metadata"]["name"]
    selector = (
        "jobset.sigs.k8s.io/jobset-name" if kind == "jobset" else "batch.kubernetes.io/job-name"
    )
    return [
        f"  {place} get {kind} {name} --watch",
        f"  {place} logs --selector {selector}={name} --follow --tail=20 --prefix",
    ]


if __name__ == "__main__":
    cli.run(SubmitConfig, main, package="serve")
