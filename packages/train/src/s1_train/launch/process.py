"""`python -m s1_train.launch.process JOB LAUNCHER_PID [BASE]`: one training process, start to exit.

What it ends with is left as a fault; the launcher says it once for all processes.
"""

from __future__ import annotations

import atexit
import errno
import functools
import logging
import os
import sys
import traceback
import warnings
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from s1_core.errors import S1Error, UserError
from s1_core.processes import die_with_parent
from s1_train.launch import faults
from s1_train.launch.faults import Fault
from s1_train.launch.signals import stop_request
from s1_train.runs.folder import RunFolder
from s1_train.runs.job import Job

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)


def main() -> int:
    """Do this process's part of the job named on the command line; return the exit code."""
    path, launcher = Path(sys.argv[1]), int(sys.argv[2])
    folder, rank = RunFolder(path.parent), int(os.environ["RANK"])
    stop_request.listen(folder.fault(rank))
    die_with_parent(launcher)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # one log; libraries print to either
    sys.excepthook = functools.partial(_crash, folder, rank)
    try:
        _work(path, folder, rank)
    except S1Error as error:
        return _leave(folder, rank, error)
    except OSError as error:
        if error.errno not in _NO_SPACE or not concerns(folder, error):
            raise
        return _leave(folder, rank, UserError(faults.unwritable(folder, str(error.strerror))))
    stop_request.close()
    folder.fault(rank).unlink(missing_ok=True)
    return 0


def concerns(folder: RunFolder, error: OSError) -> bool:
    """Say whether a fault of writing is the run folder's; one without a name is taken for it."""
    return error.filename is None or folder.path in Path(str(error.filename)).resolve().parents


def _work(path: Path, folder: RunFolder, rank: int) -> None:
    num_ranks = int(os.environ["WORLD_SIZE"])
    each, nodes = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["GROUP_WORLD_SIZE"])
    if each * nodes != num_ranks:
        raise UserError(
            f"the machines bring {num_ranks} processes in all, this one {each};"
            " give all of them the same --devices"
        )
    from s1_train.runs import worker  # torch and Lightning: seconds in which a stop is heard

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("lightning", "torch.distributed"):
        warnings.filterwarnings("ignore", module=module)
    base = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    worker.work(folder, Job.read(path), base, rank, num_ranks)


def _leave(folder: RunFolder, rank: int, error: S1Error) -> int:
    stop_request.close()
    Fault.of(error).leave(folder.fault(rank))
    return error.exit_code


def _crash(
    folder: RunFolder,
    rank: int,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    """Leave the traceback as a fault: the launcher shows the first, not what follows from it."""
    stop_request.close()
    what = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
    fault = Fault(
        cause=faults.CRASHED,
        line=f"training process {rank} failed: {what}; {faults.FROM_CHECKPOINT}",
        traceback="".join(traceback.format_exception(kind, error, trace)),
    )
    if not fault.leave(folder.fault(rank)):
        sys.__excepthook__(kind, error, trace)


def _end(code: int) -> NoReturn:
    """End as an interpreter does, but for the last part.

    There threads that torch has left running abort a process now and then, all work done
    ("terminate called without an active exception", under fsdp2 and zero3 on gloo).
    """
    atexit._run_exitfuncs()  # W&B sends its last lines there
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _end(main())
