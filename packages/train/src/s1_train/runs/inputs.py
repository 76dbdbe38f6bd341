"""What a run starts from, checked before anything is written: recipe, data, base model, loggers.

Renders the data, with the sentence of length control where the recipe asks for it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import yaml

from s1_core import artifacts, chat, steps
from s1_core.errors import UserError
from s1_core.records import Example, GradedSteps
from s1_train import tokenizer
from s1_train.config import TrainConfig
from s1_train.net import weights
from s1_train.runs.folder import Identity, write_text

STEPS = "steps"
KINDS = ("s1k", STEPS)
"""what a run may learn: completions of prompts, or whether steps are right"""
Sample = tuple[str, tuple[chat.Segment, ...]]
Count = Callable[[str], int]


@dataclass(frozen=True)
class Inputs:
    """A configuration and the artifacts it names."""

    config: TrainConfig
    data: artifacts.Artifact
    base: weights.BaseModel | None

    @staticmethod
    def find(config: TrainConfig) -> Inputs:
        """Open the artifacts; one that is missing, altered or of another kind is a UserError."""
        chat.format_named(config.format)
        _check_loggers(config.loggers)
        data = artifacts.load(config.data)
        if data.kind not in KINDS:
            raise UserError(
                f"{data.path} holds {data.kind!r}, wanted {' or '.join(map(repr, KINDS))};"
                " name another folder"
            )
        if data.kind == STEPS and (config.control, config.targets) != ("none", "completion"):
            raise UserError("steps have labels for targets: leave --control and --targets out")
        return Inputs(config, data, weights.find(config.base, config.base_revision))

    @property
    def base_folder(self) -> Path | None:
        """Where the base model lies on this machine."""
        return self.base.folder.resolve() if self.base else None

    @cached_property
    def identity(self) -> Identity:
        """Name the recipe and the hashes that decide what this run becomes."""
        recipe = artifacts.identity(self.config)
        parents = {self.data.kind: self.data.sha256}
        if self.base is None:
            recipe["base"] = weights.NO_BASE
        else:
            recipe["base"] = self.base.name
            parents["base"] = self.base.sha256
            del recipe["model"], recipe["tokenizer"]
        if self.config.tokenizer.path is not None:
            parents["tokenizer"] = tokenizer.fingerprint(self.config.tokenizer.path)
        return Identity(recipe, parents)

    def write_config(self, path: Path) -> None:
        """Leave the resolved configuration as a file for --config."""
        write_text(path, yaml.safe_dump(artifacts.plain(self.config), sort_keys=False))

    def samples(self, num_tokens: Count | None = None) -> list[Sample]:
        """Render the data, (id, segments) a row; length control wants a count of tokens."""
        text_format = chat.format_named(self.config.format)
        if self.data.kind == STEPS:
            return [_graded(text_format, row) for row in self.data.read("steps", GradedSteps)]
        rows = self._examples
        if num_tokens is not None:
            rows = [with_control(row, self.config, num_tokens) for row in rows]
        return [(row.question_id, chat.render_example(text_format, row)) for row in rows]

    @cached_property
    def _examples(self) -> list[Example]:
        return self.data.read("examples", Example)


def _graded(text_format: chat.Format, row: GradedSteps) -> Sample:
    prompt = chat.generation_prompt(text_format, row.question)
    return row.question_id, steps.render(prompt, row.steps, row.are_right)


def with_control(example: Example, config: TrainConfig, num_tokens: Count) -> Example:
    """Put the sentence of length control behind the question (spec 4.1, 4.2).

    It names the trace's tokens or steps, rounded up to a power of two. Where a line is a step,
    the lines of the trace are set apart by blank ones.
    """
    if config.control == "none":
        return example
    trace = chat.trace(example)
    if config.control == "tokens":
        length = num_tokens(chat.neutralise(trace))
    else:
        if config.step_unit == "line":
            trace = "\n\n".join(line for line in trace.split("\n") if line.strip())
        length = chat.num_steps(trace)
    question = chat.controlled(example.question, config.control, chat.rounded_up(length))
    return replace(example, question=question, thinking_trajectories=(trace,))


def _check_loggers(names: tuple[str, ...]) -> None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"loggers {', '.join(missing)}: no such package here; pip install it, or leave it out"
        )
