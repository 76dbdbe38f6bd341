"""The start-up check: the delimiters are what the tokenizer says, and the engine forces them.

Generates once. Refuses to start a server whose budgets would be fiction.
"""

from __future__ import annotations

from typing import Any

from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from s1_core import chat
from s1_core.errors import UserError
from s1_serve.config import ThinkingBudget
from s1_serve.contract.api import Asked, Dialect
from s1_serve.contract.exchange import CURRENT, Exchange
from s1_serve.model import Model
from s1_serve.server.thinker import Thinker

_QUESTION = "How many r in raspberry?\n\n 12 + 345.6  isn't e\u0301 \u4e00\u2028 <|x|>"
"""what tokenizers split in different ways"""
_THINKING = 4


async def check(engine: Thinker, model: Model) -> None:
    """Generate once under a minimum that is the maximum, and look at every token.

    Raises:
        UserError: the engine's tokenizer is not the model's, or the budget was not kept.
    """
    prompt = chat.generation_prompt(model.format, _QUESTION)
    ids = model.text.encode(prompt)
    theirs = tuple(engine.get_tokenizer().encode(prompt, add_special_tokens=False))
    if theirs != ids:
        raise UserError(
            f"the engine's tokenizer reads a prompt of {len(ids)} tokens as {len(theirs)} others:"
            f" {model.artifact.path} holds a tokenizer that transformers loads as another one;"
            " export the model again"
        )
    cut = model.text.encode(chat.cut_string(model.format))
    found = await _generate(engine, ids, _THINKING + len(cut) + 1)
    thinking, ending = found[:_THINKING], found[_THINKING : _THINKING + len(cut)]
    attempts = {*model.stop_ids, model.text.encode(model.format.answer_start)[0]}
    if ending != cut or attempts.intersection(thinking):
        raise UserError(
            f"the engine does not keep a budget: after {_THINKING} tokens of thinking it wrote"
            f" {model.text.decode(ending)!r}, wanted {chat.cut_string(model.format)!r}"
        )


async def _generate(engine: Thinker, prompt: tuple[int, ...], room: int) -> tuple[int, ...]:
    budget = ThinkingBudget(max=_THINKING, min=_THINKING)
    asked = Asked(body={}, budget=budget, effort=None, shows_thinking=True, num_answers=1)
    kind = RequestOutputKind.FINAL_ONLY
    params = SamplingParams(temperature=0.0, max_tokens=room, output_kind=kind)
    given: Any = {"type": "token", "prompt_token_ids": list(prompt)}
    token = CURRENT.set(Exchange(dialect=Dialect.CHAT, asked=asked))
    try:
        outputs = [output async for output in engine.generate(given, params, "probe")]
    finally:
        CURRENT.reset(token)
    return tuple(outputs[-1].outputs[0].token_ids)
