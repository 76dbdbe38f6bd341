"""Questions of the hub as an artifact: read once, at the commits that it names.

Written atomically. It is read again only when the revision, the mapping or the options change, or
when its folder was deleted.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from s1_core import artifacts, cli
from s1_core.artifacts import Artifact, Draft
from s1_core.records import Question
from s1_data.sources import source
from s1_data.sources.published import kept
from s1_data.sources.source import Arrange, Source
from s1_data.stages.stage import Stage

ORIGIN = "origin.json"


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A source of the hub, and the folder that its questions are, or will be, in."""

    source: Source
    revision: str | None
    folder: Path
    remedy: str
    """what to do when the hub cannot be reached"""
    take: Arrange = list
    """pure: which of the questions to write, in which order"""
    options: Mapping[str, int | None] = field(default_factory=dict)
    """what shapes `take`"""

    @property
    def identity(self) -> str:
        """Name the content by its hash, before it was read by where it is to come from."""
        return artifacts.load(self.folder).sha256 if self.stage.is_current() else self.origin

    @property
    def origin(self) -> str:
        """Say where the questions come from."""
        return f"{self.source.hub_id}@{self.revision or 'newest'}"

    def ensure(self) -> Artifact:
        """Return the artifact, reading the hub only when there is none; UserError out of reach."""
        if self.stage.is_current():
            return artifacts.load(self.folder)
        return self.stage.ensure(self.write)

    @functools.cached_property
    def stage(self) -> Stage:
        """Identify the artifact by everything that shapes it, the newest commit aside."""
        shape = {
            "source": self.source.name,
            "hub_id": self.source.hub_id,
            "revision": self.revision,
            "variant": self.source.variant,
            "parts": [str(part) for part in self.source.parts],
            **self.options,
        }
        parents = {"mapping": mapping(self.source)}
        return Stage(out=self.folder, kind="questions", config=shape, parents=parents)

    def write(self, draft: Draft) -> str:
        """Read the hub into a draft, with the commits it was read at; say what it holds."""
        from s1_data.sources import hub

        repositories = hub.resolve(self.source, self.revision, self.remedy)
        found = hub.rows(self.source, repositories, self.remedy)
        walked = cli.progress(found, f"collect {self.source.name}")
        questions = self.take(source.converted(self.source, walked))
        draft.write("questions", questions, Question)
        origin = {name: str(repository) for name, repository in repositories.items()}
        draft.write_text(ORIGIN, json.dumps(origin, indent=1) + "\n")
        return f"{len(questions)} questions of {self.source.name}"


def mapping(wanted: Source) -> str:
    """Identify a mapping by its code: what was collected must not outlive the rule for it."""
    digest = hashlib.sha256()
    arrange = getattr(wanted.arrange, "func", wanted.arrange)
    names = (wanted.convert.__module__, arrange.__module__, source.__name__, kept.__name__)
    for name in dict.fromkeys(names):
        file = sys.modules[name].__file__
        assert file is not None, f"{name} has no file"
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()
