"""All runs of an evaluation through one queue: policies in, samples out, each on disk at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from s1_core import cli
from s1_core.errors import Interrupted, UserError
from s1_core.records import Question
from s1_serve.budget.plan import RoomError
from s1_serve.endpoint import Unavailable
from s1_serve.evaluate.run.asks import NOTHING, Answered, Answerer, Ask
from s1_serve.evaluate.run.journal import Entry, Journal, Place
from s1_serve.evaluate.run.policies import Policy, Taken, first, policy, seeded
from s1_serve.evaluate.samples import Sample
from s1_serve.evaluate.settings import Setting

_NO_ROOM = Taken(answered=NOTHING, tries=1, total_tokens=0, seconds=0.0)
"""what comes of a question without room"""
STRATEGIES = "strategies"
"""in a source's identity, where strategies are asked: what shapes their answers and no others"""
CHECKED, LEAST_CHECKED = 20, 3
"""one in so many answers that may have shared something is made alone as well, and so many a run"""


@dataclass(frozen=True)
class Run:
    """One setting on one benchmark; `is_alone` where its answers share nothing."""

    setting: Setting
    benchmark: str
    questions: tuple[Question, ...]
    is_alone: bool = False

    @property
    def reach(self) -> float:
        """Tell how long it may think, to put the longest first."""
        return math.inf if self.setting.max in (None, -1) else self.setting.max or 0.0


@dataclass(frozen=True)
class Unit:
    """One sample of one question of one run."""

    run: Run
    question: Question
    number: int
    seed: int

    @property
    def name(self) -> str:
        """Name it in a message."""
        return f"{self.run.setting.label}, question {self.question.id} of {self.run.benchmark}"

    @property
    def place(self) -> Place:
        """Name it within its run's journal."""
        return self.question.id, self.number

    @property
    def ask(self) -> Ask:
        """Give what it asks first."""
        return first(self.run.setting, self.question, self.seed)

    @property
    def policy(self) -> Policy:
        return policy(self.run.setting, self.question, self.seed)


@dataclass(frozen=True)
class Found:
    """A run's samples in order, not graded, and the mean seconds of one."""

    run: Run
    samples: list[Sample]
    seconds: float


class Runner:
    """One model, in this process or at an endpoint; `identity` is what shapes its answers."""

    def __init__(
        self, answerer: Answerer, folder: Path, identity: Mapping[str, Any], seed: int
    ) -> None:
        self._answerer, self._folder, self._identity = answerer, folder, identity
        self._seed = seed
        self._without_room: set[str] = set()

    def check(self, runs: Iterable[Run], *, refuses: bool) -> int:
        """Find questions that leave a run no room; their answers are empty, and wrong.

        Gives how many answers that are.

        Raises:
            UserError: naming the run and the question, if `refuses`.
        """
        num_answers = 0
        for run in runs:
            for unit in self._units(run):
                try:
                    self._answerer.check(unit.ask)
                except RoomError as error:
                    if refuses:
                        remedy = "change --answer_tokens, --serve.context or what is forced"
                        raise UserError(
                            f"{unit.name}: {error}; here: {remedy}, or give --too_long wrong"
                        ) from error
                    self._without_room.add(unit.name)
                    num_answers += 1
        return num_answers

    def run(self, runs: Sequence[Run], what: str = "evaluate") -> list[Found]:
        """Answer every question of every run; what is on disk is not asked again.

        Raises:
            Interrupted: the server went away; what was finished is kept.
            UserError: the server answers what no server of its kind does; as well.
        """
        with ExitStack() as stack:
            journals = [stack.enter_context(self._journal(run)) for run in runs]
            pending = [
                (unit, journal)
                for run, journal in zip(runs, journals, strict=True)
                for unit in self._units(run)
                if unit.place not in journal.entries
            ]
            # A longer answer holds the shorter ones, so it has to come first.
            pending.sort(key=lambda pair: -pair[0].run.reach)
            for unit, journal in pending:
                if unit.name in self._without_room:
                    journal.put(Entry(_sample(unit, _NO_ROOM), 0.0))
            try:
                self._answer([p for p in pending if p[0].name not in self._without_room], what)
            except UserError as error:
                kept = "finished samples are kept, run the same command again to go on"
                kind = Interrupted if isinstance(error, Unavailable) else UserError
                raise kind(f"{error}; {kept}") from error
            return [
                _found(run, [journal.entries[unit.place] for unit in self._units(run)])
                for run, journal in zip(runs, journals, strict=True)
            ]

    def differing(self, found: Sequence[Found]) -> tuple[int, dict[Run, int]]:
        """Answer one sample in twenty alone; give how many, and the runs where some differ."""
        alone = [replace(one.run, questions=_chosen(one.run), is_alone=True) for one in found]
        checks = self.run(alone, "check what was shared")
        wrong: dict[Run, int] = {}
        for one, check in zip(found, checks, strict=True):
            known = {sample.question_id: sample for sample in one.samples}
            others = sum(known[sample.question_id] != sample for sample in check.samples)
            wrong |= {one.run: others} if others else {}
        return sum(len(check.samples) for check in checks), wrong

    def _answer(self, pending: Sequence[tuple[Unit, Journal]], what: str) -> None:
        ticks = cli.progress(range(len(pending)), what, total=len(pending))
        policies = [unit.policy for unit, _ in pending]

        def done(index: int, answered: Answered) -> Iterable[tuple[int, Ask]]:
            try:
                return [(index, _alone(policies[index].send(answered), pending[index][0]))]
            except StopIteration as stop:
                unit, journal = pending[index]
                journal.put(Entry(_sample(unit, stop.value), stop.value.seconds))
                next(ticks, None)
                return ()

        asks = ((i, _alone(next(steps), pending[i][0])) for i, steps in enumerate(policies))
        try:
            self._answerer.work(asks, done)
        finally:
            next(ticks, None)  # the bar's last step, which takes it away

    def _journal(self, run: Run) -> Journal:
        strategic = {} if run.setting.strategy else {STRATEGIES: None}
        inputs = {
            "identity": {**self._identity, **strategic},
            "setting": asdict(run.setting) | {"num_samples": None},
            "benchmark": run.benchmark,
            "seed": self._seed,
            "is_alone": run.is_alone,
        }
        return Journal(self._folder, inputs)

    def _units(self, run: Run) -> list[Unit]:
        return [
            Unit(run, question, number, seeded(self._seed, question.id, number))
            for question in run.questions
            for number in range(run.setting.num_samples)
        ]


def _alone(ask: Ask, unit: Unit) -> Ask:
    return replace(ask, is_alone=unit.run.is_alone)


def _chosen(run: Run) -> tuple[Question, ...]:
    """Pick one question in twenty, at least three, the same ones each time."""
    ranks = {q.id: seeded("check", run.setting.label, q.id) for q in run.questions}
    count = max(LEAST_CHECKED, -(-len(ranks) // CHECKED))
    chosen = {*sorted(ranks, key=ranks.__getitem__)[:count]}
    return tuple(question for question in run.questions if question.id in chosen)


def _found(run: Run, entries: Sequence[Entry]) -> Found:
    seconds = fmean(entry.seconds for entry in entries)
    return Found(run, [entry.sample for entry in entries], seconds)


def _sample(unit: Unit, taken: Taken) -> Sample:
    setting, answered = unit.run.setting, taken.answered
    spent = answered.spent
    return Sample(
        benchmark=unit.run.benchmark,
        run=setting.label,
        method=setting.method,
        question_id=unit.question.id,
        sample=unit.number,
        seed=unit.seed if setting.temperature else 0,
        max=answered.maximum,
        min=setting.min,
        extends=setting.extends,
        extend_with=setting.extend_with,
        control=setting.control,
        limit=setting.limit,
        used_extends=answered.extends,
        tries=taken.tries,
        end=answered.end,
        finish_reason=answered.finish_reason,
        thinking_tokens=answered.thinking_tokens,
        output_tokens=answered.output_tokens,
        total_tokens=taken.total_tokens,
        sequential_tokens=spent.sequential_tokens if spent else taken.total_tokens,
        thinking=answered.thinking,
        answer=answered.answer,
        extracted=None,
        is_correct=False,
        graded_by="rules",
        is_kept=answered.is_kept,
        mean_logprob=answered.mean_logprob,
        strategy=setting.strategy,
        num_started=spent.num_started if spent else taken.tries,
        num_aborted=spent.num_aborted if spent else 0,
        aborted_tokens=spent.aborted_tokens if spent else 0,
        verifier_tokens=spent.verifier_tokens if spent else 0,
        is_degraded=spent.is_degraded if spent else False,
        decision=spent.decision if spent else "{}",
    )
