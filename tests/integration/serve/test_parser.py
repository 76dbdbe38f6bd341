"""The reasoning parser: token ids decide what is thinking, text alone may spell a delimiter."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from s1_core import chat
from s1_serve.budget.outcome import Outcome
from s1_serve.config import ThinkingBudget
from s1_serve.contract.api import Asked, Dialect
from s1_serve.contract.exchange import CURRENT, Exchange

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module", params=["s1", "think"])
def made(request, model_folder):
    pytest.importorskip("vllm")
    from transformers import PreTrainedTokenizerFast
    from vllm.reasoning import ReasoningParserManager

    from s1_serve.server.parser import parser_name

    fmt = chat.FORMATS[request.param]
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(model_folder / "tokenizer.json"))
    parser = ReasoningParserManager.get_reasoning_parser(parser_name(fmt))
    return fmt, tokenizer, lambda: parser(tokenizer)


def spelled(tokenizer, text):
    """Write a text in tokens of one character: no control token is among them."""
    return [i for c in text for i in tokenizer.encode(c, add_special_tokens=False)]


@pytest.mark.parametrize("tail", ["", "\n", "<"])
def test_a_delimiter_that_is_spelled_is_thinking(made, tail):
    fmt, tokenizer, parser = made
    thinking = f"\n a {fmt.answer_start} <|im_end|> b{tail}"
    ending, answer = f"\n{fmt.answer_start}{fmt.cut_suffix}", f" 3 {fmt.answer_start} 4 \n"
    thought = spelled(tokenizer, thinking)
    end = tokenizer.encode(ending, add_special_tokens=False)
    ids = [*thought, *end, *spelled(tokenizer, answer)]
    wanted = (thinking.strip(), f"Final Answer:{answer}")

    streaming, said = parser(), {"reasoning": "", "content": ""}
    for at, token in enumerate(ids):
        if streaming.has_engine_confirmed_reasoning_end():
            said["content"] += tokenizer.decode(ids[at:])
            break
        piece = tokenizer.decode([token])
        found = streaming.extract_reasoning_streaming("", "", piece, [], [], [token])
        for name in said:
            said[name] += getattr(found, name, None) or ""
    assert (said["reasoning"], said["content"]) == wanted

    outcome = Outcome(
        header_ids=(), thinking_ids=tuple(thought), ending_ids=tuple(end), answer_ids=(),
        end="budget", extends=0, finish_reason="stop",
    )  # fmt: skip
    asked = Asked(body={}, budget=ThinkingBudget(), effort=None, shows_thinking=True, num_answers=1)
    exchange = Exchange(dialect=Dialect.CHAT, asked=asked)
    exchange.thoughts.append(SimpleNamespace(outcome=outcome))
    token = CURRENT.set(exchange)
    try:
        assert parser().extract_reasoning(tokenizer.decode(ids), SimpleNamespace()) == wanted
    finally:
        CURRENT.reset(token)


def test_what_never_answers_is_all_thinking(made):
    fmt, tokenizer, parser = made
    for text in (" a b\n", f" a {fmt.answer_start[:4]}"):
        streaming, said = parser(), ""
        for token in spelled(tokenizer, text):
            piece = tokenizer.decode([token])
            found = streaming.extract_reasoning_streaming("", "", piece, [], [], [token])
            said += getattr(found, "reasoning", None) or ""
        last = streaming.finish_streaming()
        said += (last and last.reasoning) or ""
        assert said == text.strip()
        assert parser().extract_reasoning(text, SimpleNamespace()) == (text.strip(), None)


def test_the_end_is_looked_for_behind_the_last_turn_alone(made):
    fmt, tokenizer, parser = made

    def is_over(text):
        return parser().is_reasoning_end(tokenizer.encode(text, add_special_tokens=False))

    turn = "<|im_start|>assistant\n"
    old = f"{turn}{fmt.thinking_start}\nt\n{fmt.answer_start}\na<|im_end|>\n<|im_start|>user\nq"
    assert not is_over(f"{old}\n{turn}{fmt.thinking_start}")
    assert is_over(f"{old}\n{turn}") and is_over("plain text")
    assert is_over(f"{turn}{fmt.thinking_start}\nt\n{fmt.answer_start}")
