"""Torch's elastic agent around the processes of this machine: it starts, watches and stops them."""

from __future__ import annotations

import logging
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from torch.distributed.elastic.agent.server.api import WorkerSpec
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing.api import LogsDest, LogsSpecs

from s1_train.launch.meeting import Meeting
from s1_train.runs.folder import RunFolder

_POLL_S = 0.1
_LAST_WORDS_S = 3600.0
"""how long a machine whose processes have ended well waits for those of the others"""


@dataclass(frozen=True)
class Share:
    """This machine's part: how many processes, and where the base model lies on it."""

    num_processes: int
    base: Path | None


class Logs(LogsSpecs):
    """The console for process 0; a file for each of the others, on whichever machine it is."""

    def __init__(self, folder: RunFolder, meeting: Meeting) -> None:
        super().__init__()
        self._folder, self._meeting = folder, meeting
        self.ranks: list[int] = []

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """Name the file of each process; the agent asks when all machines have come."""
        self._meeting.check_job(self._folder.job)
        self.ranks = [int(env["RANK"]) for env in envs.values()]
        places = {
            local: str(self._folder.log(rank)) if rank else ""
            for local, rank in enumerate(self.ranks)
        }
        Path(self.root_log_dir).mkdir(exist_ok=True)
        # Processes send their stdout to stderr themselves, so that one file holds both.
        nowhere = dict.fromkeys(places, os.devnull)
        return LogsDest(stdouts=dict.fromkeys(places, ""), stderrs=places, error_files=nowhere)

    @property
    def root_log_dir(self) -> str:
        """Name the folder of all logs."""
        return str(self._folder.log(0).parent)


def run(
    folder: RunFolder,
    handler: Meeting,
    logs: Logs,
    share: Share,
    stop_grace_s: float,
) -> list[tuple[int, int]]:
    """Meet the other machines and run the job; list (rank, exit code) of those that ended ill.

    The first of them comes first; of two in one second the killed one, whose end is a lost
    connection to the other. An interrupt, or another machine that left, stops the processes
    within the grace and then flies on.
    """
    # The agent tells in tables what the launcher says in a line.
    logging.getLogger("torch.distributed.elastic").addHandler(logging.NullHandler())
    logging.getLogger("torch.distributed.elastic").propagate = False
    # Its handlers would raise anew on a second SIGTERM, in the middle of the save; s1_core.cli's
    # ignore it.
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = ""
    spec = WorkerSpec(
        role="train",
        local_world_size=share.num_processes,
        rdzv_handler=handler,
        entrypoint=sys.executable,
        args=(
            *("-m", "s1_train.launch.process", str(folder.job), str(os.getpid())),
            *([str(share.base)] if share.base else []),
        ),
        max_restarts=0,
        monitor_interval=_POLL_S,
    )
    agent = LocalElasticAgent(
        spec,
        logs,
        exit_barrier_timeout=_LAST_WORDS_S,
        shutdown_timeout=math.ceil(stop_grace_s),
    )
    try:
        failures = agent.run().failures
    finally:
        handler.shutdown()
    ordered = sorted(failures.items(), key=lambda item: (item[1].timestamp, item[1].exitcode >= 0))
    return [(rank, failure.exitcode) for rank, failure in ordered]
