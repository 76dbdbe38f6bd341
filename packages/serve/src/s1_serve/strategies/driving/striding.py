"""One step of thinking while something generates it: requests out, tokens in, a result at its end.

For every driver: knows neither an engine nor how requests travel.
"""

from __future__ import annotations

from typing import Protocol

from s1_core import chat
from s1_serve.budget.outcome import Outcome
from s1_serve.completions import Completion, CompletionRequest
from s1_serve.strategies import ballots
from s1_serve.strategies.calls import Step
from s1_serve.strategies.driving.asking import Speech
from s1_serve.strategies.driving.stepping import Bounds, Leg, Path, Said, Stretch, Watch, walk
from s1_serve.strategies.known import Result


class Told(Protocol):
    """The newest tokens of a request, the stop token too; at its end the whole of it."""

    @property
    def ids(self) -> tuple[int, ...]: ...
    @property
    def result(self) -> Completion | Outcome | None: ...
    @property
    def cached_tokens(self) -> int: ...


class Stepping:
    """One step of thinking, from the token ids of those before it."""

    def __init__(self, call: Step, speech: Speech, path: Path, bounds: Bounds) -> None:
        self.tokens, self.num_top, self.streams = 0, 0, True
        self._speech, self._path = speech, path
        self._walk = walk(call, path, bounds)
        self._leg: Leg | None = None
        self._leg_ids: list[int] = []
        self._watch: Watch | None = None
        self._cached_tokens = 0

    def begin(self) -> CompletionRequest | Result:
        return self._next(None)

    def hear(self, news: Told) -> tuple[CompletionRequest | Result, ...]:
        self.tokens += len(news.ids)
        completion = news.result
        assert not isinstance(completion, Outcome)
        if completion is not None:
            self._cached_tokens = max(self._cached_tokens, news.cached_tokens)
        said = self._said(news.ids, completion)
        return () if said is None else (self._next(said),)

    def think_ends(self, tokens: int) -> None:
        """Say nothing: no step's job has a plan of its own."""

    def _said(self, ids: tuple[int, ...], completion: Completion | None) -> Said | None:
        """Say what came of a leg once it is over: at a boundary, or as the engine ended it."""
        is_stop = completion is not None and completion.finish_reason == "stop"
        fresh = ids[: len(ids) - is_stop]
        self._leg_ids += fresh
        kept = self._watch.feed(fresh) if self._watch is not None else None
        if kept is not None and not (is_stop and kept == len(self._leg_ids)):
            surplus = len(self._leg_ids) + is_stop - kept
            return Said(tuple(self._leg_ids[:kept]), "step", surplus)
        if completion is None:
            return None
        return Said(completion.token_ids, completion.finish_reason)

    def _next(self, said: Said | None) -> CompletionRequest | Result:
        try:
            leg = next(self._walk) if said is None else self._walk.send(said)
        except StopIteration as stop:
            return self._result(stop.value)
        thought = leg.request.prompt_ids[len(self._path.prompt_ids) :]
        self._leg_ids = []
        self._watch = Watch(self._speech.codec, thought) if leg.parts else None
        return leg.request

    def _result(self, stretch: Stretch) -> Result:
        codec, said, finish_reason = self._speech.codec, "", "stop"
        if stretch.answer is not None:
            said = answer_text(self._speech, stretch.ending_ids + stretch.answer.token_ids)
            finish_reason = stretch.answer.finish_reason
        finish_reason = "length" if stretch.end == "length" else finish_reason
        return Result(
            thinking=codec.decode(stretch.thinking_ids),
            answer=said,
            token_ids=stretch.thinking_ids,
            tokens=stretch.tokens,
            thinking_tokens=len(stretch.thinking_ids),
            end=stretch.end,
            extends=stretch.extends,
            finish_reason=finish_reason,
            vote=ballots.form(said, is_cut=finish_reason == "length") if said else None,
            prompt_tokens=len(self._path.prompt_ids) + len(self._path.thinking_ids),
            cached_tokens=self._cached_tokens,
        )


def answer_text(speech: Speech, ids: tuple[int, ...]) -> str:
    """Read the answer behind the end of thinking, whose words may be a part of it."""
    return (chat.split(speech.format, speech.codec.decode(ids))[1] or "").strip()
