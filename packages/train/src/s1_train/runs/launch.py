"""Start one process a device, pass signals on, and turn their exit codes into one.

Imports no torch: the launcher is the process a user or a cluster sees, quick to start and to
answer. A worker never outlives it.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from s1_core.errors import Interrupted, NumericsError, S1Error, UserError
from s1_core.processes import die_with_parent
from s1_train.config import TrainConfig
from s1_train.runs.folder import RunFolder

_POLL_S = 0.05


def num_processes(config: TrainConfig) -> int:
    """Decide how many processes share a step; a number that does not divide it is a UserError."""
    if config.devices:
        if config.batch_size % config.devices:
            raise UserError(
                f"devices {config.devices} does not divide batch_size {config.batch_size};"
                " choose a divisor"
            )
        return config.devices
    limit = _num_gpus() or min(2, len(os.sched_getaffinity(0)))
    return max(n for n in range(1, limit + 1) if config.batch_size % n == 0)


def _num_gpus() -> int:
    if importlib.metadata.version("torch").endswith("+cpu"):
        return 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip()])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def run(folder: RunFolder, num_ranks: int, stop_grace_s: float) -> None:
    """Run the job in `folder` to its end on `num_ranks` processes.

    Raises what the workers ended with: UserError, NumericsError, Interrupted or S1Error.
    """
    environment = _environment(num_ranks)
    for rank in range(num_ranks):
        folder.fault(rank).unlink(missing_ok=True)
    with ExitStack() as stack:
        workers = [
            stack.enter_context(_Worker(folder, rank, environment)) for rank in range(num_ranks)
        ]
        try:
            codes = _wait(workers)
        except KeyboardInterrupt as error:
            _stop(workers, stop_grace_s)
            raise Interrupted("stopped; run the same command again to go on") from error
    _judge(codes, folder)


class _Worker:
    """One process; leaving the context kills whatever is left of it."""

    def __init__(self, folder: RunFolder, rank: int, environment: dict[str, str]) -> None:
        self.rank = rank
        log = None
        if rank:
            folder.log(rank).parent.mkdir(exist_ok=True)
            log = folder.log(rank).open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "s1_train.runs.worker", str(folder.job)],
            env=environment | {"LOCAL_RANK": str(rank)},
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        if log is not None:
            log.close()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def _environment(num_ranks: int) -> dict[str, str]:
    """Describe the process group and how a process treats a CPU.

    One thread, as two are slower on a shared core; freed memory is kept, as handing it back after
    every step costs 10 % where logits are large.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    defaults = {
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
        "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    }
    group = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(num_ranks),
        "NODE_RANK": "0",
    }
    return defaults | dict(os.environ) | group


def _wait(workers: Sequence[_Worker]) -> list[int | None]:
    """Wait until all have ended well, or one has not; None stands for still at work."""
    well = (None, 0, Interrupted.exit_code)
    while True:
        codes = [worker.process.poll() for worker in workers]
        if None not in codes or any(code not in well for code in codes):
            return codes
        time.sleep(_POLL_S)


def _stop(workers: Sequence[_Worker], grace_s: float) -> None:
    for worker in workers:
        worker.process.terminate()
    deadline = time.monotonic() + grace_s
    while any(w.process.poll() is None for w in workers) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _judge(codes: Sequence[int | None], folder: RunFolder) -> None:
    """Raise for the worst end among the processes."""
    for kind in (NumericsError, UserError, Interrupted):
        if kind.exit_code in codes:
            raise kind(folder.fault(codes.index(kind.exit_code)).read_text())
    failed = [code for code in (-signal.SIGKILL, *codes) if code and code in codes]
    if failed:
        rank, code = codes.index(failed[0]), failed[0]
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        where = f", see {folder.log(rank)}" if rank and code > 0 else ""
        raise S1Error(
            f"training process {rank} {how}{where};"
            " run the same command again to go on from the last checkpoint"
        )
