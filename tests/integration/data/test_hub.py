"""The real loading code against a hub on this machine: what comes, and what is said when not."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hub_server
from hub_server import Hub
from s1_core import artifacts
from s1_core.records import Question

COLLECT = """
import sys
from s1_core import cli
from s1_data.config import BuildConfig
from s1_data.sources import pool

def main(config: BuildConfig) -> None:
    for part in pool.parts(config):
        if part.name in sys.argv[1].split(","):
            part.collect()
            rows = part.read()
            print(part.name, len(rows), *part.identity.values())

cli.run(BuildConfig, main, package="data", argv=[*sys.argv[2:], "--until", "questions"])
"""


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def parquet(*rows: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), stream)
    return stream.getvalue()


def card(*configs: tuple[str, str, str]) -> str:
    """Write a dataset card that says which file is which split of which configuration."""
    lines = [
        f"- config_name: {config}\n  data_files:\n  - split: {split}\n    path: {path}\n"
        for config, split, path in configs
    ]
    return "---\nconfigs:\n" + "".join(lines) + "---\n# A dataset\n"


@dataclass
class Place:
    """A hub, its address, and an output folder with a cache of its own."""

    hub: Hub
    address: str
    root: Path
    words: dict[str, str] = field(default_factory=dict)
    """more of the child's environment"""

    @property
    def out(self) -> Path:
        return self.root / "out"

    def collect(self, names: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", COLLECT, names, "--out", str(self.out), *words]
        return self._run(command)

    def benchmark(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        module = [sys.executable, "-m", "s1_data.benchmarks", "--name", name]
        return self._run([*module, "--out", str(self.root / "benchmark"), *words])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        environment = hub_server.environment(self.address, self.root / "home") | self.words
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)

    def cached(self, name: str) -> artifacts.Artifact:
        return artifacts.load(self.out / "cache" / "sources" / name, kind="questions")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    hub = Hub()
    with hub_server.serving(hub) as address:
        yield Place(hub, address, tmp_path)


OMNI = {"problem": "p1", "solution": "s \\boxed{3}", "answer": "3", "domain": ["a", "b"]}


def put_omni(hub: Hub, *rows: dict[str, Any], revision: str = "main") -> str:
    files = {"README.md": card(("default", "test", "test.jsonl")), "test.jsonl": jsonl(*rows)}
    return hub.put("KbsdJames/Omni-MATH", files, revision)


def test_a_dataset_of_plain_files_is_loaded_and_collected_once(place: Place) -> None:
    commit = put_omni(place.hub, OMNI, OMNI | {"problem": "p2"})
    done = place.collect("omni_math")
    assert done.returncode == 0, done.stderr
    rows = place.cached("omni_math").read("questions", Question)
    assert [(row.question, row.answer) for row in rows] == [("p1", "3"), ("p2", "3")]
    assert json.loads(rows[0].metadata) == {"answer": "3", "domain": ["a", "b"]}
    origin = json.loads((place.cached("omni_math").path / "origin.json").read_text())
    assert origin == {"KbsdJames/Omni-MATH": f"KbsdJames/Omni-MATH@{commit}"}
    assert done.stdout.split() == ["omni_math", "2", place.cached("omni_math").sha256]

    put_omni(place.hub, OMNI)  # the hub moved on; what was collected stays
    place.hub.requests.clear()
    again = place.collect("omni_math")
    assert (again.stdout, again.stderr) == (done.stdout, "")
    assert place.hub.requests == []


def test_a_pinned_revision_is_read_as_it_was(place: Place) -> None:
    old = put_omni(place.hub, OMNI, revision="v1")
    put_omni(place.hub, OMNI, OMNI | {"problem": "p2"})
    for revision, count in ((old, "1"), ("main", "2")):
        done = place.collect("omni_math", "--sources.omni_math.revision", revision)
        assert done.stdout.split()[:2] == ["omni_math", count], done.stderr


def test_configurations_pictures_and_nested_columns_arrive(place: Place) -> None:
    row = {"Question": "q", "Answer": "1", "Answer_type": "integer", "Picture": None}
    shown = row | {"Question": "see", "Picture": {"bytes": b"\x89PNG", "path": "a.png"}}
    place.hub.put("TIGER-Lab/TheoremQA", {
        "README.md": card(("default", "test", "data/test-*")),
        "data/test-00000-of-00001.parquet": parquet(row, shown),
    })  # fmt: skip
    row = {"problem": "p", "solution": None, "answer": ["1"], "language": "EN",
           "modality": "text-only"}  # fmt: skip
    subjects = ("Math", "Physics", "Chemistry", "Biology", "Geography", "Astronomy", "CS")
    files: dict[str, bytes | str] = {
        f"{name}/{split}-00000-of-00001.parquet": parquet(row | {"subject": name})
        for name in subjects for split in ("test", "val")
    }  # fmt: skip
    files["README.md"] = "---\nconfigs:\n" + "".join(
        f"- config_name: {name}\n  data_files:\n  - split: test\n    path: {name}/test-*\n"
        f"  - split: val\n    path: {name}/val-*\n" for name in subjects
    ) + "---\n"  # fmt: skip
    place.hub.put("GAIR/OlympicArena", files)
    done = place.collect("theoremqa,olympic_arena")
    assert done.returncode == 0, done.stderr
    arena = place.cached("olympic_arena").read("questions", Question)
    assert [row.source_type.rpartition("/")[2] for row in arena] == [*subjects, *subjects]
    (theorem,) = place.cached("theoremqa").read("questions", Question)
    assert theorem.question == "q"


def test_a_repository_with_a_script_is_read_from_its_conversion(place: Place) -> None:
    configs = ("sat_en", "sat_math", "lsat_ar", "lsat_lr", "lsat_rc", "logiqa", "aqua_rat",
               "math_agieval")  # fmt: skip
    row = {"passage": "P", "question": "Q", "options": ["(A) 1"], "label": "A", "solution": None,
           "level": 5}  # fmt: skip
    place.hub.put("baber/agieval", {"README.md": "# AGIEval\n", "agieval.py": "raise Exception\n"})
    refused = place.collect("agieval", "--sources.agieval.revision", "main")
    assert refused.returncode == 2
    assert "revision main wants a loading script, which no longer runs" in refused.stderr
    commit = place.hub.put("baber/agieval", {
        f"{name}/{split}/0000.parquet": parquet(row)
        for name in configs for split in ("test", "few_shot")
    }, revision="refs/convert/parquet")  # fmt: skip
    done = place.collect("agieval")
    assert done.returncode == 0, done.stderr
    rows = place.cached("agieval").read("questions", Question)
    assert [row.source_type for row in rows[::2]] == [f"baber/agieval/{name}" for name in configs]
    assert rows[0].question == "PQ\n(A) 1"
    origin = (place.cached("agieval").path / "origin.json").read_text()
    assert f"baber/agieval@{commit} (refs/convert/parquet)" in origin


def test_files_of_a_repository_are_read_past_its_script(place: Place) -> None:
    row = {"question_content": "a", "difficulty": "hard", "private_test_cases": "x"}
    place.hub.put("livecodebench/code_generation_lite", {
        "code_generation_lite.py": "raise Exception\n", "test.jsonl": jsonl(row),
        "test2.jsonl": jsonl(row | {"question_content": "b"}),
        "test3.jsonl": jsonl(row | {"difficulty": "easy"}),
    })  # fmt: skip
    done = place.collect("livecodebench")
    assert done.returncode == 0, done.stderr
    rows = place.cached("livecodebench").read("questions", Question)
    assert "".join(row.question for row in rows) == "a" + "ab" + "ab"


@pytest.mark.slow
def test_a_killed_collection_keeps_the_finished_sources(place: Place) -> None:
    put_omni(place.hub, OMNI)
    first = place.collect("omni_math,aime")
    assert first.returncode == 2
    before = place.cached("omni_math").sha256
    place.hub.put("qq8933/AIME_1983_2024", {
        "README.md": "# AIME\n",
        "AIME.csv": "ID,Year,Question,Answer\n1983-1,1983,q,60\n2024-1,2024,r,7\n",
    })  # fmt: skip
    place.hub.requests.clear()
    done = place.collect("omni_math,aime")
    assert done.returncode == 0, done.stderr
    assert place.cached("omni_math").sha256 == before
    assert not any("Omni" in request for request in place.hub.requests)
    (row,) = place.cached("aime").read("questions", Question)
    assert (row.question, row.answer) == ("q", "60")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("absent", "not found, or not for this token"),
        ("no split", "Unknown split"),
        ("no column", "test has no column solution, found problem"),
        ("no revision", "no such revision"),
        ("not json", "source omni_math (KbsdJames/Omni-MATH) cannot be read: "),
        ("empty", "source omni_math (KbsdJames/Omni-MATH) cannot be read: "),
    ],
)
def test_a_source_that_cannot_be_read_names_itself_and_the_ways_around(
    place: Place, fault: str, message: str
) -> None:
    words: list[str] = []
    if fault == "no split":
        place.hub.put("KbsdJames/Omni-MATH", {"README.md": "#\n", "train.jsonl": jsonl(OMNI)})
    elif fault == "no column":
        put_omni(place.hub, {"problem": "p"})
    elif fault == "no revision":
        put_omni(place.hub, OMNI)
        words = ["--sources.omni_math.revision", "v9"]
    elif fault == "not json":
        place.hub.put("KbsdJames/Omni-MATH", {"README.md": "#\n", "test.jsonl": '{"problem": '})
    elif fault == "empty":
        place.hub.put("KbsdJames/Omni-MATH", {"README.md": "#\n"})
    done = place.collect("omni_math", *words)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "pass --sources.omni_math.path FILE (JSONL or Parquet), or --sources.skip" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not (place.out / "cache" / "sources" / "omni_math").exists()


def test_a_gated_source_says_what_its_gate_wants(place: Place) -> None:
    place.hub.put("Idavidrein/gpqa", {"README.md": "#\n"})
    place.hub.gated.add("Idavidrein/gpqa")
    done = place.collect("gpqa")
    assert done.returncode == 2
    assert "(it is gated: accept the terms of Idavidrein/gpqa on the hub, then" in done.stderr
    assert "set HF_TOKEN); pass --sources.gpqa.path" in done.stderr
    benchmark = place.benchmark("gpqa_diamond")
    assert benchmark.returncode == 2
    assert "put eval/gpqa_diamond.jsonl or .parquet into the folder" in benchmark.stderr


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("refused", "the hub cannot be reached"),
        pytest.param("silent", "the hub did not answer in time", marks=pytest.mark.slow),
        ("offline", "HF_HUB_OFFLINE is set"),
    ],
)
def test_a_hub_out_of_reach_does_not_hang(tmp_path: Path, how: str, message: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if how == "silent":
            listener.listen()
        port = listener.getsockname()[1]
        words = {"HF_HUB_OFFLINE": "1"} if how == "offline" else {}
        place = Place(Hub(), f"http://127.0.0.1:{port}", tmp_path, words)
        started = time.monotonic()
        done = place.collect("math")
    assert time.monotonic() - started < 60
    assert done.returncode == 2, done.stderr
    assert f"source math (simplescaling/openaimath) cannot be read: {message}; " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_benchmark_of_the_hub_is_written_in_its_order(place: Place) -> None:
    rows = [{"problem": str(n), "answer": n, "solution": "s", "url": "u"} for n in range(5)]
    place.hub.put("AI-MO/aimo-validation-aime", {"README.md": "#\n", "train.jsonl": jsonl(*rows)})
    done = place.benchmark("aimo_validation", "--num_questions", "3")
    assert done.returncode == 0, done.stderr
    written = artifacts.load(place.root / "benchmark", kind="questions")
    found = written.read("questions", Question)
    assert [(row.question, row.answer) for row in found] == [("0", "0"), ("1", "1"), ("2", "2")]
    again = place.benchmark("aimo_validation", "--num_questions", "3")
    assert again.stderr.splitlines() == [f"up to date: {written.path}"]
