"""A whole evaluation: which runs there are, their answers, the checks, the grades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from s1_core import cli
from s1_core.errors import UserError
from s1_core.records import Question
from s1_serve.evaluate import samples
from s1_serve.evaluate.config import TOO_LONG, EvaluateConfig
from s1_serve.evaluate.judge import Judge
from s1_serve.evaluate.run.runner import Found, Run, Runner
from s1_serve.evaluate.run.sources import Opened, in_process
from s1_serve.evaluate.samples import Measured
from s1_serve.evaluate.settings import Setting, direct, settings


class Sweep:
    """All runs of a configuration on all benchmarks; `cache` keeps what is finished."""

    def __init__(
        self,
        config: EvaluateConfig,
        source: Opened,
        questions: Mapping[str, Sequence[Question]],
        cache: Path,
    ) -> None:
        self._config, self._source, self._questions = config, source, questions
        self._cache = cache
        self.seconds: dict[str, float] = {}
        """of one answer, by benchmark and run: measured, and never the same twice"""

    def measure(self) -> tuple[list[Measured], dict[str, Any]]:
        """Answer and grade; give the runs, and what the report must say of how they were made.

        Raises:
            UserError: a method or a question that cannot be had; before anything runs.
        """
        judge = self._judge()
        wanted, skipped = self._settings()
        runner, runs = self._runner(self._source), self._runs(wanted)
        before, at_once = self._before()
        refuses = self._config.too_long == TOO_LONG[0]
        without_room = runner.check(runs, refuses=refuses)
        without_room += before.check(at_once, refuses=refuses)
        found, shortcuts = runner.run(runs), None
        if self._source.shares:
            found, shortcuts = self._checked(runner, found)
        found += before.run(at_once, "the model before")
        self.seconds = {f"{f.run.benchmark}: {f.run.setting.label}": f.seconds for f in found}
        told = {"skipped": skipped, "shortcuts": shortcuts, "without_room": without_room}
        graded = self._graded(found, judge)
        return graded, told | {"judge": judge.facts() if judge else None}

    def _settings(self) -> tuple[list[Setting], list[dict[str, str]]]:
        """Part what can be had from what cannot: said where a server is the reason."""
        wanted, skipped = [], dict[str, str]()
        for setting in settings(self._config):
            reason = self._source.answerer.refusal(setting)
            if reason is None:
                wanted.append(setting)
            elif self._source.is_limited or (setting.strategy and not self._source.has_strategies):
                skipped[setting.method] = reason
            else:
                name = setting.strategy or f"method {setting.method}"
                raise UserError(f"{name} cannot be measured here: {reason}")
        if not wanted:
            raise UserError("; ".join(f"{name}: {why}" for name, why in skipped.items()))
        return wanted, [{"method": name, "reason": why} for name, why in skipped.items()]

    def _runs(self, wanted: Sequence[Setting]) -> list[Run]:
        shares = self._source.shares
        return [
            # Else shared answers of another evaluation, which may be wrong, would be found on disk.
            Run(setting, benchmark, tuple(questions), not shares and _may_share(setting))
            for benchmark, questions in self._questions.items()
            for setting in wanted
        ]

    def _checked(
        self, runner: Runner, found: list[Found]
    ) -> tuple[list[Found], dict[str, Any] | None]:
        """See whether shared answers are those one gets alone; where not, answer all alone."""
        shared = [one for one in found if _may_share(one.run.setting)]
        if not shared:
            return found, None
        checked, wrong = runner.differing(shared)
        if wrong:
            cli.say(f"{len(wrong)} runs differ from answers given alone: answering all of them so")
        again = runner.run([replace(run, is_alone=True) for run in wrong], "answer alone")
        alone = {(one.run.setting, one.run.benchmark): one for one in again}
        num_shared = sum(len(one.samples) for one in shared)
        told = {"shared": num_shared, "checked": checked, "differing": sum(wrong.values())}
        return [alone.get((f.run.setting, f.run.benchmark), f) for f in found], told

    def _before(self) -> tuple[Runner, list[Run]]:
        """Give what answers at once with the model before fine-tuning; nothing without one."""
        path = self._config.direct_model
        if path is None:
            return self._runner(self._source), []
        return self._runner(in_process(path, self._config)), self._runs([direct()])

    def _runner(self, source: Opened) -> Runner:
        return Runner(source.answerer, self._cache, source.identity, self._config.seed)

    def _judge(self) -> Judge | None:
        config = self._config
        return Judge(config.judge, config.judge_model, self._cache) if config.judge else None

    def _graded(self, found: Sequence[Found], judge: Judge | None) -> list[Measured]:
        together = [sample for one in found for sample in one.samples]
        questions = [question for rows in self._questions.values() for question in rows]
        rows = iter(samples.graded(together, questions, self._config.workers, judge))
        return [
            Measured(one.run.setting, one.run.benchmark, [next(rows) for _ in one.samples])
            for one in found
        ]


def _may_share(setting: Setting) -> bool:
    return setting.temperature == 0 and setting.max is not None and not setting.counts_steps
