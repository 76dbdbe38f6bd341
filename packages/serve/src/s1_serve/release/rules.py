"""What a release has to show: infra/releases/gates.yaml, fixed before anything is measured.

Refuses unknown, doubled and missing keys, values of another type, and margins that the number of
questions could never show, in one line each.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from s1_core.errors import UserError, require
from s1_core.metrics import Resampling

if TYPE_CHECKING:
    from pydantic import ValidationError

    from s1_core.artifacts import Artifact
    from s1_serve.release.record import Release
    from s1_serve.release.repository import Repository

PATH = "infra/releases/gates.yaml"
PARENT = "gates"
"""what a report calls the gate config that it was made for, by the hash of its bytes"""
RULES_VERSION = 1


class _Strict:
    """Read by pydantic: no key that is not a field, no value of another type."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True, kw_only=True)
class Evaluation(_Strict):
    """What the report's configuration has to say, as it shapes runs and is not in their names."""

    seed: int
    temperature: float
    max: int
    answer_tokens: int


@dataclass(frozen=True, kw_only=True)
class Benchmark(_Strict):
    """Questions that the report has to have asked."""

    name: str
    num_questions: int
    manifest: str | None = None
    """of the questions artifact; None takes any that both reports share"""


@dataclass(frozen=True, kw_only=True)
class Accuracy(_Strict):
    """A run that must not answer worse, over the questions of one or several benchmarks."""

    benchmarks: tuple[str, ...]
    run: str
    """`Setting.label`"""
    num_samples: int
    """of each question"""
    margin: float
    """how much worse than production it may be, in percentage points"""
    floor: float
    """what it has to be above, whatever production is, in percent"""


@dataclass(frozen=True, kw_only=True)
class Scaling(_Strict):
    """Runs over which more thinking must not help less."""

    benchmarks: tuple[str, ...]
    runs: tuple[str, ...]
    margin: float
    """in percentage points per doubling of the thinking"""
    floor: float


@dataclass(frozen=True, kw_only=True)
class Budgets(_Strict):
    """What the endpoint is asked to keep: every maximum with every count of extends."""

    questions: tuple[str, ...]
    maxima: tuple[int, ...]
    extends: tuple[int, ...]
    answer_tokens: int
    """room behind the thinking"""


@dataclass(frozen=True, kw_only=True)
class Drain(_Strict):
    """The load under which the endpoint is restarted."""

    num_streams: int
    """long ones, open all the time; short requests keep coming beside them"""
    thinking_tokens: int
    """of a long stream"""
    timeout_s: float
    """after which a request that hears nothing is lost"""
    restart_timeout_s: float
    after_s: float
    """how long requests keep coming once the restart has ended"""


@dataclass(frozen=True, kw_only=True)
class Rules(_Strict):
    """The whole file; `sha256` is that of its bytes."""

    schema_version: int
    confidence: float
    """of each one-sided bound"""
    num_resamples: int
    seed: int
    """of the bootstrap"""
    evaluation: Evaluation
    benchmarks: tuple[Benchmark, ...]
    accuracy: tuple[Accuracy, ...]
    scaling: tuple[Scaling, ...]
    control: float
    """percent of the forced runs whose mean thinking keeps its limit"""
    parity: float
    """largest difference of logits between the model folder and its checkpoint"""
    budgets: Budgets
    drain: Drain
    sha256: str = ""

    def __post_init__(self) -> None:
        require(self.schema_version == RULES_VERSION, f"schema_version is not {RULES_VERSION}")
        require(0.5 < self.confidence < 1, f"confidence is {self.confidence}: give 0.5 to 1")
        require(self.num_resamples >= 1000, f"num_resamples is {self.num_resamples}: give 1000")
        require(bool(self.accuracy), "accuracy is empty: a release has to show something")
        require(bool(self.budgets.questions), "budgets.questions is empty: give some to ask")
        require(max(self.budgets.maxima, default=0) > 0, "budgets.maxima: give one above 0")
        require(bool(self.budgets.extends), "budgets.extends is empty: give counts from 0")
        drain = self.drain
        require(drain.num_streams > 0, "drain.num_streams is 0: nothing would be drained")
        require(drain.thinking_tokens > 0, "drain.thinking_tokens is 0: give the streams a length")
        require(bool(self.scaling), "scaling is empty: more thinking has to be shown to help")
        require(self.control == 100, f"control is {self.control:g}: every budget is kept, or none")
        require(0 < self.parity < 1, f"parity is {self.parity:g}: give a difference of logits")
        for one in self.scaling:
            self._check_benchmarks(one.benchmarks)
        for rule in self.accuracy:
            self._check_benchmarks(rule.benchmarks)
            self._check_margin(rule)

    @property
    def resampling(self) -> Resampling:
        return Resampling(self.confidence, self.num_resamples, self.seed)

    def num_questions(self, benchmarks: tuple[str, ...]) -> int:
        """Count the questions of some benchmarks."""
        return sum(one.num_questions for one in self.benchmarks if one.name in benchmarks)

    def _check_benchmarks(self, names: tuple[str, ...]) -> None:
        known = [one.name for one in self.benchmarks]
        require(bool(names), "a rule without benchmarks asks for nothing: name some")
        for name in names:
            require(name in known, f"{name!r} is not among the benchmarks: {', '.join(known)}")

    def _check_margin(self, rule: Accuracy) -> None:
        """Refuse what equal answers to every question could not show (the rule of three)."""
        least = -100.0 * math.log(1 - self.confidence) / self.num_questions(rule.benchmarks)
        require(
            rule.margin > least,
            f"accuracy of {'+'.join(rule.benchmarks)}, {rule.run}: no {rule.margin:g} points can"
            f" be shown by so few questions; give a margin above {least:.2f}, or more questions",
        )


def load(text: str) -> Rules:
    """Read the file's text; any fault in it is a UserError."""
    from pydantic import TypeAdapter, ValidationError

    try:
        content = json.dumps(yaml.load(text, _Loader))
        rules = TypeAdapter(Rules).validate_json(content)
    except ValidationError as error:
        raise UserError(f"{PATH}: {_fault(error)}") from error
    except (yaml.YAMLError, TypeError) as error:
        line = " ".join(str(error).split())
        raise UserError(f"{PATH} is not valid YAML: {line}") from error
    except UserError as error:
        raise UserError(f"{PATH}: {error}") from error
    require(not rules.sha256, f"{PATH}: sha256 is the file's own, not said in it")
    object.__setattr__(rules, "sha256", hashlib.sha256(text.encode()).hexdigest())
    return rules


def current(repository: Repository) -> Rules:
    """Read the rules of the newest commit."""
    text = repository.show(PATH)
    if text is None:
        raise UserError(f"{PATH} is not in the repository: commit what a release has to show")
    return load(text)


def current_sha256(repository: Repository) -> str:
    """Hash the rules of the newest commit, which have to be valid."""
    return current(repository).sha256


def check_report(repository: Repository, report: Artifact) -> None:
    """Refuse a report that was made for other rules than today's, or for none.

    Rules that are written once the numbers are known show nothing.
    """
    wanted, found = current_sha256(repository), report.parents.get(PARENT)
    said = f"was made for another {PATH} than today's" if found else f"was not made for {PATH}"
    require(
        found == wanted,
        f"{report.path} {said}: `just evaluate --config release ...` names it by --gates",
    )


def check_current(repository: Repository, release: Release) -> None:
    """Refuse a release that was measured for other rules than today's."""
    require(
        release.gates == current_sha256(repository),
        f"{PATH} has changed since the release {release.id[:12]} was created: its verdicts are"
        " void; `just release create` again, with a report that the new rules ask for",
    )


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise UserError(f"{twice[0]} stands twice: keep one")
        return super().construct_mapping(node, deep)


def _fault(error: ValidationError) -> str:
    """Say what is wrong first of all: a key misspelt is also one missing."""
    known = {"unexpected_keyword_argument": "is an unknown key", "missing": "is missing"}
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != next(iter(known)))
    place = ".".join(str(part) for part in faults[0]["loc"]) or "the file"
    return f"{place} {known.get(faults[0]['type'], 'is wrong: ' + faults[0]['msg'])}"
