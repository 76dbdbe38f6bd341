"""Where the machines of a run meet, and how each of them notices that another has left.

Built on torch's c10d rendezvous. Refuses a machine that comes twice, and one that sees
another run than machine 0.
"""

from __future__ import annotations

import socket
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from torch.distributed.elastic.rendezvous import (
    RendezvousError,
    RendezvousInfo,
    RendezvousParameters,
    RendezvousTimeoutError,
)
from torch.distributed.elastic.rendezvous.api import RendezvousConnectionError
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import create_backend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import (
    DynamicRendezvousHandler,
    RendezvousBackend,
    RendezvousTimeout,
)

from s1_core.artifacts import sha256_of
from s1_core.errors import S1Error, UserError
from s1_train.config import TrainConfig
from s1_train.launch import faults
from s1_train.launch.faults import Fault

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

_NAME, _JOB = "s1", "job"
_LATE_S = 30.0
_KEEP_ALIVE_S, _MISSED = 5, 12
"""a machine is gone after a minute of silence; clocks may differ by less"""


class Parted(Exception):
    """Another machine has left, or the connection to it is lost."""

    def __init__(self) -> None:
        super().__init__()
        line = f"another machine has left, its own output says why; {faults.FROM_CHECKPOINT}"
        self.fault = Fault(cause=faults.PARTED, line=line)


class Meeting(DynamicRendezvousHandler):
    """A rendezvous that is over for all once one machine has left.

    Torch's own lets a machine that comes back start the others' processes anew: in the middle of
    the run, from the checkpoint of its beginning.
    """

    absence = ""
    """what to say when not all machines come"""
    job_sha256 = ""
    """of the job file as machine 0 has written it"""

    def check_job(self, path: Path) -> None:
        """Refuse a folder in which another job lies than machine 0's; NFS shows it late."""
        deadline = time.monotonic() + _LATE_S
        while not path.is_file() or sha256_of(path) != self.job_sha256:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{path} is not on this machine as machine 0 has written it;"
                    " --out must be a folder that all share"
                )
            time.sleep(0.5)

    def next_rendezvous(self) -> RendezvousInfo:
        """Wait until all machines are there."""
        try:
            return super().next_rendezvous()
        except RendezvousTimeoutError as error:
            raise S1Error(self.absence) from error
        except RendezvousError as error:
            line = f"another machine left before all had come; {faults.AGAIN}"
            raise S1Error(line) from error

    def num_nodes_waiting(self) -> int:
        """Say that nobody waits; the agent asks in every round of its watch. Raises Parted."""
        try:
            with self._heartbeat_lock:
                self._state_holder.sync()
                state = self._state_holder.state
        except RendezvousError as error:
            raise Parted from error
        if state.closed or len(state.participants) < self._settings.min_nodes:
            raise Parted
        return 0


def arrange(config: TrainConfig, job: Path) -> Meeting:
    """Open the meeting on machine 0, or reach it from another; all have to come in time."""
    timeout_s = config.join_timeout_s
    deadline = time.monotonic() + timeout_s
    endpoint = config.rendezvous if config.nodes > 1 else "127.0.0.1:0"
    absence = (
        f"machine {config.node_rank} waited {timeout_s:.0f} s at {endpoint} for all"
        f" {config.nodes} machines: check that each runs this command with its own --node_rank,"
        " that machine 0 has not refused its own, and that the port is open"
    )
    if config.node_rank:
        _reach(endpoint, deadline, absence)
    backend, store = _board(endpoint, config)
    # Ranks follow the order of these names, and the first must be an address: all processes
    # connect to it. So machine 0 bears the one that all know, and the others sort behind it.
    host = endpoint.rpartition(":")[0]
    name = f"{host}/{config.node_rank:06}" if config.node_rank else host
    left_s = max(1.0, deadline - time.monotonic())
    meeting: Meeting = Meeting.from_backend(
        _NAME,
        store,
        backend,
        config.nodes,
        config.nodes,
        name,
        RendezvousTimeout(join=timedelta(seconds=left_s)),
        keep_alive_interval=_KEEP_ALIVE_S,
        keep_alive_max_attempt=_MISSED,
    )
    meeting.absence = absence
    if config.node_rank == 0:
        store.set(_JOB, sha256_of(job))
    meeting.job_sha256 = store.get(_JOB).decode()
    return meeting


def _board(endpoint: str, config: TrainConfig) -> tuple[RendezvousBackend, Store]:
    """Open or find what machine 0 keeps for all: who has come, and who has left."""
    parameters = RendezvousParameters(
        "c10d", endpoint, _NAME, config.nodes, config.nodes, is_host=config.node_rank == 0
    )
    try:
        backend, store = create_backend(parameters)
    except (RendezvousConnectionError, ValueError) as error:
        raise UserError(
            f"cannot meet at {endpoint}; wanted an address of machine 0 and a free port there"
        ) from error
    if store.add(f"machine-{config.node_rank}", 1) > 1:
        # No fault of the user's where a cluster starts a lost machine anew: the others end soon.
        raise S1Error(
            f"machine {config.node_rank} has already joined this run; give each its own"
            " --node_rank. After a loss all have to end and start again"
        )
    return backend, store


def _reach(endpoint: str, deadline: float, absence: str) -> None:
    """Wait until machine 0 listens; torch's own wait would not hear a signal."""
    host, _, port = endpoint.rpartition(":")
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise S1Error(absence) from error
        time.sleep(0.5)
