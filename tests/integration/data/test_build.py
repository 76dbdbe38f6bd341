"""The build verb as a person runs it: in processes of its own, twice, killed, and wrongly."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from factories import attempt, question
from s1_core import artifacts
from s1_core.records import Attempt, Example, Question
from s1_data.card.text import SELECTED
from s1_data.stages.rendered import Rendered

SMALL = [
    "--sources.num_questions", "300", "--selection.num_rows", "60",
    "--difficulty.tokenizer", "words",
]  # fmt: skip
UNASKED = [*SMALL, "--difficulty.by", "none"]
STAGES = ("questions", "traces", "s1k")
HEAVY = ("numpy", "sklearn", "faiss", "pyarrow", "matplotlib", "torch")


def command(*words: object, module: str = "s1_data.build") -> list[str]:
    return [sys.executable, "-m", module, *map(str, words)]


def build(*words: object) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "S1_DATA"}
    return subprocess.run(command(*words), capture_output=True, text=True, env=environment)


def manifests(out: Path) -> list[bytes]:
    return [(out / name / "manifest.json").read_bytes() for name in STAGES]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    done = build(*UNASKED, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def test_the_artifact_holds_what_was_asked_for(undisturbed: Path) -> None:
    examples = artifacts.load(undisturbed / "s1k", kind="s1k").read("examples", Example)
    questions = artifacts.load(undisturbed / "questions").read("questions", Question)
    assert len({example.question_id for example in examples}) == len(examples) == 60
    assert {e.question_id for e in examples} <= {q.id for q in questions}
    assert all(e.answer and e.attempt and e.thinking_trajectories[0] for e in examples)
    assert all(e.thinking_tokens == len(e.thinking_trajectories[0].split()) for e in examples)


def test_the_funnel_accounts_for_every_question(undisturbed: Path) -> None:
    steps = json.loads((undisturbed / "s1k" / "funnel.json").read_text())
    assert [step["before"] for step in steps[1:]] == [step["after"] for step in steps[:-1]]
    assert all(step["before"] - step["after"] == sum(step["rules"].values()) for step in steps)
    assert (steps[0]["before"], steps[-1]["after"]) == (300, 60)


def test_the_card_tells_funnel_sources_and_figure(undisturbed: Path) -> None:
    text = (undisturbed / "s1k" / "README.md").read_text()
    assert "# s1K: 60 questions" in text
    assert "| select | the rows drawn | 300 | 60 | not drawn: 240 |" in text
    assert "Vendi score" in text and "| bank | 300 | 300 | 60 |" in text
    assert yaml.safe_load(text.split("---")[1])["configs"][0]["data_files"] == "examples.parquet"
    figure = (undisturbed / "s1k" / "composition.png").read_bytes()
    assert figure.startswith(b"\x89PNG")


def test_two_processes_write_the_same_manifests(undisturbed: Path, tmp_path: Path) -> None:
    assert build(*UNASKED, "--out", tmp_path / "again").returncode == 0
    assert manifests(tmp_path / "again") == manifests(undisturbed)


@pytest.mark.slow
def test_another_seed_selects_other_rows(undisturbed: Path, tmp_path: Path) -> None:
    assert build(*UNASKED, "--out", tmp_path, "--seed", 43).returncode == 0
    assert manifests(tmp_path)[2] != manifests(undisturbed)[2]


@pytest.mark.multiprocess
@pytest.mark.parametrize(
    "victim", [pytest.param(name, marks=pytest.mark.slow) for name in STAGES[:2]] + ["s1k"]
)
def test_a_killed_build_run_again_ends_the_same(
    undisturbed: Path, tmp_path: Path, victim: str
) -> None:
    out = tmp_path / "killed"
    running = subprocess.Popen(command(*UNASKED, "--out", out), stderr=subprocess.DEVNULL)
    while not list(out.glob(f".{victim}.tmp-*")):
        assert running.poll() is None, "ended before it could be killed"
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (out / victim).exists()
    assert build(*UNASKED, "--out", out).returncode == 0
    assert manifests(out) == manifests(undisturbed)
    assert sorted(path.name for path in out.iterdir()) == sorted([*STAGES, "cache"])


def test_a_rerun_says_up_to_date_and_loads_nothing_heavy(undisturbed: Path) -> None:
    script = (
        "import runpy, sys\n"
        "try: runpy.run_module('s1_data.build', run_name='__main__', alter_sys=True)\n"
        f"finally: print('loaded:', *[m for m in {HEAVY} if m in sys.modules])"
    )
    words = [sys.executable, "-c", script, *UNASKED, "--out", str(undisturbed)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [f"up to date: {undisturbed / name}" for name in STAGES]
    assert done.stdout.split() == ["loaded:"]


def test_attempts_of_two_models_decide_what_is_too_easy(undisturbed: Path, tmp_path: Path) -> None:
    questions = artifacts.load(undisturbed / "questions").read("questions", Question)
    solved = {"small": set(questions[::3]), "large": set(questions[::2])}
    for model, known in solved.items():
        answers = [
            attempt(q, f"Final Answer: {q.answer if q in known else 'nothing'}", model=model)
            for q in questions[:-1]
        ]
        with artifacts.create(tmp_path / model, kind="attempts", config={}) as draft:
            draft.write("attempts", answers, Attempt)
    paths = f"{tmp_path / 'small'},{tmp_path / 'large'}"
    for workers in (1, 3):
        out = tmp_path / str(workers)
        done = build(*SMALL, "--attempts", paths, "--out", out, "--workers", workers)
        assert done.returncode == 0, done.stderr
    assert manifests(tmp_path / "1") == manifests(tmp_path / "3")
    s1k = artifacts.load(tmp_path / "1" / "s1k")
    easy = {question.id for known in solved.values() for question in known}
    assert easy.isdisjoint(example.question_id for example in s1k.read("examples", Example))
    assert s1k.parents["attempts/0"] == artifacts.load(tmp_path / "small").sha256
    steps = {step["stage"]: step for step in json.loads((s1k.path / "funnel.json").read_text())}
    assert steps["difficulty"]["rules"] == {
        "no attempt by large": 1, "solved by large": 150, "solved by small": 50,
    }  # fmt: skip


@pytest.mark.parametrize(
    "method",
    ["paper", "diverse", "full"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("released", "random", "longest")],
)
def test_every_selection_runs_and_says_which_it_is(
    undisturbed: Path, tmp_path: Path, method: str
) -> None:
    """The stages before are taken over: only the selection is made anew."""
    shutil.copytree(undisturbed, tmp_path / "out")
    done = build(*UNASKED, "--selection.by", method, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert [line.startswith("up to date") for line in done.stderr.splitlines()] == [1, 1, 0]
    s1k = artifacts.load(tmp_path / "out" / "s1k")
    rows = s1k.read("examples", Example)
    assert len({row.question_id for row in rows}) == len(rows) == (300 if method == "full" else 60)
    card = (s1k.path / "README.md").read_text()
    assert SELECTED[method] in card
    lengths = sorted((row.thinking_tokens for row in rows), reverse=True)
    if method == "longest":
        assert [row.thinking_tokens for row in rows] == lengths
    if method == "released":
        assert "no domain weighted by AIME or GPQA" in card


def test_the_bare_command_needs_nothing_and_takes_difficulty_from_the_level(
    tmp_path: Path,
) -> None:
    done = build("--out", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = artifacts.load(tmp_path / "s1k").read("examples", Example)
    assert len(rows) == 1000
    assert min(json.loads(row.metadata)["level"] for row in rows) >= 3
    text = (tmp_path / "s1k" / "README.md").read_text()
    assert "`level` of the metadata, a stand-in; no model was asked" in text


def test_texts_are_rendered_on_request_byte_for_byte(undisturbed: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed, tmp_path / "out")
    done = build(*UNASKED, "--selection.render", "s1,think", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    s1k = artifacts.load(tmp_path / "out" / "s1k")
    golden = (Path(__file__).parents[2] / "unit" / "core" / "golden_s1.txt").read_text()
    shape = (
        golden.replace("What is $x$?\nTell.", "{question}")
        .replace("First step.\n\nWait, check it.", "{thinking}")
        .replace("x is 3.", "{answer}")
    )
    examples, texts = s1k.read("examples", Example), s1k.read("text-s1", Rendered)
    for example, text in zip(examples, texts, strict=True):
        assert text.question_id == example.question_id
        assert text.text == shape.format(
            question=example.question,
            thinking=example.thinking_trajectories[0],
            answer=example.attempt,
        )
    assert len(s1k.read("text-think", Rendered)) == len(examples)


def test_a_dry_run_tells_the_plan_and_writes_nothing(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = build(*UNASKED, "--out", out, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == [
        "to be written", "to be written", "to be written",
    ]  # fmt: skip
    assert not out.exists()
    planned = build("--config", "base", "--out", out, "--dry-run")
    assert "documents: 220,000 to be written" in planned.stderr and not out.exists()
    planned = build("--config", "s1k", "--sources.kind", "local", "--path", tmp_path, "--dry-run")
    assert planned.returncode == 2 and "no questions" in planned.stderr
    done = build(*UNASKED, "--out", undisturbed, "--dry-run")
    assert "questions: up to date, 300 rows" in done.stderr and "s1k: up to date" in done.stderr


def test_attempts_at_other_questions_are_refused_not_ignored(
    undisturbed: Path, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed, tmp_path / "out")
    with artifacts.create(tmp_path / "alien", kind="attempts", config={}) as draft:
        draft.write("attempts", [attempt(question("another question"))], Attempt)
    done = build(*SMALL, "--attempts", tmp_path / "alien", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "1 attempts, none at a question of this build" in done.stderr.splitlines()[-1]


def test_too_few_rows_is_an_error_that_counts_and_names_the_knob(tmp_path: Path) -> None:
    done = build(*UNASKED, "--selection.num_rows", 301, "--out", tmp_path)
    assert done.returncode == 2
    assert "300 rows are left, selection.num_rows wants 301" in done.stderr
    assert (
        "300 collected > collect 300 > decontaminate 300 > take 300 > deduplicate 300"
        in done.stderr
    )
    assert "--sources.num_questions" in done.stderr
    assert len(done.stderr.splitlines()) == 2 + 1  # two stages were written, then the fault
    assert not (tmp_path / "s1k").exists()


def test_a_second_run_in_the_same_place_is_refused(tmp_path: Path) -> None:
    with artifacts.create(tmp_path / "questions", kind="questions", config={}):
        done = build(*UNASKED, "--out", tmp_path)
    assert done.returncode == 2
    assert "another run is writing" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*SMALL, "--difficulty.by", "attempts"], "difficulty.by attempts wants --attempts DIR"),
        ([*UNASKED, "--attempts", "x"], "--attempts are given, but difficulty.by none"),
        ([*UNASKED, "--until", "questions", "--push", "me/x"], "--push uploads s1k/"),
        ([*UNASKED, "--difficulty.tokenizer", "nowhere"], "no tokenizer at nowhere"),
        ([*SMALL, "--attempts", "nowhere"], "no artifact at nowhere"),
        ([*SMALL, "--traces", "nowhere"], "no artifact at nowhere"),
        (["--config", "real"], "pass --path DIR or set S1_DATA"),
        (["--config", "s1k"], "teacher.kind endpoint wants --teacher.url and --teacher.model"),
        (["--decontamination.benchmarks", "aime26"], "unknown benchmark aime26"),
        (["--sources.kind", "local"], "bank goes with bank, reference with human solutions"),
        (["--selection.render", "s2"], "unknown text format 's2'"),
        (["--diversity.domains", "llm"], "want --judge.url and --judge.model"),
        (["--selection.num_row", "5"], "--selection.num_rows"),
    ],
)
def test_a_wrong_wish_is_one_line_and_exit_2(
    tmp_path: Path, words: list[str], message: str
) -> None:
    done = build(*words, "--out", tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_documents_for_the_base_have_the_shape_of_s1k(tmp_path: Path) -> None:
    done = build("--config", "base", "--documents", 50, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(artifacts.load(tmp_path / "s1k", kind="s1k").read("examples", Example)) == 50


@pytest.mark.slow
def test_the_shipped_base_learnt_from_the_documents_of_this_tree(tmp_path: Path) -> None:
    done = build("--config", "base", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    base = artifacts.load("embedded", kind="model")
    assert artifacts.load(tmp_path / "s1k").sha256 == base.parents["s1k"]


def test_heldout_shares_no_question_with_the_pool(undisturbed: Path, tmp_path: Path) -> None:
    words = ["--name", "heldout", "--num_questions", 40, "--out", tmp_path / "heldout"]
    done = subprocess.run(
        command(*words, module="s1_data.benchmarks"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    heldout = artifacts.load(tmp_path / "heldout").read("questions", Question)
    pool = artifacts.load(undisturbed / "questions").read("questions", Question)
    assert len(heldout) == 40
    assert {q.id for q in heldout}.isdisjoint(q.id for q in pool)
