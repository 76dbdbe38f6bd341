"""The questions that a configuration asks for, and what they are made of."""

from __future__ import annotations

from s1_core import cli
from s1_core.records import Question
from s1_data.config import BuildConfig
from s1_data.sources import generated, local


def read(config: BuildConfig) -> list[Question]:
    """Return every question of the source in its order, unfiltered."""
    if config.source.kind == "local":
        return local.read_questions(local.question_files(local.folder(config.path)))
    from s1_data import bank

    num = config.source.num_questions
    return list(cli.progress(bank.generate(num, config.seed, "train"), "questions", total=num))


def parents(config: BuildConfig) -> dict[str, str]:
    """Identify the source by its hashes, without reading a question."""
    if config.source.kind == "bank":
        return generated.parents()
    files = local.question_files(local.folder(config.path))
    return {f"questions/{file.name}": local.sha256(file) for file in files}
