"""The offline gates, in the order in which a reader wants them."""

from __future__ import annotations

from s1_serve.evaluate.compare import paired
from s1_serve.release.gates import accuracy, control, integrity, parity, scaling
from s1_serve.release.gates.evidence import Evidence, Judgement, judged
from s1_serve.release.rules import Rules
from s1_serve.release.verdicts import INCONCLUSIVE, PASS, Row

_NO_MATTER = ("tie",)
"""settings that shape votes alone; the gates count samples"""


def rows(rules: Rules, candidate: Evidence, production: Evidence | None) -> list[Row]:
    """Judge a release by its evidence, and against what production serves if it serves anything.

    Nothing is raised: what is missing, altered or cannot be compared is a row that does not pass.
    """
    found = [*integrity.rows(rules, candidate), parity.row(rules, candidate)]
    found += [control.row(rules, one.name, candidate) for one in rules.benchmarks]
    found += [accuracy.floor(rules, rule, candidate) for rule in rules.accuracy]
    found += [scaling.floor(rules, rule, candidate) for rule in rules.scaling]
    if production is None:
        return found
    bases = [integrity.of_production(production), _comparable(rules, candidate, production)]
    if any(row.verdict != PASS for row in bases):
        return found + bases  # a difference would be one of engines or questions, or of nobody's
    found += bases
    found += [accuracy.against(rules, rule, candidate, production) for rule in rules.accuracy]
    return found + [scaling.against(rules, rule, candidate, production) for rule in rules.scaling]


def _comparable(rules: Rules, candidate: Evidence, production: Evidence) -> Row:
    """Say whether both reports were measured alike: engine, questions, settings, judge."""

    def judge() -> Judgement:
        ours, theirs = (_origin(rules, one) for one in (candidate, production))
        found = [
            f"{name} is {value}, production's {other}"
            for name, value, other in paired.differing(ours, theirs)
        ]
        return (INCONCLUSIVE, "; ".join(found)) if found else (PASS, "the same")

    wanted = "engine, questions and settings of production's report"
    return judged("comparable with production", wanted, judge)


def _origin(rules: Rules, one: Evidence) -> dict[str, object]:
    origin = one.measured.origin
    asked = {benchmark.name for benchmark in rules.benchmarks}
    benchmarks = {name: sha for name, sha in origin["benchmark"].items() if name in asked}
    kept = {name: value for name, value in origin.items() if name not in _NO_MATTER}
    return kept | {"benchmark": benchmarks}
