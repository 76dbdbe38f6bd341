"""Whether what a response says of its thinking keeps what was asked. Pure; for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Promise:
    """A budget in tokens; `extend_tokens` is the length of the extend string that would be next."""

    maximum: int
    minimum: int = 0
    extends: int = 0
    extend_tokens: int = 0

    def is_in_force(self, told: Mapping[str, Any] | None) -> bool:
        """Say whether it was this budget: something between client and server may drop fields."""
        if told is None or (told["max"], told["min"]) != (self.maximum, self.minimum):
            return False
        has_room = told["tokens"] + self.extend_tokens + 1 <= self.maximum
        return not (told["end"] == "natural" and told["extends"] < self.extends and has_room)

    def fault(self, told: Mapping[str, Any] | None) -> str | None:
        """Say how a response breaks it; None where it is kept."""
        if told is None:
            return "nothing is said of the thinking"
        said = f"{told['tokens']} tokens, ended by {told['end']}, {told['extends']} extends"
        if not self.is_in_force(told):
            return f"{said}, under a maximum of {told['max']} and a minimum of {told['min']}"
        is_enough = self.minimum <= told["tokens"] or told["end"] == "length"
        is_cut_right = told["end"] != "budget" or told["tokens"] == self.maximum
        if told["tokens"] <= self.maximum and is_enough and is_cut_right:
            return None
        return said
