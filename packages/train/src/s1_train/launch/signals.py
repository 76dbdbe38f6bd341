"""SIGTERM and Ctrl-C to a training process: before training it leaves at once, then it votes.

The signals are blocked in all threads but one that waits for them. So a process hears them inside
a collective too, and Lightning's handler never runs: it broadcasts within the handler and hangs
when one process alone is told to stop (Lightning issue 20806).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from s1_core.errors import Interrupted
from s1_train.launch import faults
from s1_train.launch.faults import Fault

_STOP = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """The first request to this process to stop; later ones change nothing."""

    def __init__(self) -> None:
        self._vote: Callable[[], None] | None = None
        self._is_over = False

    def listen(self, fault: Path) -> None:
        """Begin to hear, before any thread starts; `fault` is where to leave word."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
        threading.Thread(target=self._heed, args=(fault,), daemon=True).start()

    def vote_by(self, vote: Callable[[], None]) -> None:
        """From now on answer by `vote`, as steps are lost by leaving."""
        self._vote = vote

    def close(self) -> None:
        """From now on hear nothing: the process is at its end."""
        self._is_over = True

    def _heed(self, fault: Path) -> None:
        signal.sigwait(_STOP)
        if self._is_over:
            return
        if self._vote is None:
            Fault(cause=faults.EARLY, line=faults.STOPPED_EARLY).leave(fault)
            os._exit(Interrupted.exit_code)
        line = f"told to stop, but not saved within --stop_grace_s; {faults.FROM_CHECKPOINT}"
        Fault(cause=faults.UNSAVED, line=line).leave(fault)
        self._vote()


stop_request = StopRequest()
