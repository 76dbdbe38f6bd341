"""How many processes a run has, and how their ends become the one end of the launcher.

Imports torch only to launch: faults of the user and "up to date" take no time.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import signal
import subprocess
import sys
from pathlib import Path

from s1_core import cli
from s1_core.errors import S1Error, UserError
from s1_train.config import TrainConfig
from s1_train.launch import faults
from s1_train.launch.faults import Fault
from s1_train.runs.folder import RunFolder


def num_processes(config: TrainConfig) -> int:
    """Count the processes of all machines; a number that does not divide a batch is a UserError."""
    limit = _num_gpus() or min(2, len(os.sched_getaffinity(0)))
    sizes = [config.devices] if config.devices else range(1, limit + 1)
    fitting = [n * config.nodes for n in sizes if config.batch_size % (n * config.nodes) == 0]
    if not fitting:
        raise UserError(
            f"{config.nodes} node(s) with {max(sizes)} device(s) each do not divide batch_size"
            f" {config.batch_size}; choose --nodes and --devices whose product does"
        )
    return fitting[-1]


def run(folder: RunFolder, config: TrainConfig, base: Path | None) -> None:
    """Bring the job in `folder` to its end, with this machine's share of the processes.

    `base` is where the base model lies on this machine. Raises what the processes ended with, on
    every machine alike: UserError, NumericsError, Interrupted or S1Error.
    """
    for name, value in _environment(config).items():
        os.environ.setdefault(name, value)
    if config.node_rank == 0:
        faults.clear(folder)
    from s1_train.launch import agent, meeting

    handler = meeting.arrange(config, folder.job)
    logs = agent.Logs(folder, handler)
    share = agent.Share(num_processes(config) // config.nodes, base)
    try:
        ended = agent.run(folder, handler, logs, share, config.stop_grace_s)
    except KeyboardInterrupt as error:
        found = faults.left(folder)
        if not (logs.ranks and found):
            raise
        raise _told(found) from error
    except meeting.Parted as error:
        raise _told([*faults.left(folder), error.fault]) from error
    if ended:
        raise _told([*faults.left(folder), *_unsaid(folder, *ended[0])])


@functools.cache
def _num_gpus() -> int:
    """Ask torch, in a process of its own: it takes seconds and would stay in this one."""
    if importlib.metadata.version("torch").endswith("+cpu"):
        return 0
    count = "import torch; print(torch.cuda.device_count())"
    done = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True)
    if done.returncode:
        raise S1Error(f"torch does not start: {done.stderr.strip().splitlines()[-1]}")
    return int(done.stdout)


def _environment(config: TrainConfig) -> dict[str, str]:
    """Say how processes treat a CPU and the network, unless the user has said it.

    One thread, as two are slower on a shared core; freed memory is kept, as handing it back after
    every step costs 10 % where logits are large.
    """
    defaults = {
        "OMP_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
        "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
        # A peer that leaves is told by the launcher in a line, not by each of its connections.
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    if config.nodes == 1 and not _num_gpus():
        defaults["GLOO_SOCKET_IFNAME"] = "lo"
    return defaults


def _unsaid(folder: RunFolder, rank: int, code: int) -> list[Fault]:
    """Say for a process how it ended where it could not: killed, or on a full disk."""
    if folder.fault(rank).exists():
        return []
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    log = f", see {folder.log(rank)}" if rank else ""
    line = f"training process {rank} {how}{log}; {faults.FROM_CHECKPOINT}"
    fault = Fault(cause=faults.KILLED if code < 0 else faults.CRASHED, line=line)
    if code == -signal.SIGTERM:  # in its first moments, before it hears signals
        fault = Fault(cause=faults.EARLY, line=faults.STOPPED_EARLY)
    if code == UserError.exit_code:
        fault = Fault(cause=faults.USER, line=faults.unwritable(folder, "not even a line fits"))
    fault.leave(folder.fault(rank))  # for the other machines
    return [fault]


def _told(found: list[Fault]) -> S1Error:
    """Show the traceback of a crash, and give the error to end with."""
    fault = faults.worst(found)
    if fault.traceback:
        cli.console().print(fault.traceback, markup=False, highlight=False, soft_wrap=True)
    return fault.error
