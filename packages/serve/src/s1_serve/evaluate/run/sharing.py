"""Completions that are already known, or on their way, are not generated again.

A greedy completion cut at fewer tokens is a prefix of the longer one, and equal requests have
equal answers; nothing else is assumed, so whoever asks sees what the engine would have said.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic

from s1_serve.budget.work import Done, Job, K, Worker
from s1_serve.completions import Completion, CompletionRequest

_Key = tuple[tuple[int, ...], tuple[int, ...], int]


@dataclass
class _Flight(Generic[K]):
    """A request that a worker has, and who waits for it; a request that is shared has a key."""

    job: Job
    key: _Key | None
    waiters: list[tuple[K, Job]] = field(default_factory=list)


class Sharing:
    """A Worker in front of another; remembers greedy completions of any length.

    Longer requests should come first: a shorter one in flight does not answer a longer one.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._known: dict[_Key, tuple[Completion, float]] = {}

    def work(self, jobs: Iterable[tuple[K, Job]], done: Done[K]) -> None:
        """Do all jobs, and those that follow, generating only what is new.

        The seconds of a shared completion are its share of those of the whole.
        """
        flights: dict[int, _Flight[K]] = {}
        running: dict[_Key, int] = {}

        def take(arrived: Iterable[tuple[K, Job]]) -> Iterable[tuple[int, Job]]:
            queue = deque(arrived)
            while queue:
                name, job = queue.popleft()
                if (found := self._recall(job)) is not None:
                    queue.extend(done(name, *found))
                elif (flight := _covering(job, flights, running)) is not None:
                    flight.waiters.append((name, job))
                else:
                    yield depart(name, job)

        def depart(name: K, job: Job) -> tuple[int, Job]:
            number, key = next(numbers), _key(job)
            flights[number] = _Flight(job, key, [(name, job)])
            if key is not None:
                running[key] = number
            return number, job

        def landed(number: int, result: Any, seconds: float) -> Iterable[tuple[int, Job]]:
            flight = flights.pop(number)
            (name, _), *others = flight.waiters
            if flight.key is not None:
                if running.get(flight.key) == number:
                    del running[flight.key]
                self._learn(flight.key, result, seconds)
            # Its own request has this answer whatever it is; the context may have cut it short.
            return list(take(done(name, result, seconds))) + list(take(others))

        numbers = itertools.count()
        self._worker.work(list(take(jobs)), landed)

    def _recall(self, job: Job) -> tuple[Completion, float] | None:
        key = _key(job)
        if key is None or key not in self._known:
            return None
        assert isinstance(job, CompletionRequest)
        known, seconds = self._known[key]
        if job.max_tokens <= len(known.token_ids):
            cut = known.token_ids[: job.max_tokens]
            share = len(cut) / max(1, len(known.token_ids))
            return Completion(token_ids=cut, finish_reason="length"), seconds * share
        # The stop token, too, takes one of max_tokens: there is room for it here.
        return (known, seconds) if known.finish_reason == "stop" else None

    def _learn(self, key: _Key, completion: Completion, seconds: float) -> None:
        known = self._known.get(key)
        if known is None or len(known[0].token_ids) <= len(completion.token_ids):
            self._known[key] = completion, seconds


def _covering(
    job: Job, flights: dict[int, _Flight[K]], running: dict[_Key, int]
) -> _Flight[K] | None:
    """Find what is in flight and will answer `job` too."""
    key = _key(job)
    if key is None or key not in running:
        return None
    flight = flights[running[key]]
    assert isinstance(job, CompletionRequest) and isinstance(flight.job, CompletionRequest)
    return flight if flight.job.max_tokens >= job.max_tokens else None


def _key(job: Job) -> _Key | None:
    """Say what greedy requests must have in common; None where nothing may be shared."""
    if not isinstance(job, CompletionRequest) or not job.sampling.is_greedy:
        return None
    return job.prompt_ids, job.stop_ids, job.min_tokens
