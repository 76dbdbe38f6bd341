"""What a run starts from, checked before anything is written: recipe, data, base model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from s1_core import artifacts, chat
from s1_core.records import Example
from s1_train import tokenizer
from s1_train.config import TrainConfig
from s1_train.net import weights
from s1_train.runs.folder import Identity

Sample = tuple[str, tuple[chat.Segment, ...]]


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
        data = artifacts.load(config.data, kind="s1k")
        return Inputs(config, data, weights.find(config.base, config.base_revision))

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

    def samples(self) -> list[Sample]:
        """Render the data: (id, segments) a row."""
        text_format = chat.format_named(self.config.format)
        examples = self.data.read("examples", Example)
        return [(row.question_id, chat.render_example(text_format, row)) for row in examples]
