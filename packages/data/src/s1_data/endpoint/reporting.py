"""How far the asking has got: a bar with rates on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from types import TracebackType

from s1_core import cli
from s1_data.endpoint.spending import Spending

LINE_EVERY_S, FRAME_EVERY_S = 30.0, 0.5


@dataclass(kw_only=True)
class Report:
    """Counts of one run; an async context manager that shows them while it is open."""

    role: str
    total: int
    done: int
    spending: Spending
    setback: str = ""
    """the last one, until something succeeds"""
    _start: float = field(default_factory=time.monotonic)
    _asked: int = 0
    _ticker: asyncio.Task[None] | None = None

    def count(self) -> None:
        """Note that one more prompt has its outcome."""
        self.done += 1
        self._asked += 1
        self.setback = ""

    def __str__(self) -> str:
        rate = 60 * self._asked / max(time.monotonic() - self._start, 1e-9)
        line = f"{self.role}: {self.done} of {self.total} asked, {rate:.1f} a minute"
        line += f", {self.spending.spent} spent"
        return f"{line}; last setback: {self.setback}" if self.setback else line

    async def __aenter__(self) -> Report:
        show = self._bar if cli.console().is_terminal else self._lines
        self._ticker = asyncio.create_task(show())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._ticker is not None
        self._ticker.cancel()
        await asyncio.gather(self._ticker, return_exceptions=True)

    async def _lines(self) -> None:
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            cli.say(str(self))

    async def _bar(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False)
        with Progress(*columns, console=cli.console(), transient=True) as bar:
            task = bar.add_task("", total=self.total)
            while True:
                bar.update(task, completed=self.done, description=str(self))
                await asyncio.sleep(FRAME_EVERY_S)
