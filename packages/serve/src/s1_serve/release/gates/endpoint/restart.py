"""The command that replaces the server: it ends well, or says in one line why not."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable

Restart = Callable[[float], str | None]
"""Given seconds to do it in, replaces the server; gives what went wrong."""


def shell(command: str) -> Restart:
    """Run a command line; it and what it started are killed when the time is over."""

    def restart(timeout_s: float) -> str | None:
        process = subprocess.Popen(
            command,
            shell=True,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        try:
            said, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return f"the restart took longer than {timeout_s:g} s"
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        last = (said.strip().splitlines() or ["no word"])[-1]
        return None if process.returncode == 0 else f"the restart failed: {last[:200]}"

    return restart
