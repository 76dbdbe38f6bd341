"""The build verb as a person runs it: in processes of its own, twice, killed, and wrongly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from factories import attempt
from s1_core import artifacts
from s1_core.records import Attempt, Example, Question

SMALL = [
    "--config", "bank", "--source.num_questions", "300", "--selection.num_rows", "60",
    "--difficulty.tokenizer", "words",
]  # fmt: skip
UNASKED = [*SMALL, "--difficulty.by", "none"]
HEAVY = ("numpy", "sklearn", "faiss", "pyarrow", "matplotlib", "torch")


def command(*words: object, module: str = "s1_data.build") -> list[str]:
    return [sys.executable, "-m", module, *map(str, words)]


def build(*words: object) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "S1_DATA"}
    return subprocess.run(command(*words), capture_output=True, text=True, env=environment)


def manifests(out: Path) -> list[bytes]:
    return [(out / name / "manifest.json").read_bytes() for name in ("questions", "s1k")]


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
    assert "| select | 300 | 60 | not drawn: 240 |" in text
    figure = (undisturbed / "s1k" / "composition.png").read_bytes()
    assert figure.startswith(b"\x89PNG")


def test_two_processes_write_the_same_manifests(undisturbed: Path, tmp_path: Path) -> None:
    assert build(*UNASKED, "--out", tmp_path / "again").returncode == 0
    assert manifests(tmp_path / "again") == manifests(undisturbed)


def test_another_seed_selects_other_rows(undisturbed: Path, tmp_path: Path) -> None:
    assert build(*UNASKED, "--out", tmp_path, "--seed", 43).returncode == 0
    assert manifests(tmp_path)[1] != manifests(undisturbed)[1]


@pytest.mark.multiprocess
@pytest.mark.parametrize("victim", ["questions", "s1k"])
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
    assert sorted(path.name for path in out.iterdir()) == ["questions", "s1k"]


def test_a_rerun_says_up_to_date_and_loads_nothing_heavy(undisturbed: Path) -> None:
    script = (
        "import runpy, sys\n"
        "try: runpy.run_module('s1_data.build', run_name='__main__', alter_sys=True)\n"
        f"finally: print('loaded:', *[m for m in {HEAVY} if m in sys.modules])"
    )
    words = [sys.executable, "-c", script, *UNASKED, "--out", str(undisturbed)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"up to date: {undisturbed / 'questions'}",
        f"up to date: {undisturbed / 's1k'}",
    ]
    assert done.stdout.split() == ["loaded:"]


def test_attempts_decide_what_is_too_easy(undisturbed: Path, tmp_path: Path) -> None:
    questions = artifacts.load(undisturbed / "questions").read("questions", Question)
    solved = {question.id for question in questions[::2]}
    answers = [
        attempt(q, f"Final Answer: {q.answer if q.id in solved else 'nothing'}")
        for q in questions[:-1]
    ]
    with artifacts.create(tmp_path / "attempts", kind="attempts", config={}) as draft:
        draft.write("attempts", answers, Attempt)
    wanted = [*SMALL, "--attempts", tmp_path / "attempts", "--out", tmp_path]
    done = build(*wanted)
    assert done.returncode == 0, done.stderr
    s1k = artifacts.load(tmp_path / "s1k")
    assert solved.isdisjoint(example.question_id for example in s1k.read("examples", Example))
    assert s1k.parents["attempts"] == artifacts.load(tmp_path / "attempts").sha256
    step = json.loads((s1k.path / "funnel.json").read_text())[3]
    assert step["rules"] == {"no attempt": 1, "solved by base": 150}


def test_too_few_rows_is_an_error_that_counts_and_names_the_knob(tmp_path: Path) -> None:
    done = build(*UNASKED, "--selection.num_rows", 301, "--out", tmp_path)
    assert done.returncode == 2
    assert "300 rows are left, selection.num_rows wants 301" in done.stderr
    assert "300 collected > collect 300 > decontaminate 300" in done.stderr
    assert "--source.num_questions" in done.stderr
    assert len(done.stderr.splitlines()) == 1 + 1  # the questions were written, then the fault
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
        (SMALL, "difficulty.by attempts wants --attempts DIR"),
        ([*SMALL, "--attempts", "nowhere"], "no artifact at nowhere"),
        (["--config", "real"], "pass --path DIR or set S1_DATA"),
        (["--decontamination.benchmarks", '["aime25"]'], "unknown benchmark aime25"),
        (["--source.kind", "local"], "bank goes with bank, reference with local"),
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
