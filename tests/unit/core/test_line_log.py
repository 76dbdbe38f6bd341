"""Lines that a kill or a full disk may have torn."""

import json
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1_core.line_log import LineLog


def entries(path: Path) -> list[int]:
    log = LineLog.open(path)
    found = [json.loads(line)["n"] for line in log.read()]
    log.close()
    return found


def written(path: Path, numbers: list[int]) -> None:
    log = LineLog.open(path)
    log.read()
    for n in numbers:
        log.append({"n": n}, is_synced=n % 2 == 0)
    log.close()


@given(before=st.lists(st.integers()), after=st.lists(st.integers()), cut=st.integers(0, 40))
def test_a_torn_end_is_cut_off_and_the_next_line_stands_alone(
    tmp_path_factory: pytest.TempPathFactory, before: list[int], after: list[int], cut: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "deep" / "log.jsonl"
    written(path, before)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut])
    kept = entries(path)
    assert kept == before[: whole[: len(whole) - cut].count(b"\n")]
    written(path, after)
    assert entries(path) == kept + after


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk's end: it, too, lets half a line through."""
    path = tmp_path / "log.jsonl"
    log = LineLog.open(path)
    log.append({"n": 1})
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, former[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            log.append({"n": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    log.append({"n": 3})
    log.close()
    assert entries(path) == [1, 3]
