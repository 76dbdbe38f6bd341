"""Budget forcing of 48 questions on the embedded model, four ways with the same tokens.

Inside the engine, as loops of requests together and one by one, and generation without any forcing
of as many tokens: what the machine itself costs, where a step of the model costs next to nothing.
"""

from collections.abc import Callable

from s1_core import chat
from s1_data import bank
from s1_serve.budget import loop
from s1_serve.budget.plan import Limits, delimiters, resolve
from s1_serve.completions import CompletionRequest
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

    budget, plans = ThinkingBudget(max=96, extends=1), []
    for prompt in prompts:
        limits = Limits(prompt_tokens=len(prompt), max_tokens=160, context=None, answer_reserve=16)
        plans.append(resolve(budget, limits, marks, model.text.encode))

    def machines() -> list[loop.Machine]:
        return [loop.machine(*pair) for pair in zip(prompts, plans, strict=True)]

    def inside() -> list[tuple[int, ...]]:
        return [outcome.output_ids for outcome in engine.answer(prompts, plans)]

    def together() -> list[tuple[int, ...]]:
        return [outcome.output_ids for outcome in loop.drive(machines(), engine)]

    def one_by_one() -> list[tuple[int, ...]]:
        return [loop.drive([machine], engine)[0].output_ids for machine in machines()]

    answers = one_by_one()
    if not answers == together() == inside():
        raise SystemExit("the arms answer differently")
    lengths = [len(answer) for answer in answers]

    def plain() -> object:
        return engine.complete(
            [
                CompletionRequest(prompt_ids=prompt, max_tokens=length, stop_ids=())
                for prompt, length in zip(prompts, lengths, strict=True)
            ]
        )

    return {
        "inside the engine": inside,
        "batched loop": together,
        PEER: one_by_one,
        "as many tokens, no forcing": plain,
    }
