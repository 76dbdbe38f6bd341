"""The verbs as typed: attempts, ask and evaluate on a tiny model; what they write, how they end."""

import dataclasses
import json
import subprocess
import sys
import time

import pytest

from s1_core import artifacts
from s1_core.errors import UserError
from s1_core.records import Attempt, Question, question_id
from s1_serve import attempts, client
from s1_serve.config import AskConfig, AttemptsConfig, ServeConfig
from s1_serve.evaluate import __main__ as evaluate
from s1_serve.evaluate.config import EvaluateConfig
from s1_serve.evaluate.samples import Sample

pytestmark = pytest.mark.engine
COMMAND = [sys.executable, "-m", "s1_serve.evaluate"]
SERVE = ServeConfig(kv_cache_gib=0.01, max_num_seqs=64)
SMALL = {
    "budgets": [0, 8],
    "max": 40,
    "extends": [0, 1],
    "control_arms": [""],
    "votes": [1, 2],
    "answer_tokens": 8,
    "workers": 1,
    "serve": SERVE,
}


def write_questions(out, count, **changes):
    rows = []
    for n in range(count):
        text = f"What is {n} plus {n * n}?"
        values = {"id": question_id(text), "question": text, "answer": str(n + n * n)}
        blank = {"solution": None, "cot_type": "math", "source_type": "test", "metadata": "{}"}
        rows.append(Question(**{**values, **blank, **changes}))
    with artifacts.create(out, kind="questions", config={"benchmark": "sums"}) as draft:
        draft.write("questions", rows, Question)
    return out


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    return write_questions(tmp_path_factory.mktemp("bench") / "questions", 10)


@pytest.fixture(scope="module")
def report(engine, model_folder, questions, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluate") / "report"
    evaluate.main(evaluation(model_folder, questions, out, direct_model=str(model_folder)))
    return out


def flags(config):
    """Write a configuration as it would be typed."""
    values = dataclasses.asdict(config)
    values |= {f"serve.{name}": value for name, value in values.pop("serve").items()}
    typed = {name: v if isinstance(v, str) else json.dumps(v) for name, v in values.items()}
    return [f"--{name}={value}" for name, value in typed.items() if value != "null"]


def evaluation(model, questions, out, **changes):
    values = {"model": str(model), "benchmark": str(questions), "out": str(out), **SMALL}
    return EvaluateConfig(**{**values, **changes})


def test_attempts_answer_every_question_and_are_written_once(
    engine, model_folder, questions, tmp_path, capfd
):
    out = tmp_path / "attempts"
    config = AttemptsConfig(
        questions=str(questions), model=str(model_folder), out=str(out), max_tokens=12, serve=SERVE
    )
    attempts.main(config)
    artifact = artifacts.load(out, kind="attempts")
    rows = artifact.read("attempts", Attempt)
    asked = artifacts.load(questions).read("questions", Question)
    assert [row.question_id for row in rows] == [question.id for question in asked]
    assert all(row.num_tokens <= 12 for row in rows)
    attempts.main(config)
    assert "up to date" in capfd.readouterr().err
    assert artifacts.load(out).sha256 == artifact.sha256


def test_a_question_too_long_for_the_context_is_an_empty_attempt(engine, model_folder, tmp_path):
    questions = write_questions(tmp_path / "questions", 1, question="12 " * 600)
    out = tmp_path / "attempts"
    attempts.main(
        AttemptsConfig(questions=str(questions), model=str(model_folder), out=str(out), serve=SERVE)
    )
    (row,) = artifacts.load(out).read("attempts", Attempt)
    assert (row.text, row.num_tokens, row.finish_reason) == ("", 0, "length")


def test_ask_prints_thinking_and_answer_and_then_the_counts(engine, model_folder, capfd):
    client.main(
        AskConfig(
            question="What is 1 + 1?",
            model=str(model_folder),
            budget=30,
            extends=1,
            max_tokens=60,
            serve=SERVE,
        )
    )
    printed, counts = capfd.readouterr()
    assert "Wait" in printed
    assert "thinking tokens (" in counts and "1 extend)" in counts


def test_the_report_says_what_was_run(report, model_folder):
    found = json.loads((report / "report.json").read_text())
    assert found["schema_version"] == 1
    assert found["model"]["manifest_sha256"] == artifacts.load(model_folder).sha256
    assert {"name", "version", "dtype", "device"} == found["engine"].keys()
    wanted = {
        "benchmark", "method", "max", "min", "extends", "extend_with", "seed", "num_questions",
        "samples_per_question", "accuracy", "interval", "mean_thinking_tokens", "control_ok",
        "extraction",
    }  # fmt: skip
    assert all(wanted <= run.keys() for run in found["runs"])
    methods = [(run["method"], run["max"], run["extends"]) for run in found["runs"]]
    assert methods == [
        ("direct", 0, 0), ("budget", 0, 0), ("budget", 8, 0), ("extends", 40, 0),
        ("extends", 40, 1), ("extends", 40, 1), ("majority@1", 40, 0), ("majority@2", 40, 0),
    ]  # fmt: skip
    assert found["metrics"]["control"] == 100.0
    assert found["training"]["slip_rate"] is None


def test_the_samples_keep_every_answer_within_its_budget(report):
    rows = artifacts.load(report, kind="report").read("samples", Sample)
    assert len(rows) == 10 * (1 + 2 + 3 + 2)
    assert all(row.thinking_tokens <= row.max for row in rows)
    assert {row.used_extends for row in rows if row.extends == 0} == {0}
    waited = [row for row in rows if row.used_extends and row.extend_with == "Wait"]
    assert waited and all("Wait" in row.thinking for row in waited)


def test_two_engines_in_one_process_agree(report):
    rows = artifacts.load(report).read("samples", Sample)
    answers = {
        method: [row.answer for row in rows if row.method == method and row.max == 0]
        for method in ("direct", "budget")
    }
    assert answers["direct"] == answers["budget"]


def test_a_finished_report_is_up_to_date_without_torch(report, model_folder, questions):
    argv = flags(evaluation(model_folder, questions, report, direct_model=str(model_folder)))
    code = f"""
import sys
from s1_core import cli
from s1_serve.evaluate.__main__ import EvaluateConfig, main
try:
    cli.run(EvaluateConfig, main, package="serve", argv={argv!r})
finally:
    assert not {{"torch", "vllm", "transformers", "matplotlib"}} & {{*sys.modules}}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("up to date")


def test_finished_settings_are_not_run_again_when_others_join(
    engine, model_folder, questions, tmp_path
):
    out = tmp_path / "report"
    evaluate.main(evaluation(model_folder, questions, out, extends=[0], votes=[]))
    before = written(tmp_path)
    evaluate.main(evaluation(model_folder, questions, out))
    after = written(tmp_path)
    assert len(before) == 3 and len(after) == 6
    assert before.items() <= after.items()


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_with_what_is_finished(
    engine, model_folder, questions, tmp_path
):
    out = tmp_path / "report"
    config = evaluation(model_folder, questions, out, extends=[0, *range(1, 12)], votes=[])
    process = subprocess.Popen([*COMMAND, *flags(config)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while len(written(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    before = written(tmp_path)
    assert before and not out.exists()
    evaluate.main(config)
    assert before.items() <= written(tmp_path).items()
    assert (out / "report.html").is_file()


def written(folder):
    """When each finished setting was written."""
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("cache/report/*.parquet")}


def test_a_budget_that_does_not_fit_is_refused_before_anything_runs(
    model_folder, questions, tmp_path
):
    config = evaluation(model_folder, questions, tmp_path / "r", budgets=[0, 500])
    with pytest.raises(UserError, match=r"budget 500, question .*: a maximum of 500"):
        evaluate.main(config)
    assert not (tmp_path / "r").exists()


def test_questions_without_answers_are_refused(model_folder, tmp_path):
    questions = write_questions(tmp_path / "questions", 2, answer=None)
    with pytest.raises(UserError, match=r"2 questions .* have no answer"):
        evaluate.main(evaluation(model_folder, questions, tmp_path / "r"))
