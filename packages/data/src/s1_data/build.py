"""Raw questions to s1K. The stages in order: the page to read first.

    collect > decontaminate                              -> OUT/questions  (questions.py)
            > traces of the teacher                      -> OUT/traces     (traces.py)
            > quality > difficulty > embed > select      -> OUT/s1k        (s1k.py, assemble.py)

A filter names a rule for each row it sends away; the funnel applies the rules and counts them.
Each stage is a function of its inputs, its options and the seed, so a killed run is run again.
"""

from __future__ import annotations

from s1_core import cli
from s1_data import documents, plan, push
from s1_data.config import BuildConfig
from s1_data.stages import questions, s1k, traces


def main(config: BuildConfig) -> None:
    """Write the artifacts up to `until`, leaving alone what is current."""
    if config.dry_run:
        plan.show(config)
    elif config.documents:
        documents.build(config)
    else:
        _build(config)


def _build(config: BuildConfig) -> None:
    asked = questions.ensure(config)
    if config.until == "questions":
        return
    if config.until == "s1k":
        s1k.check(config)
    traced = traces.ensure(config, asked)
    if config.until == "traces":
        return
    chosen = s1k.ensure(config, asked, traced)
    if config.push is not None:
        push.upload(chosen, config.push)


if __name__ == "__main__":
    cli.run(BuildConfig, main, package="data", recipe="bank")
