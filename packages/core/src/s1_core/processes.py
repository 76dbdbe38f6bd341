"""Child processes that never outlive the process that started them."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: a forked child must not open libraries.
_LIBC = ctypes.CDLL(None)


def die_with_parent(parent: int | None = None, *, by: int = signal.SIGKILL) -> None:
    """Be killed with the parent, also by `kill -9`; a rerun would find its folder in use.

    Pass it as `preexec_fn`, or call it first thing with the number of the parent, which may have
    died before. Whatever we write survives a kill, so no grace is needed; a process that has to
    end others of its own is told `by` another signal.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, by)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
