"""A sweep of budgets and extends on 200 held-out questions: what sharing saves, checks included.

Both arms are the runner of `just evaluate` over one engine. Alone, every setting is answered by
the served machine; shared, greedy settings share what is equal and one answer in twenty is made
alone as well. Tokens are what the engine decodes: alone also those that are forced, which shared
are prompts. `own` leaves the forced ones out. Prefix caches start empty.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from s1_core.records import Question
from s1_data import bank
from s1_serve.budget.outcome import Outcome
from s1_serve.budget.work import Done, Job, K
from s1_serve.config import EXTEND_WITH, ServeConfig
from s1_serve.engine import Engine
from s1_serve.evaluate.config import BUDGET, EXTENDS, EvaluateConfig
from s1_serve.evaluate.run.runner import Run, Runner
from s1_serve.evaluate.run.tokens import Speech, Tokens
from s1_serve.evaluate.samples import Sample
from s1_serve.evaluate.settings import Setting, settings
from s1_serve.model import open_model
from s1_serve.options import quiet

TITLE = "a sweep on 200 held-out questions: every setting alone against shared answers"
MODEL = "S1_BENCH_MODEL"
"""names another model artifact to measure as well, such as the demo's"""
NUM_QUESTIONS, ANSWER_TOKENS, CONTEXT = 200, 48, 1024
BUDGETS, NUM_EXTENDS = (0, 8, 16, 32, 64, 128, 256), (0, 1, 2, 4, 6)


@dataclass
class Counting:
    """A Worker in front of an engine that counts the tokens it decodes."""

    engine: Engine
    extend: int
    """tokens of the extend string"""
    decoded: int = 0
    own: int = 0

    def work(self, jobs: Iterable[tuple[K, Job]], done: Done[K]) -> None:
        def counted(key: K, result: Any, seconds: float) -> Iterable[tuple[K, Job]]:
            self._count(result)
            return done(key, result, seconds)

        self.engine.work(jobs, counted)

    def _count(self, result: Any) -> None:
        """The stop token is decoded too; a natural end is opened by the model itself."""
        is_planned = isinstance(result, Outcome)
        ids = result.output_ids if is_planned else result.token_ids
        decoded = len(ids) + (result.finish_reason == "stop")
        forced = 0
        if is_planned:
            forced = len(result.ending_ids) - (result.end == "natural")
            forced += result.extends * (self.extend - 1)  # in place of an end it opened
        self.decoded += decoded
        self.own += decoded - forced


def rows() -> list[dict[str, Any]]:
    """Give a row an arm, of each grid and model."""
    quiet()
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from integration.serve import tiny

    questions = tuple(bank.generate(NUM_QUESTIONS, 11, "heldout"))
    with tempfile.TemporaryDirectory(prefix="s1-bench-") as folder:
        random = tiny.build(Path(folder) / "model", max_position_embeddings=CONTEXT)
        models = {"embedded": "embedded", "random": str(random)}
        if path := os.environ.get(MODEL):
            models[Path(path).name] = path
        found: list[dict[str, Any]] = []
        for name, path in models.items():
            bench = Bench(path, questions, Path(folder) / name)
            found += [
                {"model": name, "grid": grid} | row
                for grid, wanted in _grids().items()
                for row in bench.compared(wanted)
            ]
    return found


def _grids() -> dict[str, list[Setting]]:
    """All pairs; and as `just evaluate` has them: budgets, and extends at the largest only."""
    pairs = [
        # A method of its own, so that every pair has a name of its own.
        Setting(
            method=f"{EXTENDS} {count} at {most}", max=most, extends=count, extend_with=EXTEND_WITH
        )
        for most in BUDGETS
        for count in NUM_EXTENDS
    ]
    return {"7 x 5 pairs": pairs, "7 + 5": settings(_config())}


def _config() -> EvaluateConfig:
    return EvaluateConfig(
        model="embedded", benchmark=("heldout",), out="", methods=(BUDGET, EXTENDS),
        budgets=list(BUDGETS), extends=list(NUM_EXTENDS), control_arms=[], max=BUDGETS[-1],
    )  # fmt: skip


class Bench:
    """One model on one engine."""

    def __init__(self, path: str, questions: tuple[Question, ...], folder: Path) -> None:
        model = open_model(path)
        self._engine = Engine(model, ServeConfig(kv_cache_gib=0.2, context=CONTEXT))
        self._speech = Speech(
            format=model.format, codec=model.text, stop_ids=model.stop_ids, context=CONTEXT,
            answer_tokens=ANSWER_TOKENS,
        )  # fmt: skip
        self._questions, self._folder, self._number = questions, folder, 0
        self._arm([Run(settings(_config())[-1], "warm-up", questions[:20])], shares=False)

    def compared(self, wanted: Sequence[Setting]) -> list[dict[str, Any]]:
        """Run both arms; ratios are to the one without sharing."""
        runs = [Run(setting, "heldout", self._questions) for setting in wanted]
        arms = {shares: self._arm(runs, shares) for shares in (False, True)}
        (alone, known), (_, others) = arms[False], arms[True]
        if known != others:
            raise SystemExit("shared answers differ from those made alone")
        return [
            row | {f"{name} ratio": row[name] / alone[name] for name in ("tokens", "own", "CPU s")}
            for row, _ in arms.values()
        ]

    def _arm(self, runs: Sequence[Run], shares: bool) -> tuple[dict[str, Any], list[list[Sample]]]:
        self._engine._vllm.reset_prefix_cache()
        counting = Counting(self._engine, len(self._speech.codec.encode(EXTEND_WITH)))
        answerer = Tokens(counting, self._speech, keeps_plans=True, shares=shares)
        self._number += 1
        runner = Runner(answerer, self._folder / str(self._number), {}, seed=0)
        begun = time.process_time()
        found = runner.run(runs)
        checked = runner.differing(found)[0] if shares else 0
        samples = [one.samples for one in found]
        row = {
            "answers": "shared" if shares else "alone",
            "tokens": counting.decoded,
            "own": counting.own,
            "CPU s": time.process_time() - begun,
            "checked": checked,
            "thinking": _mean(sample.thinking_tokens for one in samples for sample in one),
        }
        return row, samples


def _mean(counts: Iterable[int | None]) -> float:
    return fmean(count or 0 for count in counts)
