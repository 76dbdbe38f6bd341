"""From arguments to a configuration object; every fault in them is a one-line UserError."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from s1_core.errors import UserError

ConfigT = TypeVar("ConfigT")
_TRUTHS = {"true", "false", "yes", "no", "null"}


def parse(
    config_class: type[ConfigT], argv: Sequence[str], package: str, recipe: str | None = None
) -> ConfigT:
    """Build a configuration from `--config` files and flags; a flag wins wherever it stands.

    Without `--config` the file named `recipe` is read, if one is given. A list of words or of
    counts may be written `a,b`. Raises UserError for unknown keys, values of a wrong type and a
    refusing `__post_init__`.
    """
    from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

    names = [field.name for field in dataclasses.fields(config_class)]  # type: ignore[arg-type]
    assert "config" not in names, "a field named config collides with --config"
    keys = dict(_keys(config_class))
    arguments = [
        _checked(flag, value, keys, package) for flag, value in _pairs(config_class, argv, keys)
    ]
    arguments.sort(key=lambda argument: not argument.startswith("--config="))
    if recipe is not None and not any(word.startswith("--config=") for word in arguments):
        arguments.insert(0, f"--config={_recipe(recipe, package)}")
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(exit_on_error=False, default_env=False)
    default = f" Without one {recipe} is read; defaults below are before it." if recipe else ""
    about = f"A YAML file, or the name of a recipe.{default}"
    parser.add_argument("--config", action="config", help=about)
    parser.add_class_arguments(config_class)
    try:
        found = vars(parser.instantiate(parser.parse_args(arguments)))
        return config_class(**{name: found[name] for name in names})
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(_as_typed(str(error))) from error


def _keys(config_class: type[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """List the dotted keys of a configuration class with their types, nested classes included."""
    hints = get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        hint, key = hints[field.name], prefix + field.name
        yield key, hint
        for part in (hint, *get_args(hint)):
            if isinstance(part, type) and dataclasses.is_dataclass(part):
                yield from _keys(part, key + ".")


def _pairs(
    config_class: type[Any], argv: Sequence[str], keys: Mapping[str, Any]
) -> Iterator[tuple[str, str | None]]:
    """Split argv into (flag, value); a lone bool is true, lone words are the POSITIONAL fields.

    POSITIONAL is one name or several, taken in order. `--max-steps` and `--max_steps` are one flag.
    """
    words, positional = list(argv), getattr(config_class, "POSITIONAL", ())
    lone = [positional] if isinstance(positional, str) else list(positional)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            if not lone:
                raise UserError(f"found {word!r}, wanted flags only; write --key {word}")
            yield f"--{lone.pop(0)}", word
            continue
        flag, equals, value = word.partition("=")
        word = f"--{flag[2:].replace('-', '_')}" if flag.startswith("--") else flag
        if equals:
            yield word, value
        elif word in ("-h", "--help", "--print_config") or word.endswith(".help"):
            yield word, None
        elif keys.get(word[2:]) is bool and (not words or words[0].lower() not in _TRUTHS):
            yield word, "true"
        elif words and not words[0].startswith("--"):
            yield word, words.pop(0)
        else:
            raise UserError(_unknown(word[2:], keys, "flag") or f"{word} wants a value after it")


def _checked(flag: str, value: str | None, keys: Mapping[str, Any], package: str) -> str:
    if flag == "--config" and value is not None:
        path = _recipe(value, package)
        _check_yaml(path, keys)
        return f"--config={path}"
    if flag not in ("-h", "--help", "--print_config") and not flag.endswith(".help"):
        fault = _unknown(flag[2:].removesuffix("+"), keys, "flag")
        if fault:
            raise UserError(fault)
    if value is not None and value[:1] not in ("[", "("):
        words = [word.strip() for word in value.split(",") if word.strip()]
        if keys.get(flag[2:]) in (tuple[str, ...], list[str]):
            value = json.dumps(words)
        elif keys.get(flag[2:]) == list[int]:
            value = f"[{','.join(words)}]"
    return flag if value is None else f"{flag}={value}"


def _recipe(name: str, package: str) -> Path:
    """Find the YAML file meant by `--config`: a path, or a name in the package's configs."""
    if Path(name).is_file():
        return Path(name)
    spec = importlib.util.find_spec(f"s1_{package.removeprefix('s1_')}")
    assert spec is not None and spec.origin is not None, f"no package {package}"
    folder = Path(spec.origin).parents[2] / "configs"
    recipes = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name not in recipes:
        raise UserError(
            f"--config {name} is neither a file nor a recipe; recipes of {package}:"
            f" {', '.join(recipes) or 'none'}"
        )
    return recipes[name]


def _check_yaml(path: Path, keys: Mapping[str, Any]) -> None:
    import yaml

    try:
        content = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, wanted `key: value` lines")
    for key in _dotted(content, keys):
        fault = _unknown(key, keys, "key")
        if fault:
            raise UserError(f"{path}: {fault}")


def _dotted(content: Mapping[str, Any], keys: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    nests = {key.rsplit(".", 1)[0] for key in keys if "." in key}
    for key, value in content.items():
        name = f"{prefix}{key}"
        yield name
        if isinstance(value, dict) and name in nests:
            yield from _dotted(value, keys, name + ".")


def _unknown(key: str, keys: Mapping[str, Any], kind: str) -> str | None:
    """Say what is wrong with a key, None when it is valid; below a dict anything is."""
    parents = [key.rsplit(".", n)[0] for n in range(1, key.count(".") + 1)]
    if key in (*keys, "config", "print_config"):
        return None
    if any("dict" in str(keys.get(parent)) for parent in parents):
        return None
    dashes = "--" if kind == "flag" else ""
    nearest = difflib.get_close_matches(key, [*keys, "config"], n=1, cutoff=0.0)[0]
    return f"unknown {kind} {dashes}{key}; the nearest valid one is {dashes}{nearest}"


def _as_typed(message: str) -> str:
    """Name keys in jsonargparse's messages the way they are typed."""
    message = message.replace("the following arguments are required: ", "missing: --")
    return message.replace('Parser key "', '"--')
