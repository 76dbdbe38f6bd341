"""`just ask`: one question, its thinking dimmed as it streams, its answer, one line of counts.

Thinks in this process, at a service of ours, or by the loop at any endpoint that takes token ids.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s1_core import chat, cli
from s1_core.errors import UserError
from s1_serve.budget import loop
from s1_serve.budget.outcome import Outcome
from s1_serve.budget.plan import END_WORDS, End, Limits, Plan, delimiters, resolve
from s1_serve.completions import Sampling
from s1_serve.config import AskConfig
from s1_serve.endpoint import Endpoint
from s1_serve.text import Codec, Decoder

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Counts:
    """An answer in numbers, in tokens."""

    thinking: int
    end: End
    extends: int
    answer: int
    """What is not thinking: the delimiters and the stop token too."""
    total: int


@dataclass(frozen=True)
class Said:
    """A piece of text of one channel; `is_forced` where the model had no say."""

    channel: str
    text: str
    is_forced: bool


Answer = Generator[Said, None, Counts | str]
"""a strategy says in its own words how it went"""


def main(config: AskConfig) -> None:
    """Answer `config.question` on the terminal; stdout holds thinking and answer only."""
    from rich.console import Console

    answer = _endpoint(config) if config.endpoint else _engine(config)
    screen = Screen(Console(file=sys.stdout, highlight=False, soft_wrap=True))
    start = time.monotonic()
    while True:
        try:
            screen.show(next(answer))
        except StopIteration as stop:
            screen.close()
            counts = _told(stop.value, time.monotonic() - start)
            cli.console().print(counts, style="dim", highlight=False, markup=False)
            return


def _engine(config: AskConfig) -> Answer:
    if config.strategy:
        from s1_serve import ask_strategy

        return (yield from _said(ask_strategy.here(config)))
    from s1_serve.engine import Engine
    from s1_serve.model import open_model

    model = open_model(config.model)
    context = config.serve.context or model.context
    prompt, plan = _planned(config, model.text, model.format, model.stop_ids, context)
    engine = Engine(model, config.serve)
    return (yield from _parted(engine.stream(prompt, plan), model.text, model.format))


def _endpoint(config: AskConfig) -> Answer:
    assert config.endpoint is not None
    key = os.environ.get("S1_API_KEY")
    endpoint = Endpoint(config.endpoint, key)
    if config.strategy:
        from s1_serve import ask_strategy

        if endpoint.keeps_budgets:
            pieces = ask_strategy.at_service(endpoint, config, _body(endpoint, config))
        else:
            pieces = ask_strategy.at_server(endpoint, config, key)
        return (yield from _said(pieces))
    if endpoint.keeps_budgets:
        return (yield from _service(endpoint, config))
    fmt, stop_ids = chat.format_named(config.format), endpoint.stop_ids()
    prompt, plan = _planned(config, endpoint, fmt, stop_ids, endpoint.context)
    return (yield from _parted(loop.stream(prompt, plan, endpoint), endpoint, fmt))


def _said(pieces: Generator[tuple[str, str], None, str]) -> Answer:
    while True:
        try:
            channel, text = next(pieces)
        except StopIteration as stop:
            return str(stop.value)
        yield Said(channel, text, False)


def _planned(
    config: AskConfig,
    codec: Codec,
    fmt: chat.Format,
    stop_ids: tuple[int, ...],
    context: int | None,
) -> tuple[tuple[int, ...], Plan]:
    prompt = codec.encode(chat.generation_prompt(fmt, config.question))
    limits = Limits(
        prompt_tokens=len(prompt),
        max_tokens=config.max_tokens,
        context=context,
        answer_reserve=config.serve.answer_reserve,
    )
    marks = delimiters(fmt, codec.encode, stop_ids)
    sampling = Sampling(temperature=config.heat, seed=config.seed)
    return prompt, resolve(config.thinking, limits, marks, codec.encode, sampling)


def _parted(pieces: Generator[loop.Piece, None, Outcome], codec: Codec, fmt: chat.Format) -> Answer:
    """Part tokens into thinking and answer."""
    decoder, splitter = Decoder(codec), chat.StreamSplitter(fmt)
    while True:
        try:
            piece = next(pieces)
        except StopIteration as stop:
            yield from (Said(channel, text, False) for channel, text in splitter.close())
            outcome: Outcome = stop.value
            thinking = len(outcome.thinking_ids)
            total = len(outcome.output_ids) + (outcome.finish_reason == "stop")
            return Counts(
                thinking=thinking,
                end=outcome.end,
                extends=outcome.extends,
                answer=total - thinking,
                total=total,
            )
        for channel, text in splitter.feed(decoder.feed(piece.ids)):
            yield Said(channel, text, piece.is_forced)


def _service(endpoint: Endpoint, config: AskConfig) -> Answer:
    """Ask a service of ours, which keeps the budget itself."""
    thinking: dict[str, Any] | None = None
    for event in endpoint.events("/v1/chat/completions", _body(endpoint, config)):
        for choice in event["choices"]:
            for name, channel in (("reasoning", "thinking"), ("content", "answer")):
                if text := choice["delta"].get(name):
                    yield Said(channel, text, choice.get("forced", False))
            thinking = choice.get("thinking", thinking)
        if thinking and (usage := event.get("usage")):
            total = usage["completion_tokens"]
            return Counts(
                thinking=thinking["tokens"],
                end=thinking["end"],
                extends=thinking["extends"],
                answer=total - thinking["tokens"],
                total=total,
            )
    raise UserError(f"{endpoint.url} closed the stream before the end; is the server still up?")


def _body(endpoint: Endpoint, config: AskConfig) -> dict[str, Any]:
    return {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": config.question}],
        "thinking_token_budget": config.budget,
        "min_thinking_tokens": config.min,
        "num_extends": config.extends,
        "extend_with": config.extend_with,
        "max_tokens": config.max_tokens,
        "temperature": config.heat,
        "seed": config.seed,
        "stream_options": {"include_usage": True},
    }


class Screen:
    """Prints thinking dimmed and the answer bold, a blank line between them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._channel = "thinking"

    def show(self, said: Said) -> None:
        """Print a piece; forced thinking stands out."""
        styles = {"thinking": "bold yellow" if said.is_forced else "dim", "answer": "bold"}
        if said.channel != self._channel:
            self._console.print("\n")
        self._channel = said.channel
        self._console.print(said.text, style=styles[said.channel], end="", markup=False)

    def close(self) -> None:
        """End the last line."""
        self._console.print()


def _told(counts: Counts | str, seconds: float) -> str:
    if isinstance(counts, str):
        return f"{counts}; {seconds:.1f} s"
    extends = "1 extend" if counts.extends == 1 else f"{counts.extends} extends"
    return (
        f"{counts.thinking} thinking tokens ({END_WORDS[counts.end]}, {extends}), "
        f"{counts.answer} answer tokens, {counts.total / max(seconds, 1e-9):.0f} tokens/s"
    )


if __name__ == "__main__":
    cli.run(AskConfig, main, package="serve")
