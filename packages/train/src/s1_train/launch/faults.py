"""What a process that does not end well leaves behind, and which of several is the cause.

A fault is a file in the run's folder, which all machines share: so they come to the same end.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from s1_core.errors import Interrupted, NumericsError, S1Error, UserError
from s1_train.runs.folder import RunFolder, read_json, write_json

AGAIN = "run the same command again to go on"
FROM_CHECKPOINT = f"{AGAIN} from the last checkpoint"
STOPPED_EARLY = f"stopped before training began; {AGAIN}"

NUMERICS, USER, SAVED, KILLED = "numerics", "user", "saved", "killed"
CRASHED, EARLY, PARTED, UNSAVED = "crashed", "early", "parted", "unsaved"
# What a process knew for sure comes first. A kill leaves no word, so the launcher's comes late; the
# next three cause each other, and the first in time is the cause; the last is only a consequence.
_ORDER = {NUMERICS: 0, USER: 1, SAVED: 2, KILLED: 3, CRASHED: 4, EARLY: 4, PARTED: 4, UNSAVED: 5}
_ERRORS = {NUMERICS: NumericsError, USER: UserError, SAVED: Interrupted, EARLY: Interrupted}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One end of a process, in one line; a crash has its traceback besides."""

    cause: str
    line: str
    traceback: str = ""
    time: float = field(default_factory=time.time)

    @staticmethod
    def of(error: S1Error) -> Fault:
        """Describe an error that fits in one line."""
        causes = {kind.exit_code: cause for cause, kind in _ERRORS.items() if cause != EARLY}
        return Fault(cause=causes.get(error.exit_code, CRASHED), line=str(error))

    @property
    def error(self) -> S1Error:
        """Make the error that the launcher ends with."""
        return _ERRORS.get(self.cause, S1Error)(self.line)

    def leave(self, path: Path) -> bool:
        """Write the file and say whether that went well; on a full disk it does not."""
        try:
            path.parent.mkdir(exist_ok=True)
            write_json(path, dataclasses.asdict(self))
        except OSError:
            return False
        return True


def unwritable(folder: RunFolder, reason: str) -> str:
    """Say that a process could not write."""
    return (
        f"cannot write to {folder.path}: {reason}; the last good checkpoint is kept,"
        " mend that and run the same command again"
    )


def clear(folder: RunFolder) -> None:
    """Remove the faults of an earlier attempt."""
    for path in _files(folder):
        path.unlink()


def left(folder: RunFolder) -> list[Fault]:
    """Read what the processes of all machines have left."""
    return [Fault(**read_json(path)) for path in _files(folder)]


def worst(faults: Iterable[Fault]) -> Fault:
    """Pick the fault that the others follow from."""
    return min(faults, key=lambda fault: (_ORDER[fault.cause], fault.time))


def _files(folder: RunFolder) -> list[Path]:
    return sorted(folder.fault(0).parent.glob("rank-*.fault"))
