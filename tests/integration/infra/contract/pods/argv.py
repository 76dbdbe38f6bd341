"""What a container runs: its words, variables put in as Kubernetes does, and who reads them."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from integration.infra.contract.objects import Object, Pod, at, each_container
from s1_core.config_parser import parse
from s1_core.errors import UserError
from s1_serve.config import ServiceConfig
from s1_serve.server import settings

ConfigT = TypeVar("ConfigT")
INDEX = "JOB_COMPLETION_INDEX"
INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
JOBSET = "jobset.sigs.k8s.io/jobset-name"
_VARIABLE = re.compile(r"\$(\$)?\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


class Verb(NamedTuple):
    """A module that is run by `python -m`, as its own call of `cli.run` tells it."""

    config_class: type[Any]
    package: str
    recipe: str | None


def variables(pod: Pod, container: Object) -> dict[str, str]:
    """Give a container's variables, each with those before it put in; samples for unknown ones."""
    found: dict[str, str] = {}
    for entry in container.get("env") or []:
        if "valueFrom" in entry:
            found[entry["name"]] = _sample(pod, entry["valueFrom"])
        else:
            found[entry["name"]] = expand(str(entry.get("value", "")), found)
    if is_indexed(pod):  # the Job's controller adds it behind all others
        found.setdefault(INDEX, "0")
    return found


def is_indexed(pod: Pod) -> bool:
    """Say whether the Job of a pod numbers its pods; a JobSet's does unless it says otherwise."""
    default = "Indexed" if pod.owner["kind"] == "JobSet" else "NonIndexed"
    return at(pod.job, "completionMode", default=default) == "Indexed" and pod.job is not None


def _sample(pod: Pod, source: Object) -> str:
    """Give what a variable's source will say, as far as the manifests tell."""
    path = at(source, "fieldRef", "fieldPath", default="")
    if label := re.fullmatch(r"metadata\.labels\['(.+)'\]", path):
        added = {JOBSET: str(at(pod.owner, "metadata", "name")), INDEX_LABEL: "0"}
        return (added | pod.labels).get(label[1], "")
    return "sample"


def expand(text: str, values: dict[str, str]) -> str:
    """Put variables in as the kubelet does: $(NAME), $$(NAME) for a literal, unknown ones stay."""

    def put(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        return values.get(match[2], match[0])

    return _VARIABLE.sub(put, text)


def unknown(text: str, values: dict[str, str]) -> list[str]:
    """Name the variables of a text that nobody sets."""
    return [
        found[2] for found in _VARIABLE.finditer(text) if not found[1] and found[2] not in values
    ]


def words(pod: Pod, container: Object) -> list[str]:
    """Give the words a container is started with; without a command they go to the image's own."""
    values = variables(pod, container)
    given = [*(container.get("command") or []), *(container.get("args") or [])]
    return [expand(str(word), values) for word in given]


def module_of(found: list[str]) -> str | None:
    """Name the module that `python -m` is to run."""
    is_module = (
        Path(found[0]).name.startswith("python") and found[1:2] == ["-m"] if found else False
    )
    return found[2] if is_module and len(found) > 2 else None


@functools.cache
def verb(module: str) -> Verb:
    """Find the configuration class of a module that is run as a verb.

    Raises:
        UserError: there is no such module, or it is no verb.
    """
    for name in (f"{module}.__main__", module):
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:  # what is no package holds no __main__
            spec = None
        if spec and spec.origin and (call := _call(Path(spec.origin))):
            found = functools.reduce(getattr, call[0].split("."), importlib.import_module(name))
            return Verb(found, *call[1:])
    raise UserError(f"python -m {module}: there is no such verb")


def _call(path: Path) -> tuple[str, str, str | None] | None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "cli.run":
            options = {key.arg: ast.literal_eval(key.value) for key in node.keywords}
            return ast.unparse(node.args[0]), options["package"], options.get("recipe")
    return None


def config_of(pod: Pod, container: Object) -> Any:
    """Parse what a container tells a verb of ours; None where it runs something else.

    Raises:
        UserError: the verb would refuse it.
    """
    found = words(pod, container)
    if (module := module_of(found)) is None:
        return None
    return _parsed(verb(module), tuple(found[3:]))


def configured(
    objects: list[Object], kind: type[ConfigT]
) -> Iterator[tuple[Pod, Object, ConfigT, str]]:
    """Walk over the containers whose verb has a configuration of some kind, as it is parsed."""
    for pod, container, where in each_container(objects):
        try:
            config = config_of(pod, container)
        except UserError:  # `commands_parse` tells
            continue
        if isinstance(config, kind):
            yield pod, container, config, where


@functools.cache
def _parsed(verb: Verb, flags: tuple[str, ...]) -> Any:
    """Parse, once: many checks ask, and a parser takes 50 ms to build."""
    return parse(verb.config_class, flags, verb.package, verb.recipe)


def serve_options(pod: Pod, container: Object) -> dict[str, Any] | None:
    """Parse what a container tells `bentoml serve`; None where it runs something else.

    Raises:
        click.ClickException: BentoML would refuse it.
    """
    found = words(pod, container)
    if found[:1] == ["bentoml"]:
        found = found[1:]
    if found[:1] not in (["serve"], ["serve-http"]):
        return None
    from bentoml_cli.serve import serve_command

    command = serve_command.commands["serve"]
    values = variables(pod, container)
    # Options not given come from variables, and only from the container's.
    known = {
        param.name: values[variable]
        for param in command.params
        if (variable := getattr(param, "envvar", None)) in values
    }
    context = command.make_context("serve", found[1:], default_map=known)
    return dict(context.params)


def service_config(pod: Pod, container: Object) -> ServiceConfig | None:
    """Parse the service's settings of a container; None where it has none.

    Raises:
        UserError: the service would refuse them.
    """
    text = variables(pod, container).get(settings.VARIABLE)
    if text is None:
        return None
    try:
        flags = tuple(json.loads(text))
    except (json.JSONDecodeError, TypeError) as error:
        raise UserError(f"{settings.VARIABLE} is no JSON list: {error}") from error
    return _parsed(Verb(ServiceConfig, "serve", None), flags)
