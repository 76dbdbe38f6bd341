"""What the service was told: the file a Bento carries, then flags. Refuses in one line, and leaves.

`just serve` passes its flags in the variable S1_SERVICE, a JSON list; a deployment of a Bento may
set the same variable to overrule single fields of what the Bento carries.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from s1_core import cli
from s1_core.config_parser import parse
from s1_core.errors import UserError
from s1_serve.config import ServiceConfig
from s1_serve.server import keys

VARIABLE = "S1_SERVICE"
CARRIED = "serve.yaml"
STORE = "store:"  # before the tag of a model in BentoML's store
_BESIDE = Path(__file__).parents[2] / CARRIED  # in a Bento the packages lie at the top


@dataclass(frozen=True)
class Settings:
    """The service's configuration and the keys that open it."""

    config: ServiceConfig
    keys: tuple[str, ...]


def read() -> Settings:
    """Read the settings of this process, or leave it with the line that says why not.

    Whoever imports the service leaves: `bentoml serve` would start a failing worker for ever.
    """
    try:
        config = parse(ServiceConfig, _flags(), "serve", None)
        given = keys.read_keys(config.api_keys_file, os.environ.get(keys.VARIABLE))
        keys.demand(given, config.host, is_open=config.open)
    except UserError as error:
        hint = f" (a Bento takes flags from {VARIABLE})" if _BESIDE.is_file() else ""
        cli.say(f"s1: {error}{hint}")
        sys.exit(error.exit_code)
    return Settings(config, given)


def _flags() -> list[str]:
    text = os.environ.get(VARIABLE, "[]")
    try:
        flags = json.loads(text)
    except json.JSONDecodeError:
        flags = None
    if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
        raise UserError(f"{VARIABLE} is {text!r}: give a JSON list of the flags of `just serve`")
    return [f"--config={_BESIDE}", *flags] if _BESIDE.is_file() else flags
