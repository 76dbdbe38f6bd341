"""Replace a folder in one step, one writer at a time; a killed writer leaves the old folder.

Owns the lock, the temporary sibling and the exchange; knows nothing of what the folder holds.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from s1_core.errors import UserError

AT_FDCWD, RENAME_EXCHANGE = -100, 2
_held: set[Path] = set()


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Yield an empty sibling folder that takes the place of `out` when the body succeeds.

    Raises UserError when another writer, in this process or another, is at work on `out`.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(
            f"{error.filename} is a file, wanted a folder; choose another --out"
        ) from error
    except FileNotFoundError as error:
        raise UserError(f"no folder can be made at {out}; choose another --out") from error
    with locked(out):
        _clear_remains(out)
        temp = out.with_name(f".{out.name}.tmp-{os.getpid()}")
        temp.mkdir()
        try:
            yield temp
            put(temp, out)
        finally:
            shutil.rmtree(temp, ignore_errors=True)


@contextmanager
def locked(out: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of `out`, whose parent is there.

    Raises UserError when another writer has it; with `waiting`, calls that and waits for it.
    A POSIX record lock: unlike flock it is not shared with forked workers, so that an orphan of
    a killed run cannot hold it. It does not see writers of its own process: `_held` does.
    """
    busy = f"another run is writing {out}; wait for it to end, or choose another --out"
    path = out.with_name(f".{out.name}.lock")
    if path in _held:
        raise UserError(busy)
    try:
        descriptor = _acquire(path, busy)
    except UserError:
        if waiting is None:
            raise
        waiting()
        descriptor = _acquire(path, busy, waits=True)
    _held.add(path)
    try:
        yield
    finally:
        _held.discard(path)
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, busy: str, *, waits: bool = False) -> int:
    how = fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(descriptor, how)
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
        except FileNotFoundError:
            pass  # the former holder removed the file between our open and our lock
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise UserError(busy) from error
            raise
        os.close(descriptor)


def _clear_remains(out: Path) -> None:
    """Undo what killed runs left: temporary folders, and an exchange stopped half-way."""
    old = out.with_name(f".{out.name}.old")
    if old.exists() and not out.exists():
        old.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    for sibling in out.parent.iterdir():
        if sibling.name.startswith(f".{out.name}.tmp-"):
            shutil.rmtree(sibling)


def put(temp: Path, out: Path) -> None:
    """Bring a folder to disk, then into the place of `out`, whose lock is held."""
    _sync(temp)
    if not out.exists():
        temp.rename(out)
    elif not _exchange(temp, out):
        old = out.with_name(f".{out.name}.old")
        out.rename(old)
        temp.rename(out)
        shutil.rmtree(old)
    _sync_entry(out.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders atomically; False where the kernel or file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    paths = os.fsencode(one), os.fsencode(other)
    return bool(renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == 0)


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync_entry(path)
    _sync_entry(folder)


def _sync_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
