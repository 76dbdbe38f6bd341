"""What the gates judge: a release's record, and the model and the report that it names.

Every file is hashed before anything in it is believed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from s1_core import artifacts
from s1_core.artifacts import Artifact
from s1_core.errors import S1Error, UserError
from s1_serve.evaluate.compare import paired
from s1_serve.evaluate.report.assembly import REPORT_VERSION
from s1_serve.evaluate.samples import Sample, is_enforced
from s1_serve.release.record import Release
from s1_serve.release.rules import Rules
from s1_serve.release.verdicts import INCONCLUSIVE, Row

Groups = Mapping[str, Sequence[Sample]]
"""the samples of each question"""
Judgement = tuple[str, str]
"""a verdict, and what was found"""
FAULTS = (S1Error, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError)


class Lacking(UserError):
    """Evidence that is not there, or not of what is asked: nothing can be told from it."""


@dataclass(frozen=True)
class Evidence:
    """A release and where its folders lie."""

    release: Release
    model: Path
    report: Path
    is_measured_again: bool = False
    """the report is a newer one of the same model, as after another engine; production's only"""

    @cached_property
    def checked_model(self) -> Artifact:
        """Hash the model; a missing or altered one is a UserError."""
        return artifacts.load(self.model, kind="model")

    @cached_property
    def checked_report(self) -> Measured:
        """Hash and read the report; a missing or altered one is a UserError."""
        return read(self.report)

    @property
    def artifact(self) -> Artifact:
        """Give the model; what is wrong with it is for the integrity gates to say."""
        try:
            return self.checked_model
        except UserError as error:
            raise Lacking("the model cannot be read: see the integrity gates") from error

    @property
    def measured(self) -> Measured:
        """Give the report; what is wrong with it is for the integrity gates to say."""
        try:
            return self.checked_report
        except UserError as error:
            raise Lacking("the report cannot be read: see the integrity gates") from error


@dataclass(frozen=True)
class Measured:
    """A report: what it says of itself, and every sample."""

    artifact: Artifact
    facts: Mapping[str, Any]
    runs: Mapping[paired.Key, Groups]

    @property
    def origin(self) -> dict[str, Any]:
        return paired.origin(self.facts, self.artifact.config)

    def benchmark(self, name: str) -> Mapping[str, Any]:
        """Give what the report says of a benchmark."""
        listed = {one["name"]: one for one in self.facts["benchmarks"]}
        if name not in listed:
            raise Lacking(f"the report did not ask {name}, but {', '.join(listed)}")
        return dict(listed[name])

    def samples(self, benchmark: str, run: str) -> Groups:
        """Give a run's samples, all of which kept their budget."""
        found = self.runs.get((benchmark, run))
        if found is None:
            known = ", ".join(name for asked, name in self.runs if asked == benchmark) or "none"
            raise Lacking(f"no run {run!r} on {benchmark}; the report has {known}")
        kept = is_enforced(flat(found))
        if not kept:
            why = "cannot be checked" if kept is None else "were not kept"
            raise Lacking(f"{benchmark}, {run}: budgets {why}")
        return found

    def asked(self, rules: Rules, benchmarks: Iterable[str], run: str, num_samples: int) -> Groups:
        """Join a run's samples over benchmarks, as many of each question as the rules ask for."""
        joined: dict[str, Sequence[Sample]] = {}
        for name in benchmarks:
            groups = self.samples(name, run)
            wanted = rules.num_questions((name,))
            if len(groups) != wanted:
                raise Lacking(f"{name}, {run}: {len(groups)} questions, wanted {wanted}")
            counts = {len(group) for group in groups.values()}
            if counts != {num_samples}:
                found = " and ".join(map(str, sorted(counts)))
                raise Lacking(f"{name}, {run}: {found} samples a question, wanted {num_samples}")
            joined |= {f"{name} {question}": group for question, group in groups.items()}
        return joined


def read(path: Path) -> Measured:
    """Open a report; a missing or altered one, or one of another schema, is a UserError."""
    artifact = artifacts.load(path, kind="report")
    if "report.json" not in {entry["path"] for entry in artifact.files}:
        raise UserError("its manifest names no report.json: evaluate again")
    facts = json.loads((path / "report.json").read_text())
    if facts.get("schema_version") != REPORT_VERSION:
        raise UserError(f"the report is not of schema {REPORT_VERSION}: evaluate again")
    return Measured(artifact, facts, paired.grouped(artifact.read("samples", Sample)))


def flat(groups: Groups) -> list[Sample]:
    """List the samples of all questions."""
    return [sample for group in groups.values() for sample in group]


def judged(gate: str, wanted: str, judge: Callable[[], Judgement]) -> Row:
    """Judge; what cannot be read or is not there leaves the gate without a verdict."""
    try:
        verdict, found = judge()
    except FAULTS as error:
        said = str(error) if isinstance(error, S1Error) else f"{type(error).__name__}: {error}"
        verdict, found = INCONCLUSIVE, " ".join(said.split())
    return Row(gate, verdict, found, wanted)
