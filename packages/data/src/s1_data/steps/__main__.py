"""`just steps`: bank problems thought through right and wrong, every step judged -> steps/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from s1_core import cli
from s1_core.artifacts import Draft
from s1_core.records import GradedSteps, Question
from s1_core.steps import parted
from s1_data import bank
from s1_data.sources import generated
from s1_data.stages.stage import Stage
from s1_data.steps.config import StepsConfig
from s1_data.steps.judging import judged, problem_of
from s1_data.steps.mistakes import right_thinking, wrong_thinking


def main(config: StepsConfig) -> None:
    """Write the steps artifact, unless it is there already."""

    def write(draft: Draft) -> str:
        asked = bank.generate(config.num_questions, config.seed, config.split)
        listed = cli.progress(asked, "steps", total=config.num_questions)
        rows = [row for question in listed for row in _thought(question, config.seed)]
        draft.write("steps", rows, GradedSteps)
        verdicts = [is_right for row in rows for is_right in row.are_right]
        wrong = 1 - sum(verdicts) / len(verdicts)
        return f"{len(rows)} thinkings of {len(verdicts)} steps, {wrong:.0%} of them wrong"

    shape = {name: getattr(config, name) for name in ("split", "num_questions", "seed")}
    stage = Stage(out=Path(config.out), kind="steps", config=shape, parents=generated.parents())
    stage.ensure(write)


def _thought(question: Question, seed: int) -> Iterator[GradedSteps]:
    rng, problem = Random(f"{seed}/steps/{question.id}"), problem_of(question)
    for think in (right_thinking, wrong_thinking):
        text = think(rng, problem)
        yield GradedSteps(
            question_id=question.id,
            question=question.question,
            steps=tuple(parted(text)),
            are_right=tuple(judged(problem, text)),
        )


if __name__ == "__main__":
    cli.run(StepsConfig, main, package="data")
