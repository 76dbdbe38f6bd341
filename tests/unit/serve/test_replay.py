"""`just replay`: JSONL and reports in, curves out, refusals in one line, and real samples."""

import json
import os
from pathlib import Path
from statistics import fmean

import pytest

from s1_core import artifacts, cli
from s1_core.errors import UserError
from s1_serve.evaluate.replay import __main__ as verb
from s1_serve.evaluate.replay import stored
from s1_serve.evaluate.replay.config import ReplayConfig
from unit.serve import fake_report

PROBLEMS = [
    {"problem_num": 0, "gold_answer": "33", "all_answers": [["33", 5], ["7", 2], ["33.0", 9]]},
    {"problem_num": 1, "gold_answer": "1/2", "all_answers": [["0.5", 3], [None, 8], ["2", 8]]},
    {"problem_num": 2, "gold_answer": "4", "all_answers": [["", 1], ["5", 2], ["5", 3]]},
]
REAL = "aime24_Qwen3-14B.jsonl"


def a_file(path: Path, rows=PROBLEMS) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ended(*argv: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.run(ReplayConfig, verb.main, package="serve", argv=[str(word) for word in argv])
    return end.value.code


def replayed(samples: Path, out: Path, *argv: object) -> dict:
    assert ended(samples, "--out", out, *argv) == 0
    return json.loads((out / "replay.json").read_text())


def found(samples: Path, **changes) -> dict:
    """Give the rows by benchmark and method, without a figure."""
    config = ReplayConfig(samples=str(samples), **changes)
    benchmarks = stored.read(samples, config.run, workers=1)
    rows = [row for one in benchmarks for row in verb.rows(one, config)]
    return {(row["benchmark"], row["method"]): row for row in rows}


def accuracies(rows: dict) -> dict:
    return {key: row["accuracy"] for key, row in rows.items()}


def test_a_jsonl_by_hand(tmp_path):
    rules = ("maj@3", "pass@3", "coverage@1", "shortest-1@3", "shortest-3@3", "longest-1@3")
    rows = found(a_file(tmp_path / "s.jsonl"), method=rules)
    assert accuracies(rows) == {
        ("s", "maj@3"): pytest.approx(100 * (1 + 1 / 2 + 0) / 3),
        ("s", "pass@3"): pytest.approx(100 * 2 / 3),
        ("s", "coverage@1"): pytest.approx(100 * (2 / 3 + 1 / 3 + 0) / 3),
        ("s", "shortest-1@3"): pytest.approx(100 * (0 + 1 + 0) / 3),
        ("s", "shortest-3@3"): pytest.approx(100 * (1 + 1 / 2 + 0) / 3),
        ("s", "longest-1@3"): pytest.approx(100 * (1 + 0 + 0) / 3),
    }
    short = rows["s", "shortest-1@3"]
    assert short["mean_sequential_tokens"] == pytest.approx((2 + 3 + 2) / 3)
    assert short["mean_total_tokens"] == pytest.approx((3 * 2 + 3 * 3 + 1 + 2 + 2) / 3)
    assert rows["s", "maj@3"]["mean_sequential_tokens"] == pytest.approx((9 + 8 + 3) / 3)
    for row in rows.values():
        assert row["interval"][0] <= row["accuracy"] <= row["interval"][1]


def test_whole_curves_are_written_with_a_figure_and_only_once(tmp_path, capsys):
    samples, out = a_file(tmp_path / "s.jsonl"), tmp_path / "out"
    replay = replayed(samples, out)
    named = {row["method"] for row in replay["rows"]}
    assert {"maj@1", "maj@2", "maj@3", "pass@3", "shortest-3@3", "longest-1@2"} <= named
    assert "shortest-3@2" not in named
    assert (out / "replay.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / "replay.svg").read_text()
    capsys.readouterr()
    assert replayed(samples, out) == replay
    told = capsys.readouterr().err
    assert "up to date" in told and "maj@3" in told
    assert replayed(samples, out, "--method", "maj@2")["rows"] != replay["rows"]
    assert "up to date" not in capsys.readouterr().err
    assert artifacts.load(out, kind="replay").parents.keys() == {"s.jsonl"}


@pytest.mark.parametrize("order", ["any", "first"])
@pytest.mark.parametrize("num", [1, 2, 3])
def test_few_samples_have_the_lines_that_they_can_have(tmp_path, num, order):
    rows = [row | {"all_answers": row["all_answers"][:num]} for row in PROBLEMS]
    replay = replayed(a_file(tmp_path / "s.jsonl", rows), tmp_path / "out", "--order", order)
    wanted = {"majority", "shortest-1", "longest-1", "adaptive", "auto (low)", "auto (high)"}
    equals = {row["method"] for row in replay["equal"]}
    assert equals >= wanted
    both = [row["method"] for row in replay["rows"]]
    sizes = [int(name.split("@")[1]) for name in both]
    assert max(sizes) == num and ("shortest-3@3" in both) == (num == 3)
    if num < 3:
        assert not {"shortest-3", "longest-3"} & equals


def test_samples_without_lengths_have_curves_but_no_equal_tokens(tmp_path):
    rows = [row | {"all_answers": [[a, 0] for a, _ in row["all_answers"]]} for row in PROBLEMS]
    replay = replayed(a_file(tmp_path / "s.jsonl", rows), tmp_path / "out")
    assert replay["equal"] == [] and replay["rows"]


def test_a_report_has_its_sampled_run_on_each_benchmark(tmp_path):
    answers = {"x": ["1", "0", None], "y": ["0", "1", "1"]}
    rows = [
        *fake_report.samples("3 samples", answers, "one"),
        *fake_report.samples("3 samples", {"z": ["1", "1", "1"]}, "two"),
        *fake_report.samples("none", {"x": ["1"], "y": ["1"]}, "one"),
    ]
    report = fake_report.write(tmp_path / "report", rows)
    wanted = {
        ("one", "maj@3"): 75.0,
        ("one", "pass@1"): 50.0,
        ("two", "maj@3"): 100.0,
        ("two", "pass@1"): 100.0,
    }
    assert accuracies(found(report / "samples.parquet", method=("maj@3", "pass@1"))) == wanted
    replay = replayed(report, tmp_path / "out", "--method", "maj@3,pass@1")
    told = {(row["benchmark"], row["method"]): row["accuracy"] for row in replay["rows"]}
    assert told == wanted
    assert [one["num_questions"] for one in replay["benchmarks"]] == [2, 1]


def test_of_several_sampled_runs_one_is_named(tmp_path):
    rows = [
        *fake_report.samples("2 samples", {"x": ["1", "0"]}),
        *fake_report.samples("3 samples", {"x": ["1", "1", "1"]}),
    ]
    samples = fake_report.write(tmp_path / "report", rows) / "samples.parquet"
    with pytest.raises(UserError, match="--run '2 samples' or '3 samples'"):
        found(samples)
    with pytest.raises(UserError, match="no sampled run '9 samples'"):
        found(samples, run="9 samples")
    assert accuracies(found(samples, run="3 samples", method=("maj@3",))) == {
        ("bench", "maj@3"): 100.0
    }


@pytest.mark.parametrize(
    ("tie", "credit"), [("fractional", 50.0), ("first", 100.0), ("shortest", 0.0)]
)
def test_a_tie_is_decided_as_told(tmp_path, tie, credit):
    rows = [{"problem_num": 0, "gold_answer": "3", "all_answers": [["3", 9], ["4", 2]]}]
    told = found(a_file(tmp_path / "s.jsonl", rows), tie=tie, method=("maj@2",))
    assert accuracies(told) == {("s", "maj@2"): credit}


def test_the_first_k_are_those_of_the_paper(tmp_path):
    rows = found(a_file(tmp_path / "s.jsonl"), order="first", method=("maj@1", "coverage@2"))
    assert rows["s", "maj@1"]["accuracy"] == pytest.approx(100 * 2 / 3)
    assert rows["s", "coverage@2"]["mean_total_tokens"] == pytest.approx((7 + 11 + 3) / 3)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--method", "best@2"], "valid are maj@k, pass@k"),
        (["--method", "maj@4"], "maj@4 wants 4 samples of each question, a question here has 3"),
        (["--method", "maj@2,maj@2"], "give every rule once"),
        (["--tie", "coin"], "fractional, first, shortest"),
        (["--order", "last"], "any, first"),
        (["--run", "8 samples"], "leave out --run"),
    ],
)
def test_unknown_rules_are_one_line(tmp_path, capsys, words, told):
    assert ended(a_file(tmp_path / "s.jsonl"), "--out", tmp_path / "out", *words) == 2
    line = capsys.readouterr().err
    assert told in line and line.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\xff\xfe", "not a text file"),
        (b"[1]\n", "line 1 is of another form"),
        (b'{"problem_num": 0, "gold_answer": "1"}\n', "line 1 is of another form"),
        (b'{"problem_num": 0, "gold_answer": "1", "all_answers": [["1"]]}\n', "another form"),
        (b'{"problem_num": 0, "gold_answer": "1", "all_answers": [["1", 2.5]]}\n', "no count"),
        (b'{"problem_num": 0, "gold_answer": "1", "all_answers": []}\n', "no samples"),
        (json.dumps(PROBLEMS[0]).encode() * 2, "line 1 is of another form"),
        ((json.dumps(PROBLEMS[0]) + "\n").encode() * 2, "line 2: problem_num 0 is there twice"),
    ],
)
def test_files_of_another_form_are_one_line(tmp_path, capsys, content, told):
    (tmp_path / "s.jsonl").write_bytes(content)
    assert ended(tmp_path / "s.jsonl", "--out", tmp_path / "out") == 2
    line = capsys.readouterr().err
    assert told in line and line.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_parquet_or_folder_of_something_else_is_one_line(tmp_path, capsys):
    greedy = fake_report.write(tmp_path / "greedy", fake_report.samples("none", {"x": ["1"]}))
    twice = fake_report.samples("2 samples", {"x": ["1", "0"]})
    doubled = fake_report.write(tmp_path / "doubled", [*twice, twice[0]])
    (tmp_path / "s.parquet").write_bytes(b"PAR1 it is not")
    (tmp_path / "empty").mkdir()
    for path, told in [
        (greedy, "holds one sample a question"),
        (doubled, "a sample of question x twice"),
        (tmp_path / "s.parquet", "holds no samples of an evaluation"),
        (tmp_path / "empty", "not an artifact"),
        (tmp_path / "nothing.jsonl", "no samples at"),
    ]:
        assert ended(path, "--out", tmp_path / "out") == 2
        line = capsys.readouterr().err
        assert told in line and line.count("\n") == 1, line


@pytest.fixture(scope="module")
def real_samples() -> Path:
    if "S1_DATA" not in os.environ:
        pytest.skip("S1_DATA names no folder of real samples")
    return Path(os.environ["S1_DATA"]) / "samples" / REAL


def test_real_samples_agree_with_what_is_told_of_them(real_samples):
    rows = {method: row for (_, method), row in found(real_samples).items()}
    problems = [json.loads(line) for line in real_samples.read_text().splitlines()]
    right = sum(one["majority_answer"] == one["gold_answer"] for one in problems)
    tied = sum(_is_tied(one) for one in problems)
    assert abs(rows["maj@80"]["accuracy"] - 100 * right / 30) <= 100 * tied / 30 + 1e-9
    passed = [row["accuracy"] for name, row in rows.items() if name.startswith("pass@")]
    assert passed == sorted(passed) and len(passed) == 8
    for row in rows.values():
        assert row["interval"][0] <= row["accuracy"] <= row["interval"][1]
        assert row["mean_sequential_tokens"] <= row["mean_total_tokens"]
    texts = [(text, one["gold_answer"]) for one in problems for text, _ in one["all_answers"]]
    mean = fmean(text == gold for text, gold in texts)
    assert rows["maj@1"]["accuracy"] == pytest.approx(100 * mean)
    assert rows["pass@1"]["accuracy"] == pytest.approx(100 * mean)


def _is_tied(problem: dict) -> bool:
    counts = [*problem["answer_counts"].values()]
    return counts.count(max(counts)) > 1
