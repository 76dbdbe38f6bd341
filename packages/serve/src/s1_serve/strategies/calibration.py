"""What `just calibrate` found out about a model, for `auto`: its horizon, its length, its heat.

Owns the form of calibration.json. Refuses one of another schema.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from s1_core.errors import UserError

CALIBRATION_VERSION = 2
"""1 counted traces without an answer as wrong: its families may be of the maximum, not the model"""
SHORT, LONG, NON_REASONING, UNKNOWN = "short-horizon", "long-horizon", "non-reasoning", "unknown"
FAMILIES = (SHORT, LONG, NON_REASONING, UNKNOWN)
"""arXiv 2512.02008, Section 4; unknown where the intervals do not tell short from long"""
HOTTEST = 2.0
"""temperature that engines take"""
FILE = "calibration.json"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A model's family and what its answers cost. `facts` are for readers, no rule uses them."""

    family: str
    mean_tokens: float
    """of one answer, thinking and all"""
    temperature: float | None = None
    """TURN's, for votes; None where it was not measured"""
    best_of_temperature: float | None = None
    """TURN's, for a best of N"""
    is_approximate: bool = True
    """Entropies came from the top logprobs alone."""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise UserError(f"family is {self.family!r}: give one of {', '.join(FAMILIES)}")
        if not (_is_number(self.mean_tokens) and 0 < self.mean_tokens < math.inf):
            raise UserError(f"mean_tokens is {self.mean_tokens!r}: give a number above 0")
        for name in ("temperature", "best_of_temperature"):
            heat = getattr(self, name)
            if heat is not None and not (_is_number(heat) and 0 <= heat <= HOTTEST):
                raise UserError(f"{name} is {heat!r}: give a number from 0 to {HOTTEST:g}, or null")
        if not isinstance(self.facts, Mapping):
            raise UserError(f"facts is {self.facts!r}: give a mapping")

    def to_json(self) -> str:
        """Write calibration.json."""
        content = {"schema_version": CALIBRATION_VERSION, **asdict(self)}
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read(path: Path | str) -> Calibration:
    """Read a calibration folder, or its calibration.json.

    Raises:
        UserError: it is not there, damaged, of another schema, or holds what cannot be.
    """
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise UserError(f"no calibration at {path}: `just calibrate --out DIR` writes one")
    try:
        content = dict(json.loads(file.read_text()))
        version = content.pop("schema_version")
        found = Calibration(**content) if version == CALIBRATION_VERSION else None
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file} is damaged: calibrate again") from error
    if found is None:
        raise UserError(
            f"{file} has schema {version}, this version reads {CALIBRATION_VERSION}: "
            "calibrate again"
        )
    return found
