"""The offline gates on made-up releases: what passes, fails, cannot be told, or was altered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from s1_core.parity import Parity
from s1_serve.release import verdicts
from s1_serve.release.gates import offline
from s1_serve.release.gates.evidence import Evidence
from s1_serve.release.verdicts import FAIL, INCONCLUSIVE, PASS
from unit.serve import fake_report
from unit.serve.fake_release import PARITY, Maker, budgeted, right, rules, runs, sampled

ACCURACY, SAMPLES = "accuracy: bench, extends 0", "accuracy: bench, samples"
SCALING, CONTROL = "scaling: bench, 3 runs", "control: bench"
COMPARABLE, THEIRS = "comparable with production", "integrity: production's report"


@pytest.fixture
def make(tmp_path):
    def making(name: str = "candidate", **said) -> Evidence:
        changed = said.pop("changed", lambda release: release)
        return Maker(tmp_path / name, **said).evidence(changed)

    return making


def judged(candidate: Evidence, production: Evidence | None = None) -> dict[str, verdicts.Row]:
    found = offline.rows(rules(), candidate, production)
    assert len({row.gate for row in found}) == len(found)
    return {row.gate: row for row in found}


def against(make, **said) -> dict[str, verdicts.Row]:
    """Judge a candidate against a production that has 45 of 60 right everywhere."""
    return judged(make(**said), make("production", weights="older"))


def ends(rows: dict[str, verdicts.Row]) -> dict[str, str]:
    """Give what does not pass."""
    return {gate: row.verdict for gate, row in rows.items() if row.verdict != PASS}


def test_a_first_release_meets_the_floors(make):
    rows = judged(make())
    assert ends(rows) == {} and verdicts.overall(list(rows.values())) == PASS
    assert not any(gate.startswith("accuracy") for gate in rows)
    floor = rows["floor: bench, extends 0"]
    assert floor.found.startswith("75.00 (bounds 6") and floor.wanted == "above 30 %"


@pytest.mark.parametrize(("num", "verdict"), [(12, FAIL), (20, INCONCLUSIVE), (30, PASS)])
def test_a_floor_is_met_missed_or_near(make, num, verdict):
    rows = judged(make(samples=runs(greedy=num)))
    assert rows["floor: bench, extends 0"].verdict == verdict


def test_equal_answers_are_no_worse(make):
    rows = against(make)
    assert ends(rows) == {}
    assert rows[ACCURACY].found.endswith("; 0 questions gained, 0 lost of 60")
    assert rows[ACCURACY].found.startswith("+0.00 (bounds -4.92, +4.92)")
    assert rows[ACCURACY].wanted == "above -10 points"


@pytest.mark.parametrize(
    ("greedy", "verdict"), [(60, PASS), (46, PASS), (44, PASS), (41, INCONCLUSIVE), (30, FAIL)]
)
def test_accuracy_is_held_against_production(make, greedy, verdict):
    rows = against(make, samples=runs(greedy=greedy))
    assert rows[ACCURACY].verdict == verdict
    assert ends(rows) == ({} if verdict == PASS else {ACCURACY: verdict})


def test_samples_of_a_question_are_one_observation(make):
    """Of 60 questions, 4 samples each: 18 lost whole are a loss, 4 of 240 samples are none."""
    rows = against(make, samples=runs(of_samples=27))
    assert rows[SAMPLES].verdict == FAIL
    assert rows[SAMPLES].found.startswith("-22.50") and "18 lost of 60" in rows[SAMPLES].found
    few = [replace(s, is_correct=s.is_correct and not (s.sample == 1 and s.question_id < "q04"))
           for s in sampled(45)]  # fmt: skip
    rows = against(make, samples=[s for s in runs() if s.run != "samples"] + few)
    assert rows[SAMPLES].verdict == PASS and rows[SAMPLES].found.startswith("-1.67")


@pytest.mark.parametrize(
    ("by_budget", "verdict"), [((15, 30, 45), PASS), ((12, 30, 42), PASS), ((45, 45, 45), FAIL)]
)
def test_scaling_is_held_against_production(make, by_budget, verdict):
    rows = against(make, samples=runs(by_budget=by_budget))
    assert rows[SCALING].verdict == verdict, rows[SCALING]
    floor = rows["scaling floor: bench, 3 runs"]
    assert floor.verdict == (PASS if verdict == PASS else INCONCLUSIVE)


def test_thinking_that_harms_fails_the_floor_of_scaling(make):
    rows = judged(make(samples=runs(by_budget=(50, 30, 10))))
    assert ends(rows) == {"scaling floor: bench, 3 runs": FAIL}


def test_runs_of_one_length_have_no_slope(make):
    same = [replace(s, thinking_tokens=8) for m, n in ((8, 15), (16, 30), (32, 45))
            for s in budgeted(m, n)]  # fmt: skip
    kept = [s for s in runs() if not s.run.startswith("budget")]
    rows = judged(make(samples=kept + [replace(s, end="natural") for s in same]))
    assert rows["scaling floor: bench, 3 runs"].verdict == INCONCLUSIVE
    assert "there is no slope" in rows["scaling floor: bench, 3 runs"].found


@pytest.mark.parametrize(
    ("fields", "verdict", "said"),
    [
        ({"thinking_tokens": 17}, FAIL, "not kept: budget 16"),
        ({"is_kept": False}, FAIL, "not kept: budget 16"),
        ({"thinking_tokens": None}, INCONCLUSIVE, "not checked: budget 16"),
    ],
)
def test_one_budget_that_is_not_kept_fails_and_one_not_counted_tells_nothing(
    make, fields, verdict, said
):
    broken = [replace(s, **fields) if s.run == "budget 16" and s.question_id == "q07" else s
              for s in runs()]  # fmt: skip
    rows = judged(make(samples=broken))
    assert rows[CONTROL].verdict == verdict and rows[CONTROL].found.startswith(said)
    assert rows["scaling floor: bench, 3 runs"].verdict == INCONCLUSIVE


def test_a_report_without_budgets_does_not_show_control(make):
    rows = judged(make(samples=[s for s in runs() if not s.run.startswith("budget")]))
    assert rows[CONTROL].verdict == INCONCLUSIVE
    assert "no run of bench has a budget" in rows[CONTROL].found


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (runs()[60:], "no run 'extends 0' on bench; the report has budget 8"),
        (fake_report.samples("extends 0", dict(list(right(45).items())[:40])), "40 questions"),
        ([replace(s, run="extends 0") for s in sampled(45)], "4 samples a question, wanted 1"),
    ],
)
def test_a_run_that_is_not_what_the_rules_ask_for_tells_nothing(make, samples, said):
    kept = [s for s in runs() if s.run != "extends 0"]
    rows = judged(make(samples=kept + [s for s in samples if s.run == "extends 0"]))
    assert rows["floor: bench, extends 0"].verdict == INCONCLUSIVE
    assert said in rows["floor: bench, extends 0"].found


def test_parity_is_what_the_export_left(make):
    def parity(name: str, said: Parity | None) -> verdicts.Row:
        return judged(make(name, parity=said))["export parity"]

    assert parity("good", PARITY).verdict == PASS
    assert parity("far", replace(PARITY, max_difference=2e-4)).verdict == FAIL
    assert parity("nan", replace(PARITY, max_difference=float("nan"))).verdict == FAIL
    assert parity("nothing", replace(PARITY, num_tokens=0)).verdict == FAIL
    none = parity("none", None)
    assert (none.verdict, none.found) == (FAIL, "the model holds no parity.json: export it again")


@pytest.mark.parametrize(
    ("file", "gates"),
    [
        ("model/model.safetensors", {"integrity: model": FAIL, "integrity: origin": INCONCLUSIVE}),
        ("report/samples.parquet", {"integrity: report": FAIL, CONTROL: INCONCLUSIVE}),
        ("report/report.json", {"integrity: report": FAIL, ACCURACY: None}),
        ("model/manifest.json", {"integrity: model": FAIL, "export parity": INCONCLUSIVE}),
    ],
)
def test_one_altered_byte_is_seen(make, file, gates):
    candidate = make()
    path = candidate.model.parent / file
    content = path.read_bytes()
    path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    rows = judged(candidate)
    for gate, verdict in gates.items():
        assert (rows[gate].verdict if gate in rows else None) == verdict
    assert verdicts.overall(list(rows.values())) == FAIL
    assert str(path.parent) not in str(rows), "a verdict names no place of this machine"


@pytest.mark.parametrize("folder", ["model", "report"])
def test_evidence_that_is_not_there_tells_nothing(make, folder):
    candidate = make()
    candidate = replace(candidate, **{folder: Path("/nowhere") / folder})
    rows = judged(candidate)
    assert rows[f"integrity: {folder}"].verdict == INCONCLUSIVE
    assert verdicts.overall(list(rows.values())) == INCONCLUSIVE


@pytest.mark.parametrize(
    ("field", "gate"),
    [
        ("gates", "gate config"),
        ("model", "model"),
        ("report", "report"),
        ("model", "report's model"),
        ("data", "origin"),
        ("base", "origin"),
        ("checkpoint", "origin"),
        ("gates", "report's gate config"),
    ],
)
def test_a_record_of_another_hash_fails(make, field, gate):
    candidate = make(changed=lambda release: replace(release, **{field: "9" * 64}))
    row = judged(candidate)[f"integrity: {gate}"]
    assert row.verdict == FAIL and "999999999999" in row.found + row.wanted


def test_a_record_of_another_step_fails(make):
    row = judged(make(changed=lambda release: replace(release, step=41)))["integrity: origin"]
    assert (row.verdict, row.found) == (FAIL, "step is 40, the record says 41")


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"evaluation": {"seed": 1, "temperature": 0.7, "max": 64}}, "seed: 1, wanted 0"),
        ({"evaluation": {"seed": 0, "temperature": 1.0, "max": 64}}, "temperature: 1.0, wanted"),
        ({"report": {"benchmarks": [{"name": "other", "num_questions": 60}]}}, "did not ask bench"),
        ({"report": {"benchmarks": [{"name": "bench", "num_questions": 50}]}}, "50, wanted 60"),
        ({"report": {"benchmarks": None}}, "TypeError"),
        ({"report": {"model": None}}, None),
        ({"report": {"schema_version": 1}}, "cannot be read"),
    ],
)
def test_a_report_made_otherwise_is_no_pass(make, said, found):
    rows = judged(make(**said))
    assert verdicts.overall(list(rows.values())) != PASS
    if found:
        row = rows["integrity: report's settings"]
        assert row.verdict == INCONCLUSIVE and found in row.found


def test_a_benchmark_may_be_pinned_to_its_questions(make):
    candidate, hashes = make(), ("a" * 64, "8" * 64)
    found = [
        offline.rows(rules(**{"60}]": f"60, manifest: '{sha}'}}]"}), candidate, None)
        for sha in hashes
    ]
    rows = [{row.gate: row for row in each}["integrity: report's settings"] for each in found]
    assert [row.verdict for row in rows] == [PASS, INCONCLUSIVE]


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (
            {"report": {"engine": {"name": "vllm", "version": "2", "dtype": "float32"}}},
            "engine version is 1, production's 2; engine device is cpu, production's None",
        ),
        (
            {"report": {"engine": {"name": "vllm", "version": "1", "dtype": "x", "device": "cpu"}}},
            "engine dtype is float32, production's x",
        ),
        ({"evaluation": {"seed": 3, "temperature": 0.7, "max": 64}}, "seed is 0, production's 3"),
        ({"report": {"benchmarks": [{"name": "bench", "manifest_sha256": "7" * 64}]}}, "777777"),
        ({"report": {"judge": {"model": "j"}}}, "judge is None, production's j"),
    ],
)
def test_reports_measured_otherwise_are_not_compared(make, theirs, said):
    rows = judged(make(samples=runs(greedy=20)), make("production", **theirs))
    assert rows[COMPARABLE].verdict == INCONCLUSIVE and said in rows[COMPARABLE].found
    assert ACCURACY not in rows and SCALING not in rows


def test_other_questions_are_not_compared(make):
    renamed = [replace(s, question_id="x" + s.question_id) for s in runs()]
    rows = judged(make(samples=renamed), make("production"))
    assert {rows[gate].verdict for gate in (ACCURACY, SAMPLES, SCALING)} == {INCONCLUSIVE}
    assert "60 only in the candidate's report, 60 only in" in rows[ACCURACY].found


def test_production_stands_for_itself_or_there_is_nothing_to_compare(make):
    candidate, production = make(), make("production", weights="older")
    stranger = replace(production, release=replace(production.release, model="9" * 64))
    assert ends(judged(candidate, stranger)) == {THEIRS: INCONCLUSIVE}
    again = replace(production, release=replace(production.release, report="9" * 64))
    assert ends(judged(candidate, again)) == {THEIRS: INCONCLUSIVE}
    rows = judged(candidate, replace(again, is_measured_again=True))
    assert ends(rows) == {} and rows[THEIRS].found.endswith("measured again")
    (production.report / "samples.parquet").write_bytes(b"")
    altered = Evidence(production.release, production.model, production.report)
    assert judged(candidate, altered)[THEIRS].verdict == INCONCLUSIVE


def test_the_same_evidence_gives_the_same_rows(make):
    candidate, production = make(), make("production", weights="older")
    first = offline.rows(rules(), candidate, production)
    fresh = [Evidence(one.release, one.model, one.report) for one in (candidate, production)]
    assert offline.rows(rules(), *fresh) == first
