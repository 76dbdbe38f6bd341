"""`just evaluate` on a real engine: in this process, at our service, at servers that are less."""

import dataclasses
import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from factories import sums
from integration.serve.proxy import proxied
from s1_core import artifacts, chat
from s1_core.errors import Interrupted, UserError
from s1_serve.config import ServeConfig
from s1_serve.evaluate import __main__ as evaluate
from s1_serve.evaluate.config import EvaluateConfig
from s1_serve.evaluate.run import threads
from s1_serve.evaluate.samples import Sample

pytestmark = pytest.mark.engine
COMMAND = [sys.executable, "-m", "s1_serve.evaluate"]
SERVE = ServeConfig(kv_cache_gib=0.01, max_num_seqs=64)
SMALL = {
    "methods": ("none", "budget", "extends", "majority"),
    "budgets": [0, 8],
    "max": 40,
    "extends": [0, 1],
    "control_arms": [""],
    "votes": [1, 2],
    "answer_tokens": 8,
    "workers": 1,
    "serve": SERVE,
}
EVERY = {
    "methods": ("none", "budget", "extends", "tokens", "tokens+budget", "steps", "classes",
                "classes+budget", "rejection", "majority"),
    "token_limits": [16], "step_limits": [4], "class_limit": 12, "rejection_budgets": [20],
    "tries": 3, "max": 40,
}  # fmt: skip


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    return sums(tmp_path_factory.mktemp("bench") / "sums", 10)


def evaluation(model, questions, out, **changes):
    values = {"model": str(model), "benchmark": (str(questions),), "out": str(out), **SMALL}
    return EvaluateConfig(**{**values, **changes})


def flags(config):
    """Write a configuration as it would be typed."""
    values = dataclasses.asdict(config)
    values |= {f"serve.{name}": value for name, value in values.pop("serve").items()}
    typed = {name: v if isinstance(v, str) else json.dumps(v) for name, v in values.items()}
    return [f"--{name}={value}" for name, value in typed.items() if value != "null"]


def run(config):
    """Evaluate in a process of its own.

    A second engine of vLLM in one process takes down what the first one needs, and the first is
    that of the other tests.
    """
    done = subprocess.run([*COMMAND, *flags(config)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def read(out):
    report = json.loads((out / "report.json").read_text())
    return report, artifacts.load(out, kind="report").read("samples", Sample)


@pytest.fixture(scope="module")
def report(model_folder, questions, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluate") / "report"
    run(evaluation(model_folder, questions, out, direct_model=str(model_folder)))
    return out


def test_the_report_says_what_was_run(report, model_folder):
    found, rows = read(report)
    assert found["schema_version"] == 4
    assert found["model"]["manifest_sha256"] == artifacts.load(model_folder).sha256
    assert {"name", "version", "dtype", "device"} == found["engine"].keys()
    wanted = {
        "benchmark", "method", "max", "min", "extends", "extend_with", "seed", "num_questions",
        "samples_per_question", "accuracy", "interval", "mean_thinking_tokens", "control_ok",
        "enforced", "extraction", "mean_total_tokens", "mean_sequential_tokens",
    }  # fmt: skip
    assert all(wanted <= run.keys() for run in found["runs"])
    assert {run["run"] for run in found["runs"]} == {
        "direct", "none", "budget 0", "budget 8", "extends 0", "extends 1 'Wait'",
        "extends 1 ''", "majority@1", "majority@2",
    }  # fmt: skip
    assert len(rows) == 10 * (1 + 1 + 2 + 3 + 2)
    assert found["shortcuts"]["checked"] >= 5 and found["shortcuts"]["differing"] == 0
    assert found["samples"]["sha256"] == artifacts.sha256_of(report / "samples.parquet")
    times = json.loads((report / "run.json").read_text())["seconds_per_answer"]
    assert len(times) == 8 and min(times.values()) > 0
    assert {file.name for file in report.glob("*.png")} >= {"thinking.png", "parallel.png"}


def test_the_samples_keep_every_answer_within_its_budget(report):
    _, rows = read(report)
    assert all(row.thinking_tokens <= row.max for row in rows if row.max is not None)
    assert {row.used_extends for row in rows if row.extends == 0} == {0}
    waited = [row for row in rows if row.used_extends and row.extend_with == "Wait"]
    assert waited and all("Wait" in row.thinking for row in waited)


def test_two_engines_in_one_process_agree(report):
    _, rows = read(report)
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


@pytest.mark.slow
def test_answers_alone_are_those_that_share(model_folder, questions, report, tmp_path):
    run(evaluation(model_folder, questions, tmp_path / "report", shortcuts=False))
    found, rows = read(tmp_path / "report")
    assert found["shortcuts"] is None
    assert rows == [row for row in read(report)[1] if row.method != "direct"]


@pytest.mark.slow
def test_finished_samples_are_not_made_again_when_runs_and_questions_join(
    model_folder, questions, tmp_path
):
    out = tmp_path / "report"
    run(evaluation(model_folder, questions, out, methods=("budget", "majority"), num_questions=4))
    before = journals(tmp_path)
    run(evaluation(model_folder, questions, out))
    after = journals(tmp_path)
    assert len(before) < len(after)
    assert all(after[name].startswith(content) for name, content in before.items())
    run(evaluation(model_folder, questions, out, methods=("budget",), seed=1))
    assert len(journals(tmp_path)) > len(after), "another seed has samples of its own"


def journals(folder):
    return {file.name: file.read_bytes() for file in folder.glob("cache/report/*.jsonl")}


@pytest.mark.slow
def test_a_killed_evaluation_loses_what_was_in_flight_alone(
    model_folder, questions, report, tmp_path
):
    out = tmp_path / "report"
    config = evaluation(
        model_folder, questions, out, direct_model=str(model_folder),
        serve=replace(SERVE, max_num_seqs=2),
    )  # fmt: skip
    process = subprocess.Popen([*COMMAND, *flags(config)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while num_kept(tmp_path) < 30 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    kept = num_kept(tmp_path)
    assert kept >= 30 and not out.exists()
    torn = next(iter((tmp_path / "cache" / "report").glob("*.jsonl")))
    with torn.open("ab") as stream:
        stream.write(b'{"seconds": 1.0, "sam')
    begun = journals(tmp_path)
    run(config)
    after = journals(tmp_path)
    assert all(after[name].startswith(b"".join(lines(whole))) for name, whole in begun.items())
    for name in ("report.json", "samples.parquet", "report.html", "manifest.json", "thinking.png"):
        assert (out / name).read_bytes() == (report / name).read_bytes(), name


def lines(content):
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def num_kept(folder):
    return sum(len(lines(content)) for content in journals(folder).values())


@pytest.fixture(scope="module")
def served(service, tmp_path_factory):
    """The model behind the service, once more as a folder."""
    from integration.serve import tiny

    return tiny.build(tmp_path_factory.mktemp("served") / "model", max_position_embeddings=2048)


@pytest.fixture(scope="module")
def in_process(served, questions, tmp_path_factory):
    out = tmp_path_factory.mktemp("in_process") / "report"
    config = evaluation(served, questions, out, **EVERY)
    run(replace(config, serve=replace(SERVE, kv_cache_gib=0.05)))
    return read(out)


def at(url, questions, out, **changes):
    values = {**SMALL, "benchmark": (str(questions),), "concurrency": 8, **EVERY, **changes}
    evaluate.main(EvaluateConfig(endpoint=url, out=str(out), **values))
    return read(out)


def seen(row):
    """Leave out control tokens and broken characters, which a random model says.

    A chat does not show the first, and a text in pieces holds others of the second. Mean logprobs
    are of samples made here alone.
    """
    texts = {name: getattr(row, name) or "" for name in ("thinking", "answer", "extracted")}
    for token in chat.SPECIAL_TOKENS:
        texts = {name: text.replace(token, "") for name, text in texts.items()}
    texts = {name: text.partition("\ufffd")[0].strip() for name, text in texts.items()}
    return replace(row, mean_logprob=None, **texts)


@pytest.mark.multiprocess
def test_our_service_gives_what_the_engine_in_process_gives(
    service, served, in_process, questions, tmp_path
):
    """Greedy and sampled, by every method: what is measured is what is served."""
    found, rows = at(service.url, questions, tmp_path / "report")
    known, expected = in_process
    assert [seen(row) for row in rows] == [seen(row) for row in expected]
    for run, other in zip(found["runs"], known["runs"], strict=True):
        assert run | {"extraction": None} == other | {"extraction": None}
    assert found["metrics"] == known["metrics"]
    assert found["model"]["manifest_sha256"] == artifacts.load(served).sha256
    assert found["engine"] == known["engine"] and found["notes"]


@pytest.mark.multiprocess
def test_a_server_of_token_ids_is_asked_by_the_loop(service, in_process, questions, tmp_path):
    methods = ("none", "budget", "extends", "majority")
    with proxied(service.url) as proxy:
        found, rows = at(proxy.url, questions, tmp_path / "report", methods=methods)
    known = [row for row in in_process[1] if row.method in methods]
    greedy = [row for row in rows if row.seed == 0]
    assert greedy == [row for row in known if row.seed == 0]
    assert len(rows) == len(known)
    assert not proxy.bodies, "the loop completes token ids, it does not chat"
    assert found["shortcuts"]["differing"] == 0 and found["skipped"] == []


@pytest.mark.multiprocess
def test_a_server_that_only_chats_is_limited_and_the_report_says_so(
    service, in_process, questions, tmp_path
):
    with proxied(service.url, only_chats=True) as proxy:
        found, rows = at(proxy.url, questions, tmp_path / "report")
    skipped = {one["method"] for one in found["skipped"]}
    assert skipped == {"extends", "classes+budget", "rejection"}
    assert {row.method for row in rows} == {*EVERY["methods"]} - skipped
    budgets = [row for row in rows if row.run == "budget 8"]
    assert [row.thinking for row in budgets] == [
        row.thinking for row in in_process[1] if row.run == "budget 8"
    ]
    runs = {run["run"]: run for run in found["runs"]}
    assert runs["budget 8"]["enforced"] and runs["budget 8"]["accuracy"] is not None
    assert found["engine"] is None and len(found["notes"]) == 2


@pytest.mark.multiprocess
@pytest.mark.parametrize(
    ("fault", "enforced", "said"),
    [
        ("forgets_budgets", False, "budget not enforced"),
        ("hides_counts", None, "cannot be checked"),
    ],
)
def test_a_budget_that_is_not_kept_or_not_counted_is_not_scored(
    service, questions, tmp_path, fault, enforced, said
):
    with proxied(service.url, only_chats=True, **{fault: True}) as proxy:
        changes = {"methods": ("none", "budget"), "budgets": [8]}
        found, _ = at(proxy.url, questions, tmp_path / "report", **changes)
    runs = {run["run"]: run for run in found["runs"]}
    assert runs["budget 8"]["enforced"] is enforced
    assert runs["budget 8"]["accuracy"] is None and runs["none"]["accuracy"] is not None
    assert any(said in line for line in found["statements"])


@pytest.mark.multiprocess
def test_our_service_behind_something_that_drops_the_budget_is_not_scored(
    service, questions, tmp_path
):
    with proxied(service.url, shows_ours=True, forgets_budgets=True) as proxy:
        changes = {"methods": ("none", "budget", "extends"), "budgets": [8], "max": 40}
        found, _ = at(proxy.url, questions, tmp_path / "report", **changes)
    scored = {run["run"] for run in found["runs"] if run["accuracy"] is not None}
    assert scored == {"none"}
    assert {run["enforced"] for run in found["runs"] if run["run"] != "none"} == {False}


@pytest.mark.multiprocess
def test_a_context_that_a_chat_server_tells_is_looked_at_first(service, questions, tmp_path):
    with proxied(service.url, only_chats=True) as proxy:
        with pytest.raises(UserError, match=r"tokens\+budget 4096, .* the context has 2048"):
            changes = {"methods": ("none", "tokens+budget"), "token_limits": [4096]}
            at(proxy.url, questions, tmp_path / "report", **changes)
        assert not proxy.bodies


@pytest.mark.multiprocess
def test_an_endpoint_that_dies_leaves_what_is_finished(
    service, in_process, questions, tmp_path, monkeypatch
):
    monkeypatch.setattr(threads, "PAUSES_S", (0.01,))
    out, changes = tmp_path / "report", {"methods": ("none", "budget", "extends")}
    with proxied(service.url) as proxy:
        proxy.dies_after = 40
        with pytest.raises(Interrupted, match=r"503.*finished samples are kept"):
            at(proxy.url, questions, out, **changes)
        kept = num_kept(tmp_path)
        assert kept > 5
        proxy.dies_after = None
        _, rows = at(proxy.url, questions, out, **changes)
    assert rows == [row for row in in_process[1] if row.method in changes["methods"]]


@pytest.mark.multiprocess
def test_html_and_no_server_are_one_line(service, questions, tmp_path, unused_port):
    with proxied(service.url, says_html=True) as proxy:
        done = typed(proxy.url, questions, tmp_path)
        assert "answers no JSON: is it an API server?" in done.stderr
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    done = typed(f"http://127.0.0.1:{unused_port}", questions, tmp_path)
    assert "start it first" in done.stderr
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    done = typed(service.url, questions, tmp_path, "--served_model", "other")
    assert "has no model other; it has tiny" in done.stderr


def typed(url, questions, folder, *words):
    command = [*COMMAND, "--endpoint", url, "--benchmark", questions, "--out", folder / "r", *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_budget_that_does_not_fit_is_refused_before_anything_runs(
    model_folder, questions, tmp_path
):
    config = evaluation(model_folder, questions, tmp_path / "r", budgets=[0, 500])
    with pytest.raises(UserError, match=r"budget 500, question .*: a maximum of 500"):
        evaluate.main(config)
    assert not (tmp_path / "r").exists()


def test_a_question_without_room_counts_as_wrong_where_that_is_said(model_folder, tmp_path):
    questions = sums(tmp_path / "long", 2)
    long = sums(tmp_path / "longer", 1, question="12 " * 600, id="f" * 16)
    both = (str(questions), str(long))
    changes = {"methods": ("budget",), "benchmark": both}
    with pytest.raises(UserError, match=r"of longer: no room .* --too_long wrong"):
        evaluate.main(evaluation(model_folder, questions, tmp_path / "r", **changes))
    run(evaluation(model_folder, questions, tmp_path / "r", too_long="wrong", **changes))
    found, rows = read(tmp_path / "r")
    assert found["without_room"] == 2
    (row, _) = [row for row in rows if row.benchmark == "longer"]
    assert (row.answer, row.is_correct, row.end, row.output_tokens) == ("", False, "length", 0)
    assert [one["name"] for one in found["benchmarks"]] == ["long", "longer"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": None}, r"2 questions .* have no answer"),
        ({"id": "0" * 16}, "holds a question twice"),
    ],
)
def test_benchmarks_that_cannot_be_graded_are_refused(model_folder, tmp_path, change, message):
    questions = sums(tmp_path / "questions", 2, **change)
    with pytest.raises(UserError, match=message):
        evaluate.main(evaluation(model_folder, questions, tmp_path / "r"))


def test_a_benchmark_that_is_not_there_is_told_with_the_names_there_are(model_folder, tmp_path):
    with pytest.raises(UserError, match=r"just benchmark --name NAME .* aime24, aime25, "):
        evaluate.main(evaluation(model_folder, tmp_path / "aime", tmp_path / "r"))


def test_a_model_that_counts_steps_is_forced_by_steps(questions, tmp_path):
    from integration.serve import tiny

    model = tiny.build(tmp_path / "model", "s1-steps")
    methods = ("none", "steps", "steps+budget", "majority")
    changes = {"methods": methods, "step_limits": [2, 4], "max": -1}
    run(evaluation(model, questions, tmp_path / "report", **changes))
    found, rows = read(tmp_path / "report")
    assert found["shortcuts"] is None and found["model"]["format"] == "s1-steps"
    forced = [row for row in rows if row.run == "steps+budget 2"]
    assert len(forced) == 10 and {row.end for row in forced} <= {"budget", "natural"}
    free = [row for row in rows if row.run == "steps 2"]
    assert sum(r.output_tokens for r in forced) < sum(r.output_tokens for r in free)
    with pytest.raises(UserError, match=r"method budget cannot be measured here: .* s1-steps"):
        evaluate.main(evaluation(model, questions, tmp_path / "other", methods=("budget",)))


def test_a_countdown_cannot_be_forced_on_a_model_without_one(model_folder, questions, tmp_path):
    config = evaluation(model_folder, questions, tmp_path / "r", methods=("steps+budget",))
    with pytest.raises(UserError, match="train a model on steps first"):
        evaluate.main(config)
