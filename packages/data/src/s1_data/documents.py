"""The pre-training documents of the embedded base model, in the shape of an s1k artifact."""

from __future__ import annotations

import json
from pathlib import Path

from s1_core import cli
from s1_core.artifacts import Artifact, Draft
from s1_core.records import Example
from s1_data.config import BuildConfig
from s1_data.sources import generated
from s1_data.stages.stage import Stage


def build(config: BuildConfig) -> Artifact:
    """Write `documents` documents of the bank to OUT/s1k, with the phrases for a tokenizer."""

    def write(draft: Draft) -> str:
        from s1_data import bank, worked

        rows = bank.documents(config.documents, config.seed)
        draft.write_text("phrases.json", json.dumps(worked.phrases(), indent=1) + "\n")
        draft.write("examples", cli.progress(rows, "documents", total=config.documents), Example)
        return f"{config.documents} documents"

    shape = {"seed": config.seed, "documents": config.documents}
    stage = Stage(
        out=Path(config.out) / "s1k", kind="s1k", config=shape, parents=generated.parents()
    )
    return stage.ensure(write)
