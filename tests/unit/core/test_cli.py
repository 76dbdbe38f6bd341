"""The command line: keys, recipes, positional words, exit codes and signals."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1_core import cli, config_parser
from s1_core.errors import Interrupted, NumericsError, S1Error, UserError


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Settings below a key."""

    lr: float = 1e-3
    """Learning rate."""
    num_steps: int = 1


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Settings of a verb."""

    POSITIONAL: ClassVar[str] = "question"
    out: Path
    question: str = ""
    num_rows: int = 3
    mode: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    counts: list[int] = field(default_factory=list)
    inner: Inner = field(default_factory=Inner)
    table: dict[str, int] = field(default_factory=dict)
    streams: bool = False

    def __post_init__(self) -> None:
        if self.num_rows < 0:
            raise ValueError(f"num_rows: found {self.num_rows}, wanted 0 or more")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Settings of a verb that takes two words."""

    POSITIONAL: ClassVar[tuple[str, ...]] = ("left", "right")
    left: str
    right: str = "none"
    is_loud: bool = False


VERB = """
import sys, time
from dataclasses import dataclass
from s1_core import cli
@dataclass(frozen=True, kw_only=True)
class Config:
    seconds: float = 0
def main(config):
    try:
        print(sorted({"torch", "pyarrow", "numpy", "transformers"} & set(sys.modules)), flush=True)
        time.sleep(config.seconds)
    finally:
        print("cleaned", flush=True)
cli.run(Config, main, package="core")
"""


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package s1_probe with a folder of recipes, as the installed ones have it."""
    package = tmp_path / "packages" / "probe" / "src" / "s1_probe"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(package.parent))
    configs = tmp_path / "packages" / "probe" / "configs"
    configs.mkdir()
    return configs


def parsed(*argv: str) -> Probe:
    return config_parser.parse(Probe, argv, "core")


def ended(main: Callable[[Probe], int | None], *argv: str) -> Any:
    with pytest.raises(SystemExit) as end:
        cli.run(Probe, main, package="core", argv=argv)
    return end.value.code


def test_flags_override_the_recipe_and_nested_keys_arrive(recipes: Path) -> None:
    (recipes / "small.yaml").write_text("num_rows: 5\ninner: {lr: 1e-4, num_steps: 7}\n")
    flags, recipe = ["--out", "x", "--inner.num_steps", "9"], ["--config", "small"]
    for argv in (flags + recipe, recipe + flags):
        found = config_parser.parse(Probe, argv, "probe")
        assert found == Probe(out=Path("x"), num_rows=5, inner=Inner(lr=1e-4, num_steps=9))


def test_without_config_the_default_recipe_is_read_and_flags_override_it(recipes: Path) -> None:
    (recipes / "small.yaml").write_text("num_rows: 5\nnames: [a]\n")
    (recipes / "other.yaml").write_text("num_rows: 6\n")
    found = config_parser.parse(Probe, ["--out", "x", "--names", "b"], "probe", "small")
    assert (found.num_rows, found.names) == (5, ("b",))
    named = config_parser.parse(Probe, ["--out", "x", "--config", "other"], "probe", "small")
    assert (named.num_rows, named.names) == (6, ())


@pytest.mark.parametrize(
    ("text", "names"),
    [("a", ("a",)), ("a, b", ("a", "b")), ('["a,b"]', ("a,b",)), ("[a, b]", ("a", "b")), ("", ())],
)
def test_a_list_of_words_may_be_written_with_commas(text: str, names: tuple[str, ...]) -> None:
    assert parsed("--out", "x", f"--names={text}").names == names


def test_a_list_of_counts_may_be_written_with_commas() -> None:
    for text in ("4", "[4]", "4, 8", "[4, 8]"):
        assert parsed("--out", "x", f"--counts={text}").counts == [4, 8][: text.count(",") + 1]
    with pytest.raises(UserError, match="counts"):
        parsed("--out", "x", "--counts", "4,few")


def test_dashes_and_underscores_are_one_flag() -> None:
    found = parsed("--out", "x", "--num-rows", "4", "--inner.num-steps=3")
    assert (found.num_rows, found.inner.num_steps) == (4, 3)


def test_config_takes_a_path_too(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("num_rows: 6\n")
    assert parsed("--config", str(tmp_path / "mine.yaml"), "--out", "x").num_rows == 6


def test_an_unknown_recipe_lists_the_known_ones(recipes: Path) -> None:
    (recipes / "tiny.yaml").write_text("num_rows: 5\n")
    with pytest.raises(UserError, match=r"recipes of probe: tiny"):
        config_parser.parse(Probe, ["--config", "huge"], "probe")


def test_words_bools_dicts_and_negatives() -> None:
    found = parsed("what is 2=2?", "--streams", "--out=x", "--table.k", "-3", "--names", "[a, b]")
    assert found.question == "what is 2=2?"
    assert found.streams and found.table == {"k": -3} and found.names == ("a", "b")
    assert not parsed("--streams", "false", "--out", "x").streams


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["a", "b"], Pair(left="a", right="b")),
        (["a"], Pair(left="a")),
        (["--is-loud", "a", "b"], Pair(left="a", right="b", is_loud=True)),
        (["a", "--right", "b"], Pair(left="a", right="b")),
    ],
)
def test_several_words_are_the_positional_fields_in_order(argv: list[str], wanted: Pair) -> None:
    assert config_parser.parse(Pair, argv, "core") == wanted


def test_a_word_too_many_and_a_missing_one_are_told() -> None:
    with pytest.raises(UserError, match="'c'"):
        config_parser.parse(Pair, ["a", "b", "c"], "core")
    with pytest.raises(UserError, match="missing: --left"):
        config_parser.parse(Pair, [], "core")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--out", "x", "--num_row", "3"], ["--num_row;", "--num_rows"]),
        (["--out", "x", "--inner.lrr", "3"], ["--inner.lrr", "--inner.lr"]),
        (["--num_rows", "3"], ["missing", "--out"]),
        (["--out", "x", "--num_rows", "many"], ["--num_rows", "int", "many"]),
        (["--out", "x", "--num_rows", "-1"], ["num_rows: found -1"]),
        (["--out", "x", "--mode", "c"], ["--mode", "'a'", "'b'"]),
        (["--out"], ["--out wants a value"]),
        (["one", "two", "--out", "x"], ["'two'"]),
    ],
)
def test_faulty_arguments_end_in_one_line_and_code_2(
    argv: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(lambda _: pytest.fail("must not run"), *argv) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and printed.startswith("s1: ")
    for word in words:
        assert word in printed


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("num_row: 3", ["num_row;", "num_rows"]),
        ("inner: {lr: 1, num_stepz: 2}", ["inner.num_stepz", "inner.num_steps"]),
        ("- a", ["list"]),
        ("a: [", ["not valid YAML"]),
    ],
)
def test_faulty_yaml_names_the_file(yaml: str, words: list[str], tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(yaml)
    with pytest.raises(UserError) as error:
        parsed("--config", str(file), "--out", "x")
    for word in [str(file), *words]:
        assert word in str(error.value)


@given(st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12))
def test_every_unknown_flag_names_a_valid_one(name: str) -> None:
    valid = {"config", *(one.name for one in fields(Probe))}
    if name in valid | {"help", "print_config"}:
        return
    with pytest.raises(UserError) as error:
        parsed("--out", "x", f"--{name}", "1")
    nearest = str(error.value).rpartition("--")[2]
    assert nearest in valid | {"inner.lr", "inner.num_steps"}


def fails_with(error: BaseException) -> Callable[[Probe], None]:
    def main(_: Probe) -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (S1Error("ours"), 1, "ours"),
        (UserError("theirs"), 2, "theirs"),
        (NumericsError("NaN"), 3, "NaN"),
        (Interrupted("saved"), 75, "saved"),
        (KeyboardInterrupt(), 75, "interrupted"),
        (OSError(errno.ENOSPC, "No space", "/here"), 2, "/here: the disk is full"),
        (PermissionError(errno.EACCES, "No", "/there"), 2, "/there: no permission"),
        (OSError(errno.EROFS, "read-only"), 2, "read-only"),
        (OSError(errno.EFBIG, "File too large"), 2, "ulimit -f"),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(fails_with(error), "--out", "x") == code
    assert word in capsys.readouterr().err


def test_a_result_code_passes_and_our_own_faults_fly() -> None:
    assert ended(lambda _: None, "--out", "x") == 0
    assert ended(lambda _: 3, "--out", "x") == 3
    with pytest.raises(ZeroDivisionError):
        cli.run(Probe, fails_with(ZeroDivisionError()), package="core", argv=["--out", "x"])


def test_print_config_gives_the_resolved_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(lambda _: None, "--out", "x", "--num_rows", "4", "--print_config") == 0
    assert "num_rows: 4" in capsys.readouterr().out


def test_progress_is_quiet_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(cli.progress([1, 2], "counting")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_help_is_quick_and_a_verb_starts_without_heavy_imports(tmp_path: Path) -> None:
    (tmp_path / "verb.py").write_text(VERB)

    def seconds_of_help() -> float:
        start = time.monotonic()
        shown = subprocess.run(
            [sys.executable, tmp_path / "verb.py", "--help"], capture_output=True, text=True
        )
        assert shown.returncode == 0 and "--seconds" in shown.stdout
        return time.monotonic() - start

    assert min(seconds_of_help() for _ in range(3)) < 1
    plain = subprocess.run([sys.executable, tmp_path / "verb.py"], capture_output=True, text=True)
    assert plain.stdout.startswith("[]")


def test_a_stop_that_ends_in_an_error_of_its_own_is_still_75() -> None:
    def main(_: Probe) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt as swallowed:
            raise ValueError("as C code does that lost the interruption") from swallowed

    former = signal.getsignal(signal.SIGTERM)
    try:
        assert ended(main, "--out", "x") == 75
    finally:
        signal.signal(signal.SIGTERM, former)  # a verb on its way out hears no more


def test_a_second_request_does_not_kill_a_verb_on_its_way_out(tmp_path: Path) -> None:
    slow = "import atexit, os, time\natexit.register(lambda: (os.close(1), time.sleep(1)))\n"
    (tmp_path / "verb.py").write_text(slow + VERB)
    command = [sys.executable, str(tmp_path / "verb.py"), "--seconds", "30"]
    verb = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert verb.stdout is not None
    verb.stdout.readline()
    verb.terminate()
    verb.stdout.read()  # to its end: the interpreter is winding down
    verb.terminate()
    assert verb.wait(timeout=10) == 75


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_cleanly_with_75(tmp_path: Path, signum: int) -> None:
    (tmp_path / "verb.py").write_text(VERB)
    command = [sys.executable, str(tmp_path / "verb.py"), "--seconds", "30"]
    verb = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert verb.stdout is not None
    verb.stdout.readline()
    os.kill(verb.pid, signum)
    out, err = verb.communicate(timeout=10)
    assert verb.returncode == 75
    assert out == "cleaned\n" and err.count("\n") == 1
