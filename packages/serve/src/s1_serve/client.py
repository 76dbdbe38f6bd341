"""`just ask`: one question, its thinking dimmed as it streams, its answer, one line of counts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s1_core import chat, cli
from s1_serve.budget import loop
from s1_serve.budget.outcome import Outcome
from s1_serve.budget.plan import Limits, Plan, delimiters, resolve
from s1_serve.completions import Sampling, Streamer
from s1_serve.config import AskConfig
from s1_serve.text import Codec, Decoder

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where answers come from; `start` is called once the budget is known to fit."""

    start: Callable[[], Streamer]
    codec: Codec
    format: chat.Format
    stop_ids: tuple[int, ...]
    context: int | None


def main(config: AskConfig) -> None:
    """Answer `config.question` on the terminal; stdout holds thinking and answer only."""
    from rich.console import Console

    source = _endpoint(config) if config.endpoint else _engine(config)
    prompt, plan = _planned(source, config)
    streamer = source.start()
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    start = time.monotonic()
    outcome = _show(source, loop.stream(prompt, plan, streamer), console)
    counts = _counts(outcome, time.monotonic() - start)
    cli.console().print(counts, style="dim", highlight=False)


def _engine(config: AskConfig) -> Source:
    from s1_serve.engine import Engine
    from s1_serve.model import open_model

    model = open_model(config.model)
    return Source(
        start=lambda: Engine(model, config.serve),
        codec=model.text,
        format=model.format,
        stop_ids=model.stop_ids,
        context=config.serve.context or model.context,
    )


def _endpoint(config: AskConfig) -> Source:
    from s1_serve.endpoint import Endpoint

    assert config.endpoint is not None
    endpoint = Endpoint(config.endpoint)
    return Source(
        start=lambda: endpoint,
        codec=endpoint,
        format=chat.format_named(config.format),
        stop_ids=endpoint.stop_ids(),
        context=endpoint.context,
    )


def _planned(source: Source, config: AskConfig) -> tuple[tuple[int, ...], Plan]:
    prompt = source.codec.encode(chat.generation_prompt(source.format, config.question))
    limits = Limits(
        prompt_tokens=len(prompt),
        max_tokens=config.max_tokens,
        context=source.context,
        answer_reserve=config.serve.answer_reserve,
    )
    marks = delimiters(source.format, source.codec.encode, source.stop_ids)
    sampling = Sampling(temperature=config.temperature, seed=config.seed)
    return prompt, resolve(config.thinking, limits, marks, source.codec.encode, sampling)


def _show(
    source: Source, pieces: Generator[loop.Piece, None, Outcome], console: Console
) -> Outcome:
    """Stream thinking, then the answer; text the loop forced stands out."""
    decoder, splitter = Decoder(source.codec), chat.StreamSplitter(source.format)
    screen = Screen(console)
    while True:
        try:
            piece = next(pieces)
        except StopIteration as stop:
            screen.show(splitter.close(), is_forced=False)
            console.print()
            outcome: Outcome = stop.value
            return outcome
        screen.show(splitter.feed(decoder.feed(piece.ids)), is_forced=piece.is_forced)


class Screen:
    """Prints thinking dimmed and the answer bold, a blank line between them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._channel = "thinking"

    def show(self, parts: Iterable[tuple[str, str]], *, is_forced: bool) -> None:
        """Print parts of (channel, text); forced thinking stands out."""
        styles = {"thinking": "bold yellow" if is_forced else "dim", "answer": "bold"}
        for channel, text in parts:
            if channel != self._channel:
                self._console.print("\n")
            self._channel = channel
            self._console.print(text, style=styles[channel], end="", markup=False)


def _counts(outcome: Outcome, seconds: float) -> str:
    ends = {
        "natural": "ended by itself",
        "budget": "cut at the maximum",
        "length": "ran out of context",
    }
    extends = "1 extend" if outcome.extends == 1 else f"{outcome.extends} extends"
    tokens = len(outcome.output_ids)
    return (
        f"{len(outcome.thinking_ids)} thinking tokens ({ends[outcome.end]}, {extends}), "
        f"{len(outcome.answer_ids)} answer tokens, {tokens / max(seconds, 1e-9):.0f} tokens/s"
    )


if __name__ == "__main__":
    cli.run(AskConfig, main, package="serve")
