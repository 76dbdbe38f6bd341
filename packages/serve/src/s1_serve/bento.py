"""`just bento`: the service, its settings and its pinned requirements as a Bento, offline.

Owns what a Bento holds and its version, a hash of that: the same inputs are the same Bento.
Refuses an altered model, and to write over a folder of something else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from s1_core import artifacts, cli, folder_swap
from s1_core.errors import UserError
from s1_serve import image, stores
from s1_serve.model import Model, open_model
from s1_serve.packing import BentoConfig
from s1_serve.server import keys, settings

NAME = "s1"
TARGET = "s1_serve.server.service:S1"
_PACKAGES = (Path(artifacts.__file__).parent, Path(__file__).parent)
_REQUIREMENTS = Path(__file__).parents[4] / "infra" / "requirements"
_EVERYWHERE = "0.0.0.0"  # where a container listens, so keys are wanted
_MODEL = "model"
_README = """# s1

A model behind the OpenAI and Anthropic APIs, with thinking budgets, and a page at /ui.
`src/serve.yaml` holds its settings; the variable S1_SERVICE, a JSON list of flags of `just serve`,
overrules them one by one. API keys come from S1_API_KEYS or from the file that api_keys_file names.
"""


@dataclass(frozen=True)
class Plan:
    """A Bento to be: all but the model lies in `stage`."""

    config: BentoConfig
    model: Model | None
    stage: Path
    version: str

    @property
    def tag(self) -> str:
        return f"{NAME}:{self.version}"

    @property
    def requirements(self) -> Path:
        return _REQUIREMENTS / f"{self.config.requirements}.txt"


def main(config: BentoConfig) -> None:
    """Build the Bento, unless it is there already."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    with cli.working(f"checking {config.model}"):
        model = None if config.carry == "mount" else open_model(config.model)
    with tempfile.TemporaryDirectory(prefix="s1-bento-") as folder:
        plan = _planned(config, model, Path(folder))
        target = Path(config.out or stores.home() / "bentos" / NAME / plan.version).resolve()
        if model and config.carry == "store":
            stores.put_model(model)
        if _is_current(target, plan):
            cli.say(f"up to date: {target}")
        else:
            cli.say(f"building {plan.tag}: {config.model} by {config.carry}, {config.requirements}")
            _build(plan, target)
    sys.stdout.write(f"{plan.tag}\n")
    name = config.out or plan.tag
    serve = f"{Path(sys.prefix) / 'bin' / 'bentoml'} serve {name}"
    cli.say(f"next: S1_API_KEYS=KEY {serve}; or just image --bento {name} --tag {plan.tag}")


def _planned(config: BentoConfig, model: Model | None, stage: Path) -> Plan:
    """Lay out all but the model, and hash all that decides what the Bento and its image are."""
    pins = _REQUIREMENTS / f"{config.requirements}.txt"
    if not pins.is_file():
        raise UserError(f"{pins} is missing: build from a checkout of the repository")
    for package in _PACKAGES:
        for source in package.rglob("*.py"):
            stores.copy_file(source, stage / source.relative_to(package.parent))
    (stage / image.INSTALLER).write_text(image.installer(config.requirements))
    (stage / settings.CARRIED).write_text(yaml.safe_dump(_settings(config, model)))
    files = sorted(path for path in stage.rglob("*") if path.is_file())
    identity = {
        "files": {str(path.relative_to(stage)): artifacts.sha256_of(path) for path in files},
        "model": model.artifact.sha256 if model else None,
        "requirements": artifacts.sha256_of(pins),
        "base_image": config.base_image,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return Plan(config, model, stage, digest[: stores.DIGITS])


def _settings(config: BentoConfig, model: Model | None) -> dict[str, Any]:
    """Give the fields of serve.yaml; BentoML runs the service in that file's folder."""
    place, name = config.model, config.service.name
    if model is not None:
        by_copy = config.carry == "copy"
        place = _MODEL if by_copy else f"{settings.STORE}{stores.model_tag(model)}"
        name = name or model.artifact.path.resolve().name
    service = dataclasses.replace(config.service, model=place, host=_EVERYWHERE, name=name)
    fields: dict[str, Any] = artifacts.plain(service)
    del fields["port"]  # BentoML's
    return fields


def _is_current(target: Path, plan: Plan) -> bool:
    """Say whether this very Bento lies in a folder, its model intact.

    Raises:
        UserError: something that is no Bento lies in the folder the user named.
    """
    about = target / "bento.yaml"
    if about.is_file():
        is_same = str(yaml.safe_load(about.read_text())["version"]) == plan.version
        carried = plan.model if plan.config.carry == "copy" else None
        return is_same and (not carried or stores.is_copy(target / "src" / _MODEL, carried))
    if plan.config.out and target.exists() and (target.is_file() or any(target.iterdir())):
        raise UserError(
            f"{target} holds something that is not a Bento; it is left alone, choose another --out"
        )
    return False


def _build(plan: Plan, target: Path) -> None:
    growing = folder_swap.replacing if plan.config.out else stores.growing
    with growing(target) as folder:
        _describe(plan, folder)
        if plan.model and plan.config.carry == "copy":  # last: BentoML would copy it three times
            stores.copy_model(plan.model, folder / "src" / _MODEL)
        stores.open_up(folder)


def _describe(plan: Plan, folder: Path) -> None:
    """Let BentoML write the Bento, then take its files: it knows no way to a folder of ours."""
    for variable in (settings.VARIABLE, keys.VARIABLE):  # those of a service, and this is none
        os.environ.pop(variable, None)
    from bentoml._internal.bento import Bento
    from bentoml._internal.bento.build_config import BentoBuildConfig, BentoEnvSchema

    from s1_serve.server.service import service

    config, model = plan.config, plan.model
    environment = image.environment(config.requirements)
    service.image = image.describe(config.base_image, plan.requirements, config.requirements)
    service.config["traffic"]["timeout"] = float(config.service.request_timeout_s)
    build = BentoBuildConfig(
        service=TARGET,
        name=NAME,
        description=_README,
        labels={"model": model.artifact.sha256} if model else {},
        include=["*"],
        envs=[BentoEnvSchema(name=name, value=value) for name, value in environment.items()],
        models=[stores.model_tag(model)] if model and config.carry == "store" else [],
    )
    bento = Bento.create(build, version=plan.version, build_ctx=str(plan.stage))
    for source in Path(bento.path).rglob("*"):
        if source.is_file():
            stores.copy_file(source, folder / source.relative_to(bento.path))


if __name__ == "__main__":
    cli.run(BentoConfig, main, package="serve")
