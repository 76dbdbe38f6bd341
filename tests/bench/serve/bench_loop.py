"""Budget forcing of 48 questions on the embedded model: all together, against one by one."""

from collections.abc import Callable

from s1_core import chat
from s1_data import bank
from s1_serve.budget import loop
from s1_serve.budget.plan import Limits, delimiters, resolve
from s1_serve.config import ServeConfig, ThinkingBudget
from s1_serve.engine import LazyEngine

TITLE = "one Wait and a maximum of 96 on 48 questions (CPU, float32, eager, 0.9M parameters)"
PEER = "one question after the other"


def arms() -> dict[str, Callable[[], object]]:
    """The sequential arm is the loop of s1's README: the same requests, one at a time."""
    lazy = LazyEngine("embedded", ServeConfig())
    engine, model = lazy.start(), lazy.model
    marks = delimiters(model.format, model.text.encode, model.stop_ids)
    questions = bank.generate(48, 7, "heldout")
    prompts = [
        model.text.encode(chat.generation_prompt(model.format, question.question))
        for question in questions
    ]

    def machines() -> list[loop.Machine]:
        made = []
        for prompt in prompts:
            limits = Limits(
                prompt_tokens=len(prompt), max_tokens=160, context=None, answer_reserve=16
            )
            budget = ThinkingBudget(max=96, extends=1)
            made.append(loop.machine(prompt, resolve(budget, limits, marks, model.text.encode)))
        return made

    def together() -> list[tuple[int, ...]]:
        return [outcome.output_ids for outcome in loop.drive(machines(), engine)]

    def one_by_one() -> list[tuple[int, ...]]:
        return [loop.drive([machine], engine)[0].output_ids for machine in machines()]

    if together() != one_by_one():
        raise SystemExit("the two arms answer differently")
    return {"batched loop": together, PEER: one_by_one}
