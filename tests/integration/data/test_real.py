"""The build on real questions with human solutions, a slice of each file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from s1_core import artifacts
from s1_core.records import Example, Question
from s1_data.config import DecontaminationConfig
from s1_data.filters.decontaminate import Screen
from s1_data.stages.questions import Origin

pytestmark = pytest.mark.skipif(
    "S1_DATA" not in os.environ, reason="S1_DATA names no folder of real questions"
)
ROWS_PER_FILE = 400
FILES = ("math500.jsonl", "aime24.jsonl", "gsm8k_test.jsonl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the head of every file, and plant a benchmark question in one of them."""
    real, root = Path(os.environ["S1_DATA"]), tmp_path_factory.mktemp("real")
    for part in ("questions", "eval"):
        (root / part).mkdir()
        for file in (real / part).glob("*.jsonl"):
            lines = file.read_text().splitlines(keepends=True)
            (root / part / file.name).write_text("".join(lines[:ROWS_PER_FILE]))
    aime = json.loads((real / "eval" / "aime24.jsonl").read_text().splitlines()[0])
    planted = {
        "question": "Please note: " + aime["question"], "solution": "long " * 500,
        "answer": "204", "source_type": "planted",
    }  # fmt: skip
    (root / "questions" / "planted.jsonl").write_text(json.dumps(planted) + "\n")
    return root


@pytest.fixture(scope="module")
def s1k(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> artifacts.Artifact:
    out = tmp_path_factory.mktemp("out")
    words = ["--config", "real", "--path", folder, "--out", out, "--selection.num_rows", 100]
    done = subprocess.run(
        [sys.executable, "-m", "s1_data.build", *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return artifacts.load(out / "s1k", kind="s1k")


def test_every_row_has_a_human_solution_as_its_trace(s1k: artifacts.Artifact) -> None:
    examples = s1k.read("examples", Example)
    assert len(examples) == 100
    for example in examples:
        assert example.solution
        assert example.thinking_trajectories == (example.solution.strip(),)
        assert example.attempt == (example.answer or "").strip() != ""


def test_no_row_shares_eight_words_with_a_benchmark_or_an_earlier_source(
    s1k: artifacts.Artifact, folder: Path
) -> None:
    from s1_data import benchmarks
    from s1_data.config import BenchmarkConfig

    asked = artifacts.load(s1k.path.parent / "questions")
    origin = {row.question_id: row.source for row in asked.read("origins", Origin)}
    pool: dict[str, list[Question]] = {}
    for question in asked.read("questions", Question):
        pool.setdefault(origin[question.id], []).append(question)
    assert list(pool) == ["theoremqa", "omni_math", "olympiadbench", "agieval", "gsm8k"]
    tests = {
        name: benchmarks.questions(BenchmarkConfig(name=name, path=str(folder)))
        for name in ("math500", "aime24", "gsm8k")
    }
    screen = Screen(tests, DecontaminationConfig(benchmarks=()))
    for source, rows in pool.items():
        assert not any(screen.rules(source, rows)[0])
        screen.take(rows)
    steps = {step["stage"]: step for step in json.loads((s1k.path / "funnel.json").read_text())}
    assert steps["decontaminate"]["rules"]["aime24"] >= 1


def test_the_card_calls_the_difficulty_what_it_is(s1k: artifacts.Artifact) -> None:
    text = (s1k.path / "README.md").read_text()
    assert "solution length, a stand-in; no model was asked" in text
    assert "words of thinking" in text


def test_a_benchmark_of_real_questions_is_written(folder: Path, tmp_path: Path) -> None:
    words = ["--name", "aime24", "--path", folder, "--out", tmp_path / "aime24"]
    done = subprocess.run(
        [sys.executable, "-m", "s1_data.benchmarks", *map(str, words)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = artifacts.load(tmp_path / "aime24", kind="questions").read("questions", Question)
    assert len(rows) == 30
    assert rows[0].answer == "204"
