"""What a request may set of a policy, and how it is checked: the fields of its dataclass.

A field whose metadata has `is_given` is the server's to fill: a verifier, a policy file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

from s1_core.errors import UserError

MOST_SAMPLES = 1024
"""of one request, whatever the strategy: a client's slip should not take the server for hours"""
MOST_CALLS = 4096
"""that two parameters multiply to: every event of a run copies the table of its calls"""


def given() -> Any:
    """Declare a field that the server fills and no request may set."""
    return field(metadata={"is_given": True})


def check_counts(least: int = 1, most: int = MOST_SAMPLES, **counts: int) -> None:
    """Refuse a count that is out of range.

    Raises:
        UserError: naming the first one.
    """
    for name, value in counts.items():
        if not least <= value <= most:
            raise UserError(f"{name} is {value}: give a whole number from {least} to {most}")


def check_shares(least: float = 0.0, most: float = 1.0, **shares: float) -> None:
    """Refuse a number that is out of range, NaN among them.

    Raises:
        UserError: naming the first one.
    """
    for name, value in shares.items():
        if not least <= value <= most:
            raise UserError(f"{name} is {value}: give a number from {least:g} to {most:g}")


def check_one_of(choices: Sequence[str], **words: str) -> None:
    """Refuse a word that is none of the choices.

    Raises:
        UserError: naming the first one.
    """
    for name, value in words.items():
        if value not in choices:
            raise UserError(f"{name} is {value!r}: give {' or '.join(choices)}")
