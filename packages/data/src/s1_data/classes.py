"""The classes that an embedder or a judge chooses a domain from (msc.json, spec 1.4).

Refuses lists that do not name each class once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s1_core.errors import UserError, require
from s1_data.config import BuildConfig
from s1_data.sources import files


@dataclass(frozen=True, kw_only=True)
class DomainClass:
    """One class of a list: its code, its title and what belongs to it."""

    code: str
    title: str
    topics: tuple[str, ...]

    @property
    def name(self) -> str:
        """The class as a column and the card show it."""
        return f"{self.code} {self.title}"

    @property
    def text(self) -> str:
        """The class as an embedder or a judge reads it."""
        return f"{self.title}: {'; '.join(self.topics)}"


def file_of(config: BuildConfig) -> Path:
    """Name the file of classes: --diversity.classes, else msc.json of the data folder."""
    named = config.diversity.classes
    return files.folder(config.path) / "msc.json" if named is None else Path(named)


def read(file: Path) -> list[DomainClass]:
    """Read a JSON list of {code, title, topics}; raise UserError on anything else."""
    try:
        entries = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise UserError(
            f"no file of classes at {file}; --diversity.classes wants a JSON list of"
            " {code, title, topics}"
        ) from error
    except ValueError as error:
        raise UserError(f"{file} is not JSON: {error}") from error
    require(isinstance(entries, list) and bool(entries), f"{file}: wanted a JSON list of classes")
    found = [_class(entry, f"{file}: class {n}") for n, entry in enumerate(entries, start=1)]
    code, times = Counter(each.code for each in found).most_common(1)[0]
    require(times == 1, f"{file}: code {code} occurs {times} times, wanted once")
    return found


def check_codes(found: Sequence[DomainClass]) -> None:
    """Refuse codes that a judge cannot answer with: they are the last two digits of its reply."""
    wrong = [each.code for each in found if not (len(each.code) == 2 and each.code.isdecimal())]
    require(not wrong, f"diversity.domains llm wants codes of two digits, found {wrong[:3]}")


def _class(entry: Any, where: str) -> DomainClass:
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    code, title, topics = (fields.get(name, "") for name in ("code", "title", "topics"))
    named = isinstance(code, str) and isinstance(title, str) and code and title
    if not (named and isinstance(topics, list) and all(isinstance(t, str) for t in topics)):
        raise UserError(f"{where} is not {{code: text, title: text, topics: [text]}}")
    return DomainClass(code=code, title=title, topics=tuple(topics))
