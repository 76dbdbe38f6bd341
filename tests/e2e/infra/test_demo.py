"""The README's first command, as a user has it: killed, stopped, finished, run again, looked at."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
JUST = ROOT / ".venv" / "bin" / "just"
DATA = ["questions", "attempts", "s1k", "heldout"]
CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def just(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([JUST, *words], cwd=ROOT, capture_output=True, text=True)


def interrupt(out: Path, marker: str, seconds: float, with_signal: int) -> int:
    """Start the demo, wait until it says `marker` and some seconds more, and end it."""
    log = out.parent / "interrupted.log"
    with log.open("w") as stream:
        demo = subprocess.Popen(
            [JUST, "demo", "--out", str(out)],
            cwd=ROOT, stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
        while marker not in log.read_text() and demo.poll() is None:
            time.sleep(0.1)
        time.sleep(seconds)
        assert demo.poll() is None, log.read_text()
        os.killpg(demo.pid, with_signal)
        return demo.wait()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The finished demo, after a kill in the data, one in training and a SIGTERM in evaluation."""
    out = tmp_path_factory.mktemp("demo") / "out"
    interrupt(out, "1/7", 1.0, signal.SIGKILL)
    interrupt(out, "2/7", 9.0, signal.SIGKILL)
    interrupt(out, "step 50/", 2.0, signal.SIGKILL)
    assert interrupt(out, "7/7", 20.0, signal.SIGTERM) in (75, -signal.SIGTERM)
    finished = just("demo", "--out", str(out))
    assert finished.returncode == 0, finished.stderr
    yield out


def manifests(out: Path) -> dict[str, bytes]:
    return {name: (out / name / "manifest.json").read_bytes() for name in DATA}


def test_kills_leave_no_trace_in_the_data(demo: Path, tmp_path: Path) -> None:
    undisturbed = just("demo", "--out", str(tmp_path / "out"), "--until", "benchmark")
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert manifests(demo) == manifests(tmp_path / "out")
    assert json.loads(manifests(demo)["s1k"])["files"]


def test_a_second_run_does_nothing(demo: Path) -> None:
    written = {path: path.stat().st_mtime_ns for path in demo.rglob("manifest.json")}
    again = just("demo", "--out", str(demo))
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("up to date") >= 7
    assert written == {path: path.stat().st_mtime_ns for path in demo.rglob("manifest.json")}


def test_thinking_longer_raises_accuracy(demo: Path) -> None:
    runs = json.loads((demo / "report" / "report.json").read_text())["runs"]
    budgets = {run["max"]: run["accuracy"] for run in runs if run["method"] == "budget"}
    assert min(run["num_questions"] for run in runs) >= 240
    assert budgets[0] <= 25
    assert max(budgets.values()) >= 80


def test_waiting_finds_the_third_r(demo: Path) -> None:
    question = "How many r in raspberry?"
    asked = just("ask", question, "--model", str(demo / "model"), "--extends", "1")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip().endswith("3")


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium")
def test_the_page_stands_alone_and_shows_its_figures(demo: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        faults: list[str] = []
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((demo / "report" / "report.html").as_uri())
        boxes = [figure.bounding_box() for figure in page.query_selector_all("svg")]
        overflow = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        browser.close()
    assert len(boxes) >= 3 and all(box and box["width"] > 300 for box in boxes)
    assert faults == []
    assert not overflow
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.mark.skipif("S1_DATA" not in os.environ, reason="needs real questions: S1_DATA")
def test_the_line_runs_on_real_questions(tmp_path: Path) -> None:
    done = just("demo", "--config", "real", "--out", str(tmp_path / "real"))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "real" / "report" / "report.json").read_text())
    assert [one["num_questions"] for one in report["benchmarks"]] == [30]
    assert any((run["max"] or 0) > 0 and run["mean_thinking_tokens"] > 0 for run in report["runs"])


@pytest.mark.skipif("S1_DATA" not in os.environ, reason="needs real questions: S1_DATA")
def test_one_command_measures_several_benchmarks(tmp_path: Path) -> None:
    done = just("demo", "--config", "benchmarks", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "report"
    report = json.loads((folder / "report.json").read_text())
    assert [one["name"] for one in report["benchmarks"]] == ["heldout", "aime24", "math500"]
    assert [one["num_questions"] for one in report["benchmarks"]] == [100, 30, 100]
    assert all(
        run["interval"][0] <= run["accuracy"] <= run["interval"][1] for run in report["runs"]
    )
    assert report["without_room"] > 0 and (folder / "thinking.png").is_file()
