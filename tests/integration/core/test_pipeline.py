"""A line of verbs: in order, with their exit codes, stopped by a signal, dying with its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from processes import alive

VERB = """
import pathlib, sys
out, action = pathlib.Path(sys.argv[1]), sys.argv[2]
with out.open("a") as log:
    log.write(action + "\\n")
if action.startswith("exit"):
    sys.exit(int(action[4:]))
"""
STOPPABLE = """
import dataclasses, os, pathlib, time
from s1_core import cli
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    out: pathlib.Path
def main(config):
    (config.out.with_suffix(".pid")).write_text(str(os.getpid()))
    try:
        time.sleep(60)
    finally:
        time.sleep(0.5)
        with config.out.open("a") as log:
            log.write("cleaned\\n")
cli.run(Config, main, package="core")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "verb.py").write_text(VERB)
    (tmp_path / "stoppable.py").write_text(STOPPABLE)
    return tmp_path


def start(place: Path, steps: list[list[str]]) -> subprocess.Popen[str]:
    line = {"steps": [{"name": f"step {n}", "run": run} for n, run in enumerate(steps)]}
    (place / "line.yaml").write_text(yaml.safe_dump(line))
    words = ["--config", str(place / "line.yaml"), "--out", str(place / "log")]
    return subprocess.Popen(
        [sys.executable, "-m", "s1_core.pipeline", *words],
        env=os.environ | {"PYTHONPATH": str(place)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def appears(path: Path) -> str:
    for _ in range(200):
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


def test_steps_run_in_order(place: Path) -> None:
    line = start(place, [["verb", "{out}", "one"], ["verb", "{out}", "two"]])
    assert line.wait(30) == 0
    assert (place / "log").read_text() == "one\ntwo\n"


@pytest.mark.parametrize("code", [1, 2, 3])
def test_the_first_failure_ends_the_line_with_its_code(place: Path, code: int) -> None:
    line = start(place, [["verb", "{out}", f"exit{code}"], ["verb", "{out}", "never"]])
    assert line.wait(30) == code
    assert (place / "log").read_text() == f"exit{code}\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_verb_clean_up_and_ends_in_75(place: Path, signum: int) -> None:
    """Sent to the whole group, as a terminal sends Ctrl-C: the verb must not hear it twice."""
    line = start(place, [["stoppable", "--out", "{out}"]])
    appears(place / "log.pid")
    os.killpg(line.pid, signum)
    assert line.wait(30) == 75
    assert (place / "log").read_text() == "cleaned\n"
    assert line.stderr and "goes on from there" in line.stderr.read()


def test_a_killed_line_takes_its_verb_along(place: Path) -> None:
    line = start(place, [["stoppable", "--out", "{out}"]])
    child = int(appears(place / "log.pid"))
    line.kill()
    line.wait(30)
    for _ in range(100):
        if not alive(child):
            break
        time.sleep(0.05)
    assert not alive(child)
