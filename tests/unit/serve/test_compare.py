"""`just compare`: verdicts on made-up reports, what is warned of, and what is refused."""

import json
from pathlib import Path

import pytest

from s1_core import artifacts, cli
from s1_core.config_parser import parse
from s1_core.errors import UserError
from s1_serve.evaluate.compare import __main__ as verb
from s1_serve.evaluate.compare import paired
from s1_serve.evaluate.compare.config import CompareConfig
from unit.serve import fake_report

QUESTIONS = [f"q{n}" for n in range(40)]


def right(num, run="none", benchmark="bench"):
    """A greedy run that is right on the first `num` questions."""
    answers = {name: ["1" if n < num else "0"] for n, name in enumerate(QUESTIONS)}
    return fake_report.samples(run, answers, benchmark)


def compared(a: Path, b: Path):
    return paired.compared(paired.read(a), paired.read(b), seed=0)


def ended(*argv: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.run(CompareConfig, verb.main, package="serve", argv=argv)
    return end.value.code


@pytest.mark.parametrize(
    ("before", "after", "verdict", "flips"),
    [
        (10, 30, "better", (20, 0)),
        (30, 10, "worse", (0, 20)),
        (20, 21, "not distinguishable", (1, 0)),
        (20, 25, "not distinguishable", (5, 0)),
        (20, 26, "better", (6, 0)),
        (20, 20, "not distinguishable", (0, 0)),
    ],
)
def test_verdicts(tmp_path, before, after, verdict, flips):
    a, b = (
        fake_report.write(tmp_path / str(n), right(num)) for n, num in enumerate((before, after))
    )
    (row,) = compared(a, b)
    assert (row["verdict"], (row["gained"], row["lost"])) == (verdict, flips)
    assert (row["accuracy_a"], row["accuracy_b"]) == (before * 2.5, after * 2.5)
    assert row["difference"]["mean"] == pytest.approx((after - before) * 2.5)
    assert row["difference"]["lo"] <= row["difference"]["mean"] <= row["difference"]["hi"]


def test_questions_are_paired_by_id_not_by_place(tmp_path):
    a = fake_report.write(tmp_path / "a", right(10))
    b = fake_report.write(tmp_path / "b", right(10)[::-1])
    (row,) = compared(a, b)
    assert row["difference"] == {"mean": 0.0, "lo": 0.0, "hi": 0.0}


def test_samples_count_by_their_mean_and_by_the_sizes_of_vote(tmp_path):
    a = fake_report.samples("3 samples", {"x": ["1", "0", "0"], "y": ["1", "1", "0"]})
    b = fake_report.samples("3 samples", {"x": ["1", "1", "0"], "y": ["0", "2", "1"]})
    paths = [
        fake_report.write(tmp_path / name, rows, votes=(1, 2, 3))
        for name, rows in (("a", a), ("b", b))
    ]
    rows = {row["run"]: (row["accuracy_a"], row["accuracy_b"]) for row in compared(*paths)}
    assert rows == {
        "3 samples": (pytest.approx(50), pytest.approx(50)),
        "majority@1": (100, 50),
        "majority@2": (75, 50),
        "majority@3": (50, pytest.approx(100 * (1 + 1 / 3) / 2)),
    }


def test_what_only_one_has_what_differs_and_what_chance_would_show(tmp_path):
    a = fake_report.write(tmp_path / "a", right(10) + right(10, "budget 8"))
    engine = {"name": "vllm", "version": "1", "dtype": "bfloat16", "device": "cpu"}
    b = fake_report.write(
        tmp_path / "b",
        right(30) + right(10, "budget 16"),
        engine=engine,
        benchmarks=[{"name": "bench", "manifest_sha256": "b" * 64}],
    )
    one, other = paired.read(a), paired.read(b)
    lines = paired.remarks(one, other, paired.compared(one, other, 0))
    assert lines == [
        "only in a: bench: budget 8; only in b: bench: budget 16",
        "warning: engine dtype differs: float32 in a, bfloat16 in b",
        "warning: benchmark bench differs: aaaaaaaaaaaa in a, bbbbbbbbbbbb in b",
        "1 comparison, 1 distinguishable; if nothing differed, at most 0.1 would still be, by "
        "chance (5 % each)",
    ]


def test_a_benchmark_that_one_report_lacks_is_named_without_its_runs(tmp_path):
    both = right(10) + right(12, "budget 8")
    a = fake_report.write(tmp_path / "a", both + right(10, benchmark="heldout"))
    b = fake_report.write(tmp_path / "b", both[:40] + right(10, benchmark="math500"))
    one, other = paired.read(a), paired.read(b)
    assert paired.remarks(one, other, paired.compared(one, other, 0))[:2] == [
        "only in a: heldout; only in b: math500",
        "only in a: bench: budget 8",
    ]


def test_what_the_verdicts_say_is_what_is_counted(tmp_path):
    """Four flips of one kind leave 0 out of the interval, and are still no verdict."""
    a, b = (fake_report.write(tmp_path / str(n), right(n)) for n in (20, 24))
    one, other = paired.read(a), paired.read(b)
    (row,) = rows = paired.compared(one, other, 0)
    assert row["difference"]["lo"] > 0 and row["verdict"] == "not distinguishable"
    assert "1 comparison, 0 distinguishable" in paired.remarks(one, other, rows)[-1]


def test_a_verdict_stays_on_its_line_in_a_narrow_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    run = "extends 6 'Alternatively'"
    a, b = (fake_report.write(tmp_path / str(n), right(n, run)) for n in (20, 21))
    assert ended(str(a), str(b)) == 0
    (line,) = (line for line in capsys.readouterr().err.splitlines() if run in line)
    assert line.rstrip().endswith("not distinguishable")


def test_a_run_without_a_score_is_not_compared(tmp_path):
    rows = right(10) + right(20, "budget 8")
    a = fake_report.write(tmp_path / "a", rows)
    unscored = [
        {"benchmark": "bench", "method": "none", "run": "none", "accuracy": 25.0},
        {"benchmark": "bench", "method": "budget", "run": "budget 8", "accuracy": None},
    ]
    b = fake_report.write(tmp_path / "b", rows, runs=unscored)
    assert [row["run"] for row in compared(a, b)] == ["none"]


def test_json_is_alone_on_stdout_and_a_loss_is_no_failure(tmp_path, capsys):
    a, b = (fake_report.write(tmp_path / n, right(num)) for n, num in (("a", 30), ("b", 10)))
    assert ended("--json", str(a), str(b)) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["verdict"] == "worse"
    assert ended(str(a), str(b)) == 0
    assert capsys.readouterr().out == ""


def test_what_cannot_be_compared_is_one_line(tmp_path, capsys):
    a = fake_report.write(tmp_path / "a", right(10))
    old = fake_report.write(tmp_path / "old", right(10), schema_version=1)
    other = fake_report.write(tmp_path / "other", right(10, "budget 8"))
    elsewhere = fake_report.write(tmp_path / "elsewhere", right(10, benchmark="math500"))
    fewer = fake_report.write(tmp_path / "fewer", right(10)[:30])
    with artifacts.create(tmp_path / "model", kind="model", config={}):
        pass
    for path, words in [
        (old, ["schema 1", "compares 4"]),
        (other, ["no run in common", "in a: bench: none", "in b: bench: budget 8"]),
        (elsewhere, ["no run in common: only in a: bench; only in b: math500"]),
        (fewer, ["bench asks other questions", "10 only in a", "0 only in b"]),
        (tmp_path / "model", ["'model'", "wanted 'report'"]),
        (tmp_path / "nothing", ["no artifact at"]),
    ]:
        assert ended(str(a), str(path)) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and all(word in told for word in words), told


def test_two_reports_are_wanted():
    with pytest.raises(UserError, match="report_b"):
        parse(CompareConfig, ["a"], "serve")
