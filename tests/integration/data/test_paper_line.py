"""The paper's line at its full length, small: 16 sources in the hub's columns, a teacher, two
models under test and a judge behind endpoints, the printed and the released selection."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.data.teacher_server import TeacherServer
from s1_core import artifacts
from s1_core.records import Example, Question
from s1_data.sources import registry
from s1_data.sources.source import Part
from s1_data.stages.questions import Origin

ROWS_A_PART = 3
NUM_ROWS = 24
WORDS = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "re") for b in ("bar", "dol", "fen", "gis")]
SECRET = "gpqasecret"
pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]
CODING = ("usaco", "livecodebench")
CLASSES = [
    {"code": "05", "title": "Combinatorics", "topics": ["Graph theory"]},
    {"code": "11", "title": "Number theory", "topics": ["Primes"]},
]


def text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=14)) + "?"


def row(name: str, part: Part, rng: random.Random) -> dict[str, Any]:
    """Write a row as the hub has it; its answer is what the teacher will find."""
    asked = f"{SECRET} {text(rng)}" if name == "gpqa" else text(rng)
    found = str(len(asked))
    boxed = f"It has \\boxed{{{found}}} characters."
    problem = {"problem": asked, "solution": boxed}
    question = {"question": asked, "solution": boxed}
    choices = {"Correct Answer": "right", **{f"Incorrect Answer {n}": f"w{n}" for n in (1, 2, 3)}}
    rows: dict[str, dict[str, Any]] = {
        "math": problem | {"answer": found, "subject": "Algebra", "level": 5},
        "olympic_arena": problem
        | {"answer": [found], "language": "EN", "modality": "text-only", "subject": part.config},
        "theoremqa": {
            "Question": asked, "Answer": found, "Answer_type": "integer", "Picture": None,
        },
        "numinamath": problem | {"source": "aops_forum", "messages": []},
        "omni_math": problem | {"answer": found, "difficulty": 7.0},
        "scieval": {
            "question": f"{asked}\n\nAnswer:", "answer": [found], "category": "physics",
            "type": "filling", "topic": "light", "task_name": "SocraticQA",
        },
        "olympiadbench": {
            "question": asked, "solution": [boxed], "final_answer": [found],
            "question_type": "Open-ended", "subject": "Math",
        },
        "jeebench": {"question": asked, "gold": found, "subject": "phy"},
        "agieval": question
        | {"passage": "", "options": ["(A) 1", "(B) 2"], "label": found, "level": 5},
        "s1_prob": question,
        "gpqa": {"Question": asked, "Explanation": "Because.", "High-level domain": "Physics"}
        | choices,
        "xword": {"input": f"### Clue: {asked}", "output": found},
        "usaco": {"question": asked},
        "s1_teasers": {"Question": asked, "Answer": found},
        "livecodebench": {"question_content": asked, "difficulty": "hard"},
        "aime": {"ID": "1999-I-1", "Year": 1999, "Question": asked, "Answer": found},
    }  # fmt: skip
    return rows[name]


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of one's own of every source and benchmark, a question of MATH500 among MATH."""
    root, rng = tmp_path_factory.mktemp("paper"), random.Random(7)
    for source in registry.published(2021):
        for part in source.parts:
            rows = [row(source.name, part, rng) for _ in range(ROWS_A_PART)]
            folder = root / "copies" / source.name / part.folder
            write_jsonl(folder / f"{part.split}.jsonl", rows)
    planted = text(rng)
    mathematics = root / "copies" / "math" / "train.jsonl"
    problem = {"problem": f"Now: {planted}", "solution": "", "answer": "1", "subject": "Algebra"}
    mathematics.write_text(mathematics.read_text() + json.dumps(problem) + "\n")
    write_jsonl(root / "data" / "eval" / "math500.jsonl", [{"question": planted, "answer": "1"}])
    write_jsonl(root / "data" / "eval" / "aime24.jsonl", [{"question": text(rng), "answer": "1"}])
    diamond = (root / "copies" / "gpqa" / "gpqa_diamond" / "train.jsonl").read_text()
    (root / "data" / "eval" / "gpqa_diamond.jsonl").write_text(diamond)
    (root / "data" / "msc.json").write_text(json.dumps(CLASSES))
    return root


def run(module: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def built(root: Path) -> Iterator[tuple[Path, TeacherServer]]:
    """Run the line: questions, attempts of two models, traces, domains by the judge, s1k."""
    config = {
        "path": str(root / "data"),
        "out": str(root / "out"),
        "sources": {
            source.name: {"path": str(root / "copies" / source.name)}
            for source in registry.published(2021)
        },
        "difficulty": {"tokenizer": "words"},
        "diversity": {"domains": "llm"},
        "selection": {"by": "paper", "num_rows": NUM_ROWS, "long_math_tokens": 5},
    }
    recipe = root / "mine.yaml"
    s1k = yaml.safe_load((Path("packages/data/configs") / "s1k.yaml").read_text())
    recipe.write_text(yaml.safe_dump(s1k | config))
    build = ["--config", recipe, "--diversity.domains", "kmeans"]
    run("s1_data.build", *build, "--until", "questions")
    asked = artifacts.load(root / "out" / "questions").read("questions", Question)
    texts = sorted((question.question for question in asked), key=len, reverse=True)
    easy = {q.question for q in asked if "Omni" in q.source_type}
    weak = {text: ["say I guess. Answer: -1"] for text in texts if text not in easy}
    judged = {text: [f"say {('05', '11')[n % 2]}"] for n, text in enumerate(texts)}
    unclear = next(q.question for q in asked if "teasers" in q.source_type)
    judged[unclear] = ["say I cannot tell."]
    with (
        TeacherServer(texts) as teacher,
        TeacherServer(texts, weak) as model,
        TeacherServer(texts, judged) as judge,
    ):
        for size in ("7b", "32b"):
            words = ["--questions", root / "out" / "questions", "--out", root / "out" / size]
            run(
                "s1_data.teacher",
                "--config",
                f"attempts-{size}",
                "--teacher.url",
                model.url,
                *words,
            )
        words = [
            "--config", recipe, "--teacher.url", teacher.url, "--teacher.model", "sage",
            "--attempts", f"{root / 'out' / '7b'},{root / 'out' / '32b'}",
            "--judge.url", judge.url, "--judge.model", "claude", "--judge.max_retries", 1,
            "--judge.backoff_s", 0.01,
        ]  # fmt: skip
        plan = run("s1_data.build", *words, "--dry-run").stderr
        assert f"traces: to be written by sage, {len(asked)} of {len(asked)} left to ask" in plan
        assert f"judge: at most {len(asked)} of {len(asked)} left to ask" in plan
        run("s1_data.build", *words)
        calls = teacher.calls.total() + judge.calls.total()
        released = ["--selection.by", "released", "--diversity.domains", "kmeans"]
        again = run("s1_data.build", *words, *released)
        assert "up to date" in again.stderr.splitlines()[1]
        card = (root / "out" / "s1k" / "README.md").read_text()
        assert "were taken before any draw" in card and "Spherical k-means" in card
        assert SECRET not in card  # not even as the word that names a cluster
        assert teacher.calls.total() + judge.calls.total() <= calls + 2  # the class never given
        run("s1_data.build", *words)
        yield root / "out", teacher


def test_all_sixteen_sources_arrive_and_the_benchmarks_stay_out(
    built: tuple[Path, TeacherServer],
) -> None:
    questions = artifacts.load(built[0] / "questions")
    steps = {
        step["stage"]: step for step in json.loads((questions.path / "funnel.json").read_text())
    }
    assert steps["decontaminate"]["rules"] == {"math500": 1}
    chain = list(steps.values())  # also past SciEval's pick, which takes rows twice
    assert [step["before"] for step in chain[1:]] == [step["after"] for step in chain[:-1]]
    names = [source.name for source in registry.published(2021)]
    told = json.loads((questions.path / "sources.json").read_text())
    assert [source["name"] for source in told["sources"]] == names
    origins = {row.source for row in questions.read("origins", Origin)}
    assert origins == set(names)
    assert built[1].calls.most_common(1)[0][1] == 1  # no question was asked twice


def test_rows_without_a_reference_and_easy_rows_leave(built: tuple[Path, TeacherServer]) -> None:
    """Spec 0.4: USACO and LiveCodeBench have no solution, so null features end them."""
    s1k = artifacts.load(built[0] / "s1k", kind="s1k")
    steps = {step["stage"]: step for step in json.loads((s1k.path / "funnel.json").read_text())}
    questions = artifacts.load(built[0] / "questions")
    coding = [row for row in questions.read("origins", Origin) if row.source in CODING]
    assert steps["quality"]["rules"] == {"no reference": len(coding)}
    solved = {"solved by Qwen/Qwen2.5-32B-Instruct": ROWS_A_PART}  # the first that was right
    assert steps["difficulty"]["rules"] == solved
    assert steps["domains"]["rules"] == {"no domain": 1}


def test_the_selection_is_the_papers_and_the_card_keeps_gpqa_to_itself(
    built: tuple[Path, TeacherServer],
) -> None:
    s1k = artifacts.load(built[0] / "s1k", kind="s1k")
    examples = s1k.read("examples", Example)
    assert len(examples) == NUM_ROWS
    aime = [example for example in examples if "AIME" in example.source_type]
    assert len(aime) == ROWS_A_PART  # right, so taken before any draw
    assert {example.domain for example in examples} <= {"05 Combinatorics", "11 Number theory"}
    card = (s1k.path / "README.md").read_text()
    assert "were taken before any draw" in card and "traces from sage" in card
    assert "CC-BY-4.0" in card and "| gpqa |" in card
    questions = artifacts.load(built[0] / "questions")
    assert SECRET not in card
    assert SECRET not in (questions.path / "decontamination.json").read_text()
    assert any(SECRET in row.question for row in questions.read("questions", Question))
