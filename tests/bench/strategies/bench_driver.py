"""The runner's own cost: majority@8 as a strategy against the same samples without one.

Both arms draw the same tokens from one engine: the peer by the evaluation's plain path, which plans
a sample, generates it and reads its answer; the other by sessions, policy and driver.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from s1_data import bank
from s1_serve.completions import Sampling
from s1_serve.config import ThinkingBudget
from s1_serve.evaluate.run.asks import Answered, Ask
from s1_serve.evaluate.run.tokens import Tokens

TITLE = "majority@8 of 110 bank questions: the runner against plain samples of the same tokens"
PEER = "plain samples"
NUM_QUESTIONS, NUM_SAMPLES = 110, 8


def arms() -> dict[str, Callable[[], object]]:
    """Start the engine; give both ways over it."""
    sys.path.insert(0, str(Path(__file__).parent))
    import load_samples as samples

    mind = samples.started()
    questions = list(bank.generate(NUM_QUESTIONS, 1, "heldout"))
    asks = [
        Ask(
            question=question.question,
            budget=ThinkingBudget(),
            sampling=Sampling(temperature=samples.TEMPERATURE, seed=samples.seed_of(number) + nth),
        )
        for number, question in enumerate(questions)
        for nth in range(NUM_SAMPLES)
    ]

    def plain() -> list[str]:
        answers: dict[int, str] = {}

        def done(key: int, answered: Answered) -> Iterable[tuple[int, Ask]]:
            answers[key] = answered.answer
            return ()

        Tokens(mind.engine, mind.speech, keeps_plans=True, shares=False).work(enumerate(asks), done)
        return [answers[key].strip() for key in range(len(asks))]

    def strategy() -> list[str]:
        sessions = samples.run("majority:n=8", mind, questions)
        return [one.result.answer.strip() for session in sessions for one in session.known]

    assert plain() == strategy(), "the arms draw different tokens"
    return {PEER: plain, "majority@8": strategy}
