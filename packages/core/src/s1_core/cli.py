"""A command line from a frozen dataclass: YAML and flags in, exit codes and one-line errors out.

Owns signals, exit codes and the console. Refuses unknown keys, naming the nearest valid one.
"""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TypeVar

from s1_core.config_parser import parse
from s1_core.errors import Interrupted, S1Error, UserError

if TYPE_CHECKING:
    from rich.console import Console

ConfigT = TypeVar("ConfigT")
ItemT = TypeVar("ItemT")

_AGAIN = "interrupted; run the same command again to go on"
_DISK_FAULTS = {
    errno.EFBIG: "a file outgrew the limit on its size (ulimit -f); raise it and run again",
    errno.ENOSPC: "the disk is full; free some space and run the command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the command again",
    errno.EACCES: "no permission; choose another place or change its permissions",
    errno.EPERM: "no permission; choose another place or change its permissions",
    errno.EROFS: "the file system is read-only; choose another place",
}


def run(
    config_class: type[ConfigT],
    main: Callable[[ConfigT], int | None],
    *,
    package: str,
    recipe: str | None = None,
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """Parse a configuration, call `main` with it and exit with the house's codes.

    `--config` takes a path or the name of a file in packages/<package>/configs; flags override
    it, and `recipe` names the file read without one. A `POSITIONAL: ClassVar[str]` of the class
    names the field that needs no flag.
    SIGTERM and Ctrl-C raise KeyboardInterrupt in `main` and end in exit code 75.
    """
    with _stoppable() as heard:
        try:
            config = parse(config_class, sys.argv[1:] if argv is None else argv, package, recipe)
            code = main(config) or 0
        except S1Error as error:
            code = _fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            code = _fail(_AGAIN, Interrupted.exit_code)
        except OSError as error:
            if error.errno not in _DISK_FAULTS:
                raise
            where = f"{error.filename}: " if error.filename else ""
            code = _fail(where + _DISK_FAULTS[error.errno], UserError.exit_code)
        finally:
            # C code may swallow the KeyboardInterrupt and then fail in a way of its own.
            if heard and sys.exc_info()[0] is not None:
                sys.exit(_fail(_AGAIN, Interrupted.exit_code))
    sys.exit(code)


@functools.cache
def console() -> Console:
    """Give the console of this process; it writes to stderr, so that stdout stays for results."""
    from rich.console import Console

    return Console(stderr=True)


def say(text: str) -> None:
    """Print a line on stderr as it is: neither wrapped nor coloured."""
    console().print(text, highlight=False, markup=False, soft_wrap=True)


def progress(
    items: Iterable[ItemT], description: str, *, total: float | None = None
) -> Iterator[ItemT]:
    """Walk over items with a bar, a count and a rate on stderr; without a terminal, just walk."""
    if not console().is_terminal:
        yield from items
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate)
    bar = Progress(*columns, TimeRemainingColumn(), console=console(), transient=True)
    with bar:
        task = bar.add_task(description, total=total, rate="")
        for item in items:
            yield item
            speed = bar.tasks[task].speed
            bar.update(task, advance=1, rate=f"{speed:,.0f}/s" if speed else "")


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say what is being worked on while it lasts; without a terminal, say nothing."""
    if not console().is_terminal:
        yield
        return
    with console().status(what):
        yield


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Turn the first SIGTERM into KeyboardInterrupt; later ones wait for the clean-up.

    Yields a list that holds the signal once it was heard.
    """
    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    owner = os.getpid()

    def stop(signum: int, _frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker: die as it would have without us
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
            return
        signal.signal(signum, signal.SIG_IGN)
        heard.append(signum)
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield heard
    finally:
        if not heard:  # else a second request could still kill the interpreter on its way out
            signal.signal(signal.SIGTERM, former)


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    console().print(f"s1: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    return code
