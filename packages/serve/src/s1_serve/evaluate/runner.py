"""Runs settings on a benchmark through the loop that serves, reusing what is on disk or known."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

from s1_core import artifacts, chat
from s1_core.cache import Cache
from s1_core.errors import UserError
from s1_core.records import Question
from s1_serve.budget import loop
from s1_serve.budget.plan import Limits, Plan, delimiters, resolve
from s1_serve.completions import Sampling
from s1_serve.engine import LazyEngine, version
from s1_serve.evaluate.config import EvaluateConfig
from s1_serve.evaluate.reuse import Memo
from s1_serve.evaluate.samples import Sample, from_outcome
from s1_serve.evaluate.settings import Setting


class Runner:
    """One model on one benchmark; the engine starts with the first setting not on disk."""

    def __init__(
        self, lazy: LazyEngine, questions: Sequence[Question], config: EvaluateConfig, cache: Cache
    ) -> None:
        model = lazy.model
        self._lazy, self._questions, self._config, self._cache = lazy, questions, config, cache
        self._memo: Memo | None = None
        self._marks = delimiters(model.format, model.text.encode, model.stop_ids)
        self._prompts = [
            model.text.encode(chat.generation_prompt(model.format, question.question))
            for question in questions
        ]

    def check(self, settings: Sequence[Setting]) -> None:
        """Refuse, before anything runs, settings that leave some question no room.

        Raises:
            UserError: naming the setting and the question.
        """
        for setting in settings:
            for question, prompt in zip(self._questions, self._prompts, strict=True):
                try:
                    self._plan(setting, prompt, Sampling())
                except UserError as error:
                    raise UserError(f"{setting.label}, question {question.id}: {error}") from error

    def run(self, setting: Setting) -> list[Sample]:
        """Answer every question; samples of one question follow each other. Not graded."""
        inputs: dict[str, Any] = {
            "setting": dataclasses.asdict(setting),
            "model": self._lazy.model.artifact.sha256,
            "questions": [question.question for question in self._questions],
            "serve": artifacts.identity(self._config.serve),
            "answer_tokens": self._config.answer_tokens,
            "seed": self._config.seed,
            "engine": version(),
        }
        return self._cache.rows(inputs, Sample, lambda: self._generate(setting))

    def _generate(self, setting: Setting) -> list[Sample]:
        self._memo = self._memo or Memo(self._lazy.start())
        rows, machines = [], []
        for question, prompt in zip(self._questions, self._prompts, strict=True):
            for sample in range(setting.num_samples):
                seed = _seed(self._config.seed, question.id, sample)
                drawn = Sampling(temperature=setting.temperature, seed=seed)
                plan = self._plan(setting, prompt, drawn)
                rows.append(_blank(setting, question, sample, seed, plan))
                machines.append(loop.machine(prompt, plan))
        model = self._lazy.model
        return [
            from_outcome(outcome, model.text, model.format, row)
            for outcome, row in zip(loop.drive(machines, self._memo), rows, strict=True)
        ]

    def _plan(self, setting: Setting, prompt: tuple[int, ...], sampling: Sampling) -> Plan:
        answer = self._config.answer_tokens
        most = None if setting.max == -1 else setting.max + len(self._marks.cut) + answer
        limits = Limits(
            prompt_tokens=len(prompt),
            max_tokens=most,
            context=self._config.serve.context or self._lazy.model.context,
            answer_reserve=answer,
        )
        return resolve(setting.budget, limits, self._marks, self._lazy.model.text.encode, sampling)


def _seed(seed: int, question_id: str, sample: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{question_id}:{sample}".encode(), digest_size=4)
    return int.from_bytes(digest.digest(), "big") >> 1


def _blank(setting: Setting, question: Question, sample: int, seed: int, plan: Plan) -> Sample:
    return Sample(
        method=setting.method,
        extends=setting.extends,
        extend_with=setting.extend_with,
        question_id=question.id,
        sample=sample,
        seed=seed if setting.temperature else 0,
        max=plan.maximum,
        used_extends=0,
        end="",
        finish_reason="",
        thinking_tokens=0,
        output_tokens=0,
        thinking="",
        answer="",
        extracted=None,
        is_correct=False,
    )
