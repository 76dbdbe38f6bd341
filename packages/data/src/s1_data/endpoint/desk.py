"""Slots that take prompts off one queue until all is asked, or until going on makes no sense.

A stop lets the calls in flight finish and keeps them; only a signal breaks them off, and then
they count as paid in full.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import deque
from collections.abc import Coroutine, Mapping

from s1_core.errors import UserError
from s1_data.endpoint.asking import Failure, Inquiry, Prompt
from s1_data.endpoint.caller import Caller, Lost, Stopped
from s1_data.endpoint.client import Client, Refusal
from s1_data.endpoint.journal import Journal
from s1_data.endpoint.replies import Reply
from s1_data.endpoint.reporting import Report
from s1_data.endpoint.spending import CapReached, Limits, Spending

PATIENCE = 20
"""questions that may fail in a row before the fault is taken to be none of theirs"""


class Desk:
    """One run over the prompts that are left; `failures` are the outcomes no journal holds."""

    def __init__(self, inquiry: Inquiry, journal: Journal, left: Mapping[str, Prompt]) -> None:
        self.failures: dict[str, Failure] = {}
        self._inquiry, self._journal = inquiry, journal
        self._queue = deque(left.items())
        limits = Limits.of(inquiry.config).share(journal.spent_elsewhere, inquiry.shard.count)
        self._spending = Spending(limits, journal.spent)
        total = len({(p.question_id, p.text, p.system) for p in inquiry.prompts})
        self._report = Report(
            role=inquiry.role, total=total, done=total - len(left), spending=self._spending
        )
        self._has_success = len(left) < total
        self._num_useless = self._num_lost = 0
        self._fault = ""
        self._stopped = asyncio.Event()

    def work_off(self) -> None:
        """Ask all that is left; UserError, with every reply kept, when something stops it."""
        _run(self._work())
        # A part of the questions may all fail; that nobody answered at all is another matter.
        is_telling = self._inquiry.shard.is_whole or self._num_lost >= len(self.failures)
        if self.failures and not self._has_success and not self._fault and is_telling:
            last = list(self.failures.values())[-1].reason
            self._fault = f"no question got a reply, the last: {last}"
        if self._fault:
            prompts, replies = self._inquiry.prompts, self._journal.replies
            outcomes = {
                (p.question_id, p.text, p.system): self._inquiry.recall(p, replies)[0]
                for p in prompts
            }
            num_kept = sum(isinstance(outcome, Reply) for outcome in outcomes.values())
            raise UserError(
                f"{self._fault}; {num_kept} of {self._report.total} have a reply, which is kept,"
                f" {self._spending.spent} spent; run the same command again to go on"
            )

    async def _work(self) -> None:
        config = self._inquiry.config
        client = Client(config, self._inquiry.role)
        caller = Caller(
            inquiry=self._inquiry, journal=self._journal, client=client,
            spending=self._spending, report=self._report, stopped=self._stopped,
        )  # fmt: skip
        try:
            async with client, self._report, asyncio.TaskGroup() as slots:
                for _ in range(min(config.concurrency, len(self._queue))):
                    slots.create_task(self._slot(caller))
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _slot(self, caller: Caller) -> None:
        while self._queue and not self._stopped.is_set():
            name, prompt = self._queue.popleft()
            try:
                failure = await self._outcome(caller, prompt)
            except CapReached as cap:
                self._stop(self._at_the_cap(cap))
            except UserError as error:
                self._stop(str(error))
            except Stopped:
                return
            else:
                self._report.count()
                if failure is not None:
                    self.failures[name] = failure

    async def _outcome(self, caller: Caller, prompt: Prompt) -> Failure | None:
        """Bring replies until the journal knows the outcome, or return why it never will."""
        while True:
            outcome, num = self._inquiry.recall(prompt, self._journal.replies)
            if isinstance(outcome, Reply):
                self._has_success = True
                return None
            if isinstance(outcome, Failure):
                self._count_useless(outcome.reason)
                return None
            try:
                await caller.bring(prompt, num)
                self._num_lost = 0
            except Refusal as refusal:
                self._count_useless(str(refusal))
                return Failure(prompt.question_id, str(refusal))
            except Lost as lost:
                self._count_lost(str(lost))
                return Failure(prompt.question_id, str(lost))

    def _stop(self, fault: str) -> None:
        self._fault = self._fault or fault
        self._stopped.set()

    def _count_useless(self, reason: str) -> None:
        """Stop where nothing has succeeded yet and question after question is refused."""
        self._num_lost = 0
        self._num_useless += 1
        if not self._has_success and self._num_useless >= PATIENCE:
            role = self._inquiry.role
            raise UserError(
                f"the first {PATIENCE} questions all failed, the last with: {reason}; check"
                f" --{role}.model and the other options of --{role}"
            )

    def _count_lost(self, reason: str) -> None:
        """Stop where question after question runs out of tries."""
        self._num_lost += 1
        if self._num_lost >= PATIENCE:
            raise UserError(
                f"{PATIENCE} questions in a row failed, the last with: {reason}; check that"
                f" --{self._inquiry.role}.url {self._inquiry.config.url} is up"
            )

    def _at_the_cap(self, cap: CapReached) -> str:
        flag, shard = f"--{self._inquiry.role}.{cap.option}", self._inquiry.shard
        limit = getattr(self._inquiry.config, cap.option)
        part = "" if shard.is_whole else f" / {shard.count} shards"
        return (
            f"{flag} {limit}{part} has no room for another call, which may take {cap.wanted}:"
            f" raise {flag}"
        )


def _run(work: Coroutine[None, None, None]) -> None:
    """Run to the end; SIGTERM and Ctrl-C come as KeyboardInterrupt, between two steps of a call.

    Without that a signal could hit between the end of a call and its line in the journal.
    """
    try:
        asyncio.run(_stoppable(work))
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


async def _stoppable(work: Coroutine[None, None, None]) -> None:
    task = asyncio.current_task()
    if task is None or threading.current_thread() is not threading.main_thread():
        await work
        return
    former = signal.getsignal(signal.SIGTERM)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await work
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, former)
