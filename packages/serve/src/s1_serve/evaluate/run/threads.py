"""Calls to a server, some at the same time, as a queue that refills itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from s1_serve.endpoint import Unavailable

KeyT = TypeVar("KeyT")
JobT = TypeVar("JobT")
PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""before another try at a server that is busy, starting or gone"""


def work(
    call: Callable[[JobT], Any],
    jobs: Iterable[tuple[KeyT, JobT]],
    done: Callable[[KeyT, Any, float], Iterable[tuple[KeyT, JobT]]],
    concurrency: int,
) -> None:
    """Call for each job and for what `done` gives after each; `done` runs in this thread alone.

    The first error ends it, once the calls in flight are over and what they brought is done.
    """
    running: dict[Future[tuple[Any, float]], KeyT] = {}
    failure: Exception | None = None
    with ThreadPoolExecutor(concurrency) as pool:
        try:
            running = {pool.submit(_timed, call, job): key for key, job in jobs}
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    key = running.pop(future)
                    if future.cancelled():
                        continue
                    error = future.exception()
                    if isinstance(error, Exception):
                        failure = failure or error
                        _cancel(running)
                        continue
                    more = done(key, *future.result())
                    if failure is None:
                        running |= {pool.submit(_timed, call, job): k for k, job in more}
        finally:
            _cancel(running)
    if failure is not None:
        raise failure


def _cancel(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        future.cancel()


def patient(call: Callable[[JobT], Any], job: JobT) -> Any:
    """Call, again after each pause while the server is busy, starting or gone."""
    return _timed(call, job)[0]


def _timed(call: Callable[[JobT], Any], job: JobT) -> tuple[Any, float]:
    for pause in (*PAUSES_S, None):
        start = time.monotonic()
        try:
            return call(job), time.monotonic() - start
        except Unavailable:
            if pause is None:
                raise
            time.sleep(pause)
    raise AssertionError
