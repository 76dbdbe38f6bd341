"""What the gates said of a release, as canonical JSON beside its record.

The same inputs give the same bytes: no times, which git knows. Refuses a verdict that was altered,
or whose end is not what its rows come to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from s1_core.errors import UserError, require
from s1_serve.release.record import FOLDER

if TYPE_CHECKING:
    from s1_serve.release.repository import Repository

VERDICT_VERSION = 1
PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
OFFLINE, STAGING = "offline", "staging"
KINDS = (OFFLINE, STAGING)


@dataclass(frozen=True)
class Row:
    """One gate: what was found, and what was wanted."""

    gate: str
    verdict: str
    found: str
    wanted: str

    def __post_init__(self) -> None:
        known = (PASS, FAIL, INCONCLUSIVE)
        require(self.verdict in known, f"{self.gate} ends in {self.verdict!r}, not in {known}")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Everything that the rows depend on, by hash."""

    release: str
    kind: str
    gates: str
    """sha256 of the gate config"""
    report: str | None = None
    """the candidate's; None where the endpoint was judged"""
    against: str | None = None
    """the release that production served; None before the first"""
    against_report: str | None = None
    """the report that it was compared by"""
    served: str | None = None
    """the model that the endpoint said it serves"""
    deployment: str | None = None
    """of staging: which promotion, and which manifests (`standing.deployment`)"""
    rows: tuple[Row, ...]
    schema_version: int = VERDICT_VERSION

    @property
    def verdict(self) -> str:
        """Pass if every gate does: one failure fails, and without rows nothing was shown."""
        return overall(self.rows)

    @property
    def failing(self) -> list[str]:
        """Name the gates that do not pass."""
        return [row.gate for row in self.rows if row.verdict != PASS]

    @property
    def text(self) -> str:
        """Write the file: sorted keys, one a line, so that a difference reads well."""
        content = asdict(self) | {"verdict": self.verdict}
        return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @property
    def path(self) -> str:
        return path(self.release, self.kind)


def overall(rows: Sequence[Row]) -> str:
    """Join the rows: all required, so none needs a correction for being one of many."""
    found = {row.verdict for row in rows}
    return FAIL if FAIL in found else PASS if found == {PASS} else INCONCLUSIVE


def path(release: str, kind: str) -> str:
    """Name the file of a verdict, below the repository's root."""
    assert kind in KINDS, kind
    return f"{FOLDER}/{release}.{kind}.json"


def parse(text: str, release: str, kind: str) -> Verdict:
    """Read the verdict of a kind on a release; anything but what is written here is a UserError."""
    file = path(release, kind)
    try:
        content: dict[str, Any] = json.loads(text)
        values = {entry.name: content[entry.name] for entry in fields(Verdict)}
        rows = tuple(Row(**row) for row in content["rows"])
        found = Verdict(**values | {"rows": rows})
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no verdict: restore it with git, or gate again") from error
    if found.text != text or (found.release, found.kind) != (release, kind):
        raise UserError(f"{file} was altered: restore it with git, or gate again")
    require(
        found.schema_version == VERDICT_VERSION,
        f"{file} has schema {found.schema_version}, wanted {VERDICT_VERSION}: gate again",
    )
    return found


def of(repository: Repository, release: str) -> dict[str, Verdict]:
    """Give the committed verdicts on a release, by kind."""
    texts = {kind: repository.show(path(release, kind)) for kind in KINDS}
    return {kind: parse(text, release, kind) for kind, text in texts.items() if text is not None}
