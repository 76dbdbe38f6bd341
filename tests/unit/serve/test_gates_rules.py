"""The gate config is read strictly, and verdicts come back as they were written or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from s1_core.errors import UserError
from s1_serve.evaluate.config import EvaluateConfig
from s1_serve.evaluate.settings import settings
from s1_serve.release import rules, verdicts
from s1_serve.release.verdicts import FAIL, INCONCLUSIVE, PASS, Row, Verdict
from unit.serve.fake_release import RULES

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = (ROOT / rules.PATH).read_text()


def test_the_shipped_rules_are_valid_and_known_by_their_bytes():
    found = rules.load(SHIPPED)
    assert found.sha256 != rules.load(SHIPPED + "# one more word\n").sha256
    assert found.num_questions(("aime24", "aime25")) == 60
    assert found.resampling.confidence == found.confidence == 0.95


def test_the_shipped_evaluation_measures_what_the_shipped_rules_ask_for():
    content = yaml.safe_load((ROOT / "packages/serve/configs/release.yaml").read_text())
    config = EvaluateConfig(model="m", benchmark=("b",), out="o", **content)
    found = rules.load(SHIPPED)
    samples = {setting.label: setting.num_samples for setting in settings(config)}
    for rule in found.accuracy:
        assert samples[rule.run] == rule.num_samples
    assert {run for rule in found.scaling for run in rule.runs} <= samples.keys()
    for name in ("seed", "temperature", "max", "answer_tokens"):
        assert getattr(config, name) == getattr(found.evaluation, name)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("confidence: 0.95", "confidense: 0.95", "confidense is an unknown key"),
        ("confidence: 0.95\n", "", "confidence is missing"),
        ("confidence: 0.95", "confidence: 95", "confidence is 95"),
        ("confidence: 0.95", "confidence: high", "confidence is wrong: Input should be a valid n"),
        ("seed: 0\n", "seed: 0\nseed: 1\n", "seed stands twice"),
        ("seed: 0, temp", "seed: true, temp", "evaluation.seed is wrong"),
        ("run: extends 0,", "runs: extends 0,", "accuracy.0.runs is an unknown key"),
        ("margin: 10.0", "margin: 10.0, margn: 1", "accuracy.0.margn is an unknown key"),
        ("margin: 10.0", "margin: 4.0", "no 4 points can be shown by so few questions"),
        ("[bench], runs", "[bank], runs", "'bank' is not among the benchmarks: bench"),
        ("schema_version: 1", "schema_version: 2", "schema_version is not 1"),
        ("maxima: [0, 12]", "maxima: [0]", "give one above 0"),
        ("control: 100.0", "control: 100.0\nsha256: aa", "not said in it"),
        ("confidence: 0.95", "confidence: [", "is not valid YAML"),
        (RULES, "[]", "the file is wrong"),
    ],
)
def test_any_fault_is_one_line(old, new, said):
    assert old in RULES
    with pytest.raises(UserError) as error:
        rules.load(RULES.replace(old, new, 1))
    assert str(error.value).startswith(rules.PATH) and said in str(error.value)
    assert "\n" not in str(error.value)


def verdict(*ends: str) -> Verdict:
    rows = tuple(Row(f"gate {n}", end, "é 1", "2") for n, end in enumerate(ends))
    return Verdict(release="a" * 64, kind=verdicts.OFFLINE, gates="b" * 64, rows=rows)


@pytest.mark.parametrize(
    ("ends", "wanted"),
    [
        ((PASS, PASS), PASS),
        ((PASS, INCONCLUSIVE), INCONCLUSIVE),
        ((INCONCLUSIVE, FAIL, PASS), FAIL),
        ((), INCONCLUSIVE),
    ],
)
def test_all_gates_are_required(ends, wanted):
    found = verdict(*ends)
    assert found.verdict == wanted
    assert found.failing == [f"gate {n}" for n, end in enumerate(ends) if end != PASS]
    assert verdicts.parse(found.text, found.release, found.kind) == found
    assert found.path == f"infra/releases/{'a' * 64}.offline.json"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"verdict": "fail"', '"verdict": "pass"'),
        ('"verdict": "fail"\n', '"verdict": "good"\n'),
        ('"found": "é 1"', '"found": "é 1", "more": 1'),
        ('"against": null', '"against":  null'),
        ('"gates"', '"gate"'),
        ("a" * 64, "c" * 64),
        ('"offline"', '"staging"'),
        ("{", ""),
    ],
)
def test_an_altered_verdict_is_refused(old, new):
    found = verdict(PASS, FAIL)
    assert old in found.text
    with pytest.raises(UserError, match=r"offline|ends in"):
        verdicts.parse(found.text.replace(old, new, 1), found.release, found.kind)
