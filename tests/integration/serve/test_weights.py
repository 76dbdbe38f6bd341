"""Weights into a store by hash: over kills, cuts and a second run; nothing unverified is seen."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from s1_core import artifacts
from s1_core.errors import UserError
from s1_serve.weights import WeightsConfig

MIB = 1 << 20
FIRST, SECOND, LAST = "a/one.safetensors", "b two.safetensors", "c.json"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model artifact of 3 MiB in three files, one of them empty."""
    folder = tmp_path_factory.mktemp("source") / "model"
    with artifacts.create(folder, kind="model", config={}) as draft:
        (draft.path / "a").mkdir()
        (draft.path / FIRST).write_bytes(os.urandom(MIB))
        # Tests alter its first and last byte to "?", which it must not be by chance.
        (draft.path / SECOND).write_bytes(b"!" + os.urandom(2 * MIB + 15) + b"!")
        (draft.path / LAST).write_bytes(b"")
    return artifacts.load(folder)


@pytest.fixture
def store(tmp_path):
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@dataclass
class Shelf:
    """An HTTP server of a folder, with faults by the file's path: each a list, used up in turn.

    A fault is a status, or the number of bytes after which the connection is cut; with `holds`
    it is held open there instead.
    """

    folder: Path
    knows_ranges: bool = True
    holds: bool = False
    faults: dict[str, list[int]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    freed: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@contextmanager
def shelf(folder, **options):
    shelf = Shelf(Path(folder), **options)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            _answer(shelf, self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that was killed
    shelf.url = f"http://127.0.0.1:{server.server_port}/store/model"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield shelf
    finally:
        shelf.freed.set()
        server.shutdown()
        server.server_close()


def _answer(shelf, handler):
    name = handler.path.removeprefix("/store/model/").replace("%20", " ")
    asked = handler.headers.get("range")
    shelf.asked.append((name, asked))
    shelf.tokens.add(handler.headers.get("authorization"))
    file, faults = shelf.folder / name, shelf.faults.get(name, [])
    fault = faults.pop(0) if faults else None
    status = 200 if file.is_file() else 404
    if fault is not None and 400 <= fault < 600:
        status = fault
    if status != 200:
        handler.send_response(status)
        handler.send_header("content-length", "0")
        handler.end_headers()
        return
    content = file.read_bytes()
    start = int(asked[6:-1]) if asked and shelf.knows_ranges else 0
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("content-range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    body = content[start:]
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body if fault is None else body[:fault])
    if fault is not None:
        handler.wfile.flush()
        if shelf.holds:
            shelf.freed.wait(60)
        handler.close_connection = True


def command(model, source, store, *flags):
    words = ["--sha256", model.sha256, "--source", str(source), "--store", str(store)]
    return [sys.executable, "-m", "s1_serve.weights", *words, *flags]


def bring(model, source, store, *flags, code=0, **variables):
    """Run the verb; give what it said."""
    environment = os.environ | variables
    done = subprocess.run(
        command(model, source, store, *flags), capture_output=True, text=True, env=environment
    )
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    if code:
        said = [line for line in done.stderr.splitlines() if line.startswith("s1: ")]
        assert len(said) == 1 and not done.stdout, done.stderr
        assert not (store / model.sha256).exists()
        return said[0]
    assert done.stdout == f"{store / model.sha256}\n"
    assert artifacts.load(store / model.sha256, kind="model").sha256 == model.sha256
    assert [path.name for path in store.iterdir()] == [model.sha256], "something was left behind"
    return done.stderr


def kept(model, store):
    return store / f".{model.sha256}.kept"


def begun(model, store):
    """Wait until some of the second file is there; give it."""
    half, deadline = kept(model, store) / SECOND, time.monotonic() + 30
    while time.monotonic() < deadline and not (half.exists() and half.stat().st_size):
        time.sleep(0.02)
    return half


def test_from_a_folder_and_again(model, store):
    said = bring(model, model.path, store)
    assert f"2 of 3: {SECOND}, 2.1 MB, verified" in said
    there = store / model.sha256
    assert not (there / artifacts.RUN).exists(), "what is not in the manifest does not come"
    assert (there / FIRST).stat().st_mode & 0o777 == 0o644
    before = there.stat().st_ino
    assert bring(model, store / "gone", store).endswith(f"up to date: {there}\n")
    assert there.stat().st_ino == before


def test_over_http_with_cuts_and_a_busy_server(model, store):
    faults = {artifacts.MANIFEST: [503], SECOND: [700_000, 600_000], FIRST: [429]}
    with shelf(model.path, faults=faults) as server:
        said = bring(model, server.url, store, S1_SOURCE_TOKEN="secret")
    assert [pair for pair in server.asked if pair[0] == SECOND] == [
        (SECOND, None), (SECOND, "bytes=700000-"), (SECOND, "bytes=1300000-")
    ]  # fmt: skip
    assert server.tokens == {"Bearer secret"}
    assert said.count("; asking again") == 4 and "HTTP 503" in said and "secret" not in said


def test_a_server_without_ranges_sends_again(model, store):
    with shelf(model.path, faults={SECOND: [700_000]}, knows_ranges=False) as server:
        said = bring(model, server.url, store)
    ranges = [asked for name, asked in server.asked if name == SECOND]
    assert ranges == [None, "bytes=700000-"] and said.count("; asking again") == 1


def test_after_kill_9_what_is_kept_does_not_come_again(model, store):
    """Killed as the second file is half there, then run again."""
    with shelf(model.path, faults={SECOND: [MIB + 5]}, holds=True) as server:
        process = subprocess.Popen(command(model, server.url, store), stderr=subprocess.DEVNULL)
        half = begun(model, store)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        size = half.stat().st_size
        assert 0 < size <= MIB + 5
        assert not (store / model.sha256).exists() and (kept(model, store) / FIRST).is_file()
        server.asked.clear()
        bring(model, server.url, store)
    names = [name for name, _ in server.asked]
    assert FIRST not in names and (SECOND, f"bytes={size}-") in server.asked


@pytest.mark.parametrize(
    "remains",
    [lambda whole: b"?" * 99, lambda whole: whole + b"?", lambda whole: b"?" + whole[1:]],
    ids=["a broken start", "too much", "a broken whole"],
)
def test_what_a_kill_left_broken_is_fetched_anew(model, store, remains):
    kept(model, store).mkdir()
    whole = (model.path / SECOND).read_bytes()
    (kept(model, store) / SECOND).write_bytes(remains(whole))
    bring(model, model.path, store)
    assert (store / model.sha256 / SECOND).read_bytes() == whole


def test_two_at_once(model, store):
    """One brings it, the others wait and find it there."""
    with shelf(model.path, faults={FIRST: [1000]}, holds=True) as server:
        runs = [
            subprocess.Popen(
                command(model, server.url, store),
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for _ in range(3)
        ]  # fmt: skip
        waiting = [run.stderr.readline() for run in _those_that_speak(runs, store, model)]
        server.freed.set()
        said = [run.communicate(timeout=60) for run in runs]
    assert all("waiting for it" in line for line in waiting)
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert {out for out, _ in said} == {f"{store / model.sha256}\n"}
    assert sum("up to date" in error for _, error in said) == 2
    assert [name for name, _ in server.asked].count(LAST) <= 1
    assert artifacts.load(store / model.sha256).sha256 == model.sha256
    assert [path.name for path in store.iterdir()] == [model.sha256]


def _those_that_speak(runs, store, model):
    """Give the two that do not hold the lock, once one does and asks."""
    import select

    deadline, found = time.monotonic() + 30, set()
    while time.monotonic() < deadline and len(found) < 2:
        ready, _, _ = select.select([run.stderr for run in runs], [], [], 0.2)
        found |= {run for run in runs if run.stderr in ready}
    assert len(found) == 2, "of three runs two wait"
    return found


def test_a_stopped_run_says_so_and_goes_on(model, store):
    with shelf(model.path, faults={SECOND: [MIB + 5]}, holds=True) as server:
        process = subprocess.Popen(
            command(model, server.url, store), stderr=subprocess.PIPE, text=True
        )
        begun(model, store)
        process.terminate()
        assert process.wait(20) == 75 and "run the same command again" in process.stderr.read()
        bring(model, server.url, store)


def test_refusals_are_one_line_and_leave_no_model(model, store, tmp_path):
    def altered(name, content):
        folder = shutil.copytree(model.path, tmp_path / name, dirs_exist_ok=True)
        (folder / SECOND).write_bytes(content)
        return folder

    content = (model.path / SECOND).read_bytes()
    other = shutil.copytree(model.path, tmp_path / "other")
    (other / artifacts.MANIFEST).write_text("{}")
    cases = [
        (altered("x", content[:-1] + b"?"), f"{SECOND} at"),
        (altered("short", content[:-1]), f"the manifest says {len(content)}"),
        (other, "has sha256 44136fa355b3678a"),
        (tmp_path / "nowhere", "no file"),
    ]
    for folder, line in cases:
        assert line in bring(model, folder, store, code=2)
        with shelf(folder) as server:
            shown = "HTTP 404" if folder.name == "nowhere" else line
            assert shown in bring(model, server.url, store, code=2)
    assert not (kept(model, store) / SECOND).stat().st_size, "what is not the manifest's stayed"
    assert "no store at" in bring(model, model.path, tmp_path / "none", code=2)
    shutil.rmtree(kept(model, store))
    with shelf(model.path, faults={FIRST: [500, 0]}) as server:
        assert "2 times in a row" in bring(model, server.url, store, "--retries", "1", code=2)
    with shelf(model.path, faults={FIRST: [9]}, holds=True) as server:
        flags = ("--retries", "0", "--timeout_s", "0.5")
        assert "timed out" in bring(model, server.url, store, *flags)
    shutil.rmtree(store / model.sha256)
    assert "refused" in bring(model, server.url, store, "--retries", "0", code=2)


def test_a_model_that_changes_while_it_is_read(model, store, tmp_path):
    """The half that came before goes with it: the next run begins anew."""
    source = shutil.copytree(model.path, tmp_path / "source")
    with shelf(source, faults={SECOND: [MIB]}, holds=True) as server:
        process = subprocess.Popen(
            command(model, server.url, store), stderr=subprocess.PIPE, text=True
        )
        half = begun(model, store)
        (source / SECOND).write_bytes(os.urandom(2 * MIB + 17))
        server.freed.set()
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 2 and f"{SECOND} at {server.url} is not" in said
    assert not half.exists() and not (store / model.sha256).exists()


def test_an_altered_model_in_the_store_is_told_not_mended(model, store):
    bring(model, model.path, store)
    weights = store / model.sha256 / SECOND
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    done = subprocess.run(command(model, model.path, store), capture_output=True, text=True)
    assert done.returncode == 2 and "was altered or cut short" in done.stderr and not done.stdout


def test_only_a_model_and_only_below_its_folder(store, tmp_path):
    for name, kind, files, line in (
        ("data", "s1k", [], "holds 's1k', no model"),
        ("escape", "model", ["../x"], "names a file outside of it: '../x'"),
        ("root", "model", ["/etc/x"], "names a file outside of it: '/etc/x'"),
    ):
        with artifacts.create(tmp_path / name, kind=kind, config={}) as draft:
            (draft.path / "file").write_text("")
        manifest = tmp_path / name / artifacts.MANIFEST
        text = manifest.read_text()
        for path in files:
            text = text.replace('"path": "file"', f'"path": "{path}"')
        manifest.write_text(text)
        found = artifacts.Artifact(tmp_path / name, kind, {}, {}, artifacts.sha256_of(manifest), ())
        assert line in bring(found, tmp_path / name, store, code=2)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"sha256": "sha256:00"}, "give the 64 digits"),
        ({"source": "s3://models/a"}, "give a folder, or"),
        ({"source": "https://models.example.com/a?signed=1"}, "give a folder, or"),
        ({"retries": -1}, "retries is -1"),
        ({"timeout_s": 0.0}, "timeout_s is 0"),
    ],
)
def test_what_a_configuration_refuses(fields, line):
    with pytest.raises(UserError, match=line):
        WeightsConfig(**({"sha256": "0" * 64, "source": "models/a"} | fields))
