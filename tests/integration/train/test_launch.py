"""Processes on one machine or two: what they say, where they meet, how a lost one ends a run."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from integration.train.test_resume import start_until, workers
from integration.train.verbs import SCRATCH, command, metrics, run, samples
from s1_core.errors import S1Error, UserError
from s1_train.config import TrainConfig
from s1_train.launch import launcher, meeting
from s1_train.launch.meeting import Meeting

pytestmark = pytest.mark.multiprocess


@pytest.fixture
def port() -> int:
    """Find a port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def machine(port: int, rank: int, nodes: int = 2, **changes: int) -> TrainConfig:
    return TrainConfig(
        data=Path("s1k"), out=Path("run"), nodes=nodes, node_rank=rank,
        rendezvous=f"127.0.0.1:{port}", **changes,
    )  # fmt: skip


def test_an_undisturbed_run_says_our_lines_and_no_others(s1k: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    few = ("--data", s1k, "--devices=2", *SCRATCH, "--max_steps=5", "--log_every=3")
    calm = run("--out", folder, *few, "--checkpoints.every_minutes=0.0001")
    assert calm.returncode == 0 and calm.stdout == ""
    begins = ("100 samples, ", "step 3/5  ", "step 5/5  ", f"finished: {folder} (5 steps, ")
    lines = calm.stderr.strip().splitlines()
    assert len(lines) == 4 and all(map(str.startswith, lines, begins)), calm.stderr
    assert re.search(r"; 5 steps on 2 process\(es\), (100|[89]\d)% busy by tokens$", lines[0])
    saved = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert saved == ["step-00000004", "step-00000005"], "by the clock, and the last two are kept"


def test_a_process_without_its_launcher_does_not_begin() -> None:
    """The launcher may have died before its process could ask to die with it."""
    code = "from s1_core.processes import die_with_parent; die_with_parent(1); print('alive')"
    orphan = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (orphan.returncode, orphan.stdout) == (-signal.SIGKILL, "")


def test_processes_that_do_not_divide_a_batch() -> None:
    assert launcher.num_processes(machine(1, 0, devices=4)) == 8
    assert launcher.num_processes(machine(1, 1, nodes=16)) == 16
    with pytest.raises(UserError, match=r"2 node\(s\) with 3 .* batch_size 16"):
        launcher.num_processes(machine(1, 0, devices=3))
    with pytest.raises(UserError, match=r"3 node\(s\) .* batch_size 16"):
        launcher.num_processes(machine(1, 0, nodes=3))


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Stand in for what machine 0 writes."""
    path = tmp_path / "job.json"
    path.write_text("{}")
    return path


@pytest.fixture
def met(port: int, job: Path) -> Iterator[list[Meeting]]:
    """Let two machines meet, the second a little before the first."""
    with ThreadPoolExecutor() as pool:
        late = pool.submit(meeting.arrange, machine(port, 1, join_timeout_s=30), job)
        both = [meeting.arrange(machine(port, 0, join_timeout_s=30), job), late.result()]
        joined = [pool.submit(one.next_rendezvous) for one in reversed(both)]
        infos = [future.result() for future in reversed(joined)]
    assert [info.rank for info in infos] == [0, 1]
    assert {info.bootstrap_store_info.master_addr for info in infos} == {"127.0.0.1"}
    yield both
    for one in both:
        one.shutdown()


def test_who_leaves_ends_it_for_all(met: list[Meeting]) -> None:
    assert [one.num_nodes_waiting() for one in met] == [0, 0]
    met[1].shutdown()
    deadline = time.monotonic() + 10
    with pytest.raises(meeting.Parted):
        while time.monotonic() < deadline:
            met[0].num_nodes_waiting()
            time.sleep(0.1)


def test_a_machine_joins_once(met: list[Meeting], port: int, job: Path) -> None:
    """One that was started anew would find the others in the middle of the run.

    Exit code 1: a cluster may have started it anew after a loss, and no user did wrong.
    """
    with pytest.raises(S1Error, match="machine 1 has already joined") as twice:
        meeting.arrange(machine(port, 1, join_timeout_s=5), job)
    assert twice.value.exit_code == 1


def test_all_machines_have_the_same_job(
    met: list[Meeting], job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "_LATE_S", 0.1)
    met[1].check_job(job)
    former = tmp_path / "former.json"
    former.write_text('{"resume": null}')
    for path in (former, tmp_path / "absent.json"):
        with pytest.raises(UserError, match="a folder that all share"):
            met[1].check_job(path)


def test_machines_that_never_come_end_the_wait_in_one_line(port: int, job: Path) -> None:
    with pytest.raises(S1Error, match=r"machine 1 waited 1 s .* all 2 machines"):
        meeting.arrange(machine(port, 1, join_timeout_s=1), job)
    with pytest.raises(S1Error, match=r"machine 0 waited 1 s .* all 2 machines") as alone:
        meeting.arrange(machine(port, 0, join_timeout_s=1), job).next_rendezvous()
    assert "\n" not in str(alone.value) and alone.value.exit_code == 1


def test_a_port_that_is_taken(port: int, job: Path) -> None:
    with socket.socket() as other:
        other.bind(("", port))
        other.listen()
        with pytest.raises(UserError, match="a free port"):
            meeting.arrange(machine(port, 0, join_timeout_s=1), job)


@pytest.mark.slow
def test_a_crash_shows_its_traceback_once_and_ends_with_1(
    s1k: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "no-such-interface")
    crashed = run("--data", s1k, "--out", tmp_path / "run", "--devices=2", *SCRATCH)
    assert crashed.returncode == 1
    assert crashed.stderr.count("Traceback (most recent call last)") == 1
    last = crashed.stderr.strip().splitlines()[-1]
    assert last.startswith("s1: training process") and "no-such-interface" in last


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_its_log_is_named(
    s1k: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    folder = tmp_path / "run"
    process = start_until(folder, s1k, 5)
    os.kill(workers(process.pid)[1], signal.SIGABRT)
    said = process.communicate(timeout=120)[1].strip().splitlines()
    log = folder / "logs" / "rank-1.log"
    assert process.returncode == 1
    assert said[-1].startswith(f"s1: training process 1 was killed by signal 6, see {log};")
    assert not any("Fatal Python error" in line for line in said)
    assert "Fatal Python error: Aborted" in log.read_text()


@pytest.mark.slow
def test_a_full_disk_under_one_process_ends_all(s1k: Path, tmp_path: Path) -> None:
    """The other process waits for this one's part of the checkpoint."""
    folder = tmp_path / "run"
    process = start_until(folder, s1k, 12, "--strategy=fsdp2")
    most = 100_000
    resource.prlimit(workers(process.pid)[1], resource.RLIMIT_FSIZE, (most, most))
    said = process.communicate(timeout=120)[1].strip().splitlines()
    assert process.returncode == 2
    assert f"s1: cannot write to {folder}: File too large; the last good" in said[-1]
    assert not any("Traceback" in line for line in said)
    kept = [path.name for path in (folder / "checkpoints").glob("step-*")]
    assert kept == ["step-00000010"]


class Pair:
    """A run on two machines of one process each: two launchers on this one."""

    def __init__(self, folder: Path, s1k: Path, port: int, *second: object) -> None:
        """Start both, machine 1 first and with the flags in `second`."""
        self.folder = folder
        flags = ("--data", s1k, "--out", folder, *SCRATCH, "--devices=1", "--nodes=2")
        flags = (*flags, f"--rendezvous=127.0.0.1:{port}")
        commands = [command(*flags, "--node_rank=1", *second), command(*flags, "--node_rank=0")]
        self.launchers = [
            subprocess.Popen(each, stderr=subprocess.PIPE, text=True) for each in commands
        ][::-1]

    def reach(self, step: int) -> None:
        """Wait until the run has taken `step` steps."""
        log = self.folder / "metrics.csv"
        while not log.is_file() or len(log.read_text().splitlines()) <= step:
            assert [one.poll() for one in self.launchers] == [None, None]
            time.sleep(0.01)

    def ends(self) -> list[tuple[int, str]]:
        """Wait for both; give the exit code and the last line of each."""
        said = [one.communicate(timeout=120)[1] for one in self.launchers]
        codes = [one.returncode for one in self.launchers]
        return [
            (code, text.strip().splitlines()[-1]) for code, text in zip(codes, said, strict=True)
        ]


@pytest.mark.slow
def test_two_machines_end_alike_and_go_on_exactly(
    s1k: Path, trained: Path, tmp_path: Path, port: int
) -> None:
    """The whole run, disturbed and all, is that of one machine with two processes."""
    folder = tmp_path / "run"
    stopped = Pair(folder, s1k, port)
    stopped.reach(13)
    os.kill(stopped.launchers[1].pid, signal.SIGTERM)
    for code, line in stopped.ends():
        assert code == 75 and line.startswith("s1: stopped behind step "), line
    broken = Pair(folder, s1k, port)
    broken.reach(25)
    os.kill(workers(broken.launchers[1].pid)[0], signal.SIGKILL)
    for code, line in broken.ends():
        assert code == 1 and "go on from the last checkpoint" in line, line
    assert "training process 1 was killed by signal 9" in line
    assert [end[0] for end in Pair(folder, s1k, port).ends()] == [0, 0]
    assert metrics(folder) == metrics(trained)
    assert samples(folder) == samples(trained)
    again = Pair(folder, s1k, port).ends()
    assert again == [(0, f"up to date: {folder}")] * 2


@pytest.mark.slow
def test_machines_that_do_not_fit_are_refused(s1k: Path, tmp_path: Path, port: int) -> None:
    for code, line in Pair(tmp_path / "run", s1k, port, "--devices=2").ends():
        assert code == 2 and "the machines bring 3 processes in all" in line
    first, second = Pair(tmp_path / "run", s1k, port, "--out", tmp_path / "other").ends()
    assert second[0] == 2 and "--out must be a folder that all share" in second[1]
    assert first[0] == 1 and "another machine has left" in first[1]
