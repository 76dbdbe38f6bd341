"""Is the evidence what the record names, untouched, and made as the rules ask? Hashes throughout.

What is not what it should be fails; what is not there, or made otherwise, tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from s1_core.errors import UserError
from s1_serve.release import record
from s1_serve.release.gates.evidence import Evidence, Judgement, judged
from s1_serve.release.record import short
from s1_serve.release.rules import PARENT, Rules
from s1_serve.release.verdicts import FAIL, INCONCLUSIVE, PASS, Row

_PARENTS = {"data": "s1k", "base": "base", "checkpoint": "checkpoint"}
"""fields of a record, and the names of the same hashes in a model's manifest"""
_SAMPLES = "samples.parquet"


def rows(rules: Rules, candidate: Evidence) -> list[Row]:
    """Hash everything that the record names, and hold the report against record and rules."""
    release = candidate.release
    judges: dict[str, tuple[str, Callable[[], Judgement]]] = {
        "gate config": (release.gates, lambda: _same(rules.sha256, release.gates)),
        "image": ("a digest", lambda: _image(release.image)),
        "model": (release.model, lambda: _model(candidate)),
        "origin": ("the record's hashes and step", lambda: _origin(candidate)),
        "report": (release.report, lambda: _report(candidate)),
        "report's model": (release.model, lambda: _same(_measures(candidate), release.model)),
        "report's samples": ("those that it tells of", lambda: _samples(candidate)),
        "report's gate config": (release.gates, lambda: _same(_made_for(candidate), release.gates)),
        "report's settings": ("as the gate config", lambda: _settings(rules, candidate)),
    }
    return [
        judged(f"integrity: {name}", _brief(wanted), judge)
        for name, (wanted, judge) in judges.items()
    ]


def of_production(serving: Evidence) -> Row:
    """Say whether the report that stands for production is its own, or a newer one of its model.

    If not, that is no fault of the candidate: there is nothing to compare it with.
    """
    release = serving.release

    def judge() -> Judgement:
        measures, found = _measures(serving), serving.measured.artifact.sha256
        if measures != release.model:
            return INCONCLUSIVE, f"of the model {_brief(measures)}"
        if serving.is_measured_again:
            return PASS, f"{_brief(found)}, measured again"
        return (PASS if found == release.report else INCONCLUSIVE), _brief(found)

    wanted = f"{short(release.report)}, of the model {short(release.model)}"
    return judged("integrity: production's report", wanted, judge)


def _same(found: str, wanted: str) -> Judgement:
    return (PASS if found == wanted else FAIL), _brief(found)


def _image(image: str) -> Judgement:
    try:
        record.check_image(image)
    except UserError as error:
        return FAIL, str(error)
    return PASS, _brief(image.rpartition(":")[2])


def _model(candidate: Evidence) -> Judgement:
    return _folder(candidate.model, lambda: candidate.checked_model.sha256, candidate.release.model)


def _report(candidate: Evidence) -> Judgement:
    return _folder(
        candidate.report,
        lambda: candidate.checked_report.artifact.sha256,
        candidate.release.report,
    )


def _folder(path: Path, hashed: Callable[[], str], wanted: str) -> Judgement:
    """Hash a folder; no place of this machine gets into a verdict."""
    if not path.is_dir():
        return INCONCLUSIVE, "not in the store: bring it there, or link it"
    try:
        return _same(hashed(), wanted)
    except UserError as error:
        said = str(error).partition(";")[0].replace(f"{path}/", "").replace(str(path), "the folder")
        return FAIL, said


def _origin(candidate: Evidence) -> Judgement:
    """Compare what the model was made from with what the record says."""
    release, model = candidate.release, candidate.artifact
    said = {name: model.parents.get(parent) for name, parent in _PARENTS.items()}
    found = said | {"step": model.config.get("step")}
    wrong = [
        f"{name} is {_brief(str(value))}, the record says {_brief(str(getattr(release, name)))}"
        for name, value in found.items()
        if value != getattr(release, name)
    ]
    return (FAIL, "; ".join(wrong)) if wrong else (PASS, "the same")


def _measures(one: Evidence) -> str:
    return str((one.measured.facts.get("model") or {}).get("manifest_sha256"))


def _samples(candidate: Evidence) -> Judgement:
    measured = candidate.measured
    lying = {entry["path"]: entry["sha256"] for entry in measured.artifact.files}
    return _same(lying[_SAMPLES], measured.facts["samples"]["sha256"])


def _made_for(candidate: Evidence) -> str:
    """Name the gate config that the report was made for."""
    return str(candidate.measured.artifact.parents.get(PARENT))


def _settings(rules: Rules, candidate: Evidence) -> Judgement:
    """Compare how the report was made with what was fixed before."""
    measured = candidate.measured
    wanted = asdict(rules.evaluation)
    found = {name: measured.artifact.config.get(name) for name in wanted}
    for one in rules.benchmarks:
        told = measured.benchmark(one.name)
        found[f"{one.name}'s questions"] = told["num_questions"]
        wanted[f"{one.name}'s questions"] = one.num_questions
        if one.manifest is not None:
            found[one.name], wanted[one.name] = told["manifest_sha256"], one.manifest
    wrong = [
        f"{name}: {_brief(str(found[name]))}, wanted {_brief(str(value))}"
        for name, value in wanted.items()
        if found[name] != value
    ]
    return (INCONCLUSIVE, "; ".join(wrong)) if wrong else (PASS, "as wanted")


def _brief(text: str) -> str:
    """Shorten a hash as people read it; leave anything else."""
    return short(text) if record.is_hash(text) else text
