"""Strategies in `just evaluate` on a real engine, killed and gone on, and at our service."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from factories import sums
from integration.serve.test_evaluate import COMMAND, evaluation, flags, journals, num_kept, read
from s1_serve.config import ServeConfig
from s1_serve.endpoint import Endpoint
from s1_serve.evaluate import __main__ as evaluate
from s1_serve.evaluate.calibrate import __main__ as calibrate
from s1_serve.evaluate.config import EvaluateConfig
from s1_serve.strategies import calibration

pytestmark = pytest.mark.engine
SPECS = (
    "majority:n=3", "shortest:k=1,n=3", "adaptive:n_max=4,batch=1", "weighted:n=3",
    "self-refine:rounds=1", "best-of-n:n=2", "auto:n=2",
)  # fmt: skip
FEW = {
    "methods": ("majority",), "votes": [3], "strategies": SPECS, "max": 24, "answer_tokens": 8,
    "workers": 1, "serve": ServeConfig(kv_cache_gib=0.05, max_num_seqs=64),
}  # fmt: skip


@pytest.fixture(scope="module")
def roomy(tmp_path_factory):
    """A model in whose context a judge's prompt has room."""
    from integration.serve import tiny

    pytest.importorskip("vllm")
    return tiny.build(tmp_path_factory.mktemp("model") / "m", max_position_embeddings=2048)


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    return sums(tmp_path_factory.mktemp("bench") / "sums", 6)


def run(config):
    done = subprocess.run([*COMMAND, *flags(config)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def report(roomy, questions, tmp_path_factory):
    out = tmp_path_factory.mktemp("strategies") / "report"
    run(evaluation(roomy, questions, out, **FEW))
    return out


def test_every_strategy_has_a_row_of_what_it_cost(report):
    found, rows = read(report)
    assert [row["run"] for row in found["strategies"]] == list(SPECS)
    for row in found["strategies"]:
        assert 0 < row["mean_sequential_tokens"] <= row["mean_total_tokens"]
        assert row["accuracy"] is not None and len(row["interval"]) == 2
    by_run = {row["run"]: row for row in found["strategies"]}
    assert by_run["shortest:k=1,n=3"]["mean_aborted_tokens"] > 0
    assert by_run["majority:n=3"]["equal_total"] is None
    held = by_run["best-of-n:n=2"]["equal_total"]
    assert held["beyond"] or held["difference"], "judged, so it costs more than two samples"
    assert by_run["best-of-n:n=2"]["mean_verifier_tokens"] > 0
    assert by_run["majority:n=3"]["mean_samples"] == 3
    mine = [row for row in rows if row.strategy]
    assert len(mine) == 6 * len(SPECS) and all(row.thinking_tokens <= 24 for row in mine)
    assert all(json.loads(row.decision)["selected"] is not None for row in mine)
    weighed = [row for row in mine if row.strategy == "weighted:n=3"]
    voting = [row for row in rows if row.run == "samples"]
    assert len(weighed) == 6 and len(voting) == 18
    assert all(row.mean_logprob < 0 for row in weighed + voting)
    assert (report / "strategies.png").is_file()


@pytest.mark.slow
def test_a_killed_run_of_strategies_goes_on_where_it_was(roomy, questions, report, tmp_path):
    out = tmp_path / "report"
    config = evaluation(roomy, questions, out, **FEW)
    process = subprocess.Popen([*COMMAND, *flags(config)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while num_kept(tmp_path) < 6 * 3 + 6 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    begun = journals(tmp_path)
    assert not out.exists() and sum(len(whole.splitlines()) for whole in begun.values()) >= 20
    run(config)
    after = journals(tmp_path)
    assert all(after[name].startswith(whole[: whole.rfind(b"\n") + 1])
               for name, whole in begun.items())  # fmt: skip
    _, rows = read(out)
    assert [(row.run, row.question_id) for row in rows] == [
        (row.run, row.question_id) for row in read(report)[1]
    ]


@pytest.mark.multiprocess
def test_our_service_runs_the_strategies_that_it_is_asked_for(service, questions, tmp_path):
    config = EvaluateConfig(
        endpoint=service.url, benchmark=(str(questions),), out=str(tmp_path / "report"),
        concurrency=4, **{**FEW, "strategies": SPECS[:3]},
    )  # fmt: skip
    card = Endpoint(service.url).tts
    assert len(card["identity"]) == 64 and card["timeout_s"] == 3600
    evaluate.main(config)
    found, rows = read(tmp_path / "report")
    assert card["identity"] in (tmp_path / "report/manifest.json").read_text()
    mine = [row for row in rows if row.strategy]
    assert len(mine) == 18 and {row.num_started for row in mine if "n=3" in row.strategy} == {3}
    assert all(row.sequential_tokens <= row.total_tokens for row in mine)
    assert all(row.thinking_tokens <= 24 for row in mine)
    assert all(row["accuracy"] is not None for row in found["strategies"])


@pytest.mark.slow
def test_a_model_is_calibrated_and_auto_goes_by_it(roomy, questions, tmp_path):
    out = tmp_path / "calibration"
    command = [COMMAND[0], "-m", calibrate.__spec__.parent]
    words = [
        "--model", roomy, "--benchmark", questions, "--out", out, "--max", 24,
        "--answer_tokens", 8, "--turn_questions", 2, "--turn_tokens", 8, "--workers", 1,
        "--temperatures", "[0.3, 0.7, 1.1]", "--serve.kv_cache_gib", 0.05,
    ]  # fmt: skip
    done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = calibration.read(out)
    assert found.facts["num_traces"] == 8 and found.facts["num_questions"] == 6
    assert found.temperature in (0.7, 1.1)
    entropies = found.facts["turn"]["entropies"]
    assert entropies == sorted(entropies) and entropies[0] > 0
    again = subprocess.run([*command, *map(str, words)], capture_output=True, text=True)
    assert again.returncode == 0 and f"family: {found.family}" in again.stderr
    config = evaluation(
        roomy, questions, tmp_path / "report", calibration=str(out),
        **{**FEW, "methods": (), "strategies": ("auto:n=2",)},
    )  # fmt: skip
    run(config)
    (row, *_) = read(tmp_path / "report")[1]
    assert found.family in json.loads(row.decision)["why"] or "no clear family" in row.decision
