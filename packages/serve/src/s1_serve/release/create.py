"""`just release create`: the record of a model, its report and its image, committed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from s1_core import artifacts, cli
from s1_core.artifacts import Artifact
from s1_core.errors import UserError
from s1_serve.release import pins, record, rules, store
from s1_serve.release.config import CreateConfig
from s1_serve.release.record import Release, short
from s1_serve.release.repository import RELEASE, Repository

_DATA = "s1k"
_IN_IMAGES = ("packages/core/src", "packages/serve/src", "infra/requirements")


def main(config: CreateConfig) -> None:
    """Write the record, unless it is there; its id goes to stdout.

    Raises:
        UserError: a dirty tree, an altered folder, a report of another model, a tag for an image.
    """
    record.check_image(config.image)
    here = Repository.here()
    with cli.working(f"checking {config.model}"):
        model = artifacts.load(config.model, kind="model")
    with here.locked():
        repository = here.settled()
        report = _report_of(repository, config, model)
        _check_code(repository, config)
        release = _release(repository, config, model, report)
        is_known = repository.show(release.path) is not None
        if not config.dry_run:
            store.link(config.store, store.MODELS, model)
            store.link(config.store, store.REPORTS, report)
        if is_known:
            cli.say(f"up to date: {release.path}")
            repository.share(config.push)
        elif config.dry_run:
            cli.say(f"dry run: {release.path} would be committed:")
            cli.say(release.text.strip())
        else:
            message = f"Release candidate {short(release.id)}\n\n{RELEASE}: {release.id}\n"
            repository.commit({release.path: release.text}, message, push=config.push)
            cli.say(f"candidate: {release.path}; next: just gate {short(release.id)}")
    sys.stdout.write(f"{release.id}\n")


def _release(
    repository: Repository, config: CreateConfig, model: Artifact, report: Artifact
) -> Release:
    return Release(
        model=model.sha256,
        image=config.image,
        code=_code(repository),
        data=model.parents.get(_DATA),
        base=model.parents.get("base"),
        checkpoint=model.parents.get("checkpoint"),
        step=model.config.get("step"),
        report=report.sha256,
        gates=rules.current_sha256(repository),
    )


def _report_of(repository: Repository, config: CreateConfig, model: Artifact) -> Artifact:
    """Open the report, which has to be of this model and made for today's gate config."""
    report = artifacts.load(config.report, kind="report")
    said = json.loads((Path(config.report) / "report.json").read_text())
    measured = (said.get("model") or {}).get("manifest_sha256")
    if measured != model.sha256:
        raise UserError(
            f"{config.report} measured the model {short(measured)}, and {config.model} is"
            f" {short(model.sha256)}: evaluate this one"
        )
    rules.check_report(repository, report)
    return report


def _check_code(repository: Repository, config: CreateConfig) -> None:
    """Refuse an image that was pushed from here, and of other packages than this commit's."""
    for file in Path(config.images).glob("*.json"):
        said = json.loads(file.read_text())
        if said["digest"] == config.image.partition("@")[2] and said.get("code"):
            words = ("diff", "--name-only", said["code"], repository.at, "--", *_IN_IMAGES)
            if changed := repository.git(*words).splitlines():
                raise UserError(
                    f"{config.image} was made of commit {said['code'][:12]}; {changed[0]} has"
                    " changed since: build and push it anew"
                )


def _code(repository: Repository) -> str:
    """Name the newest commit of anything but releases themselves, so that twice is once."""
    beside = [f":(exclude){record.FOLDER}"]
    beside += [f":(exclude){pins.path(stage)}" for stage in pins.STAGES]
    found = repository.git("log", "-1", "--format=%H", repository.at, "--", ".", *beside).strip()
    return found or repository.at
