"""A call while an engine in this process generates it: jobs out, news in, a result at its end.

Knows tokens and text, and neither sessions nor the engine's loop.
"""

from __future__ import annotations

from typing import Protocol

from s1_serve.budget.outcome import Outcome
from s1_serve.budget.work import Job, Planned
from s1_serve.news import News
from s1_serve.strategies import ballots
from s1_serve.strategies.calls import Chat
from s1_serve.strategies.driving.asking import Speech, Wanted, planned
from s1_serve.strategies.driving.striding import answer_text
from s1_serve.strategies.known import Heard, Result

Reply = Heard | Job | Result
"""how far a call has come, the job that replaces its newest one, what it came to"""
_NOTHING: tuple[Reply, ...] = ()


class Answering(Protocol):
    """A call that is being answered."""

    tokens: int
    """Generated so far, as far as heard."""
    num_top: int
    """How many logprobs a token are wanted."""
    streams: bool
    """Wants every token, not only the end."""

    def begin(self) -> Job | Result:
        """Give the first job; a result where there is nothing to generate."""
        ...

    def hear(self, news: News) -> tuple[Reply, ...]:
        """Take news of the newest job, and say what there is to say: mostly nothing."""
        ...

    def think_ends(self, tokens: int) -> Heard | None:
        """Take in that the end of thinking has begun, after so many tokens."""
        ...


class Chatting:
    """A whole answer, whose budget the engine itself keeps.

    With `every` it reports each so many tokens; all confidences have been reported at the end.
    """

    def __init__(self, call: Chat, speech: Speech, asked: Wanted, every: int | None = None) -> None:
        """Plan it.

        Raises:
            UserError: it has no room.
        """
        self.tokens, self.num_top, self.streams = 0, call.top_logprobs, every is not None
        self._call, self._speech, self._every = call, speech, every or 0
        self._prompt_ids, self._plan = speech.prompt(asked.question), planned(speech, asked)
        self._thought: int | None = None
        self._told = 0
        self._likelihoods: list[tuple[float, float]] = []

    def begin(self) -> Job:
        return Planned(self._prompt_ids, self._plan)

    def hear(self, news: News) -> tuple[Reply, ...]:
        self.tokens += len(news.ids)
        self._likelihoods += news.likelihoods
        if news.result is None:
            return (self._heard(),) if self.tokens - self._told >= self._every else _NOTHING
        assert isinstance(news.result, Outcome)
        result = self._result(news.result, news.cached_tokens)
        return (self._heard(), result) if self.num_top > 1 else (result,)

    def think_ends(self, tokens: int) -> Heard:
        self._thought = min(tokens - 1, self._plan.maximum)
        return self._heard(tokens)

    def _heard(self, tokens: int = 0) -> Heard:
        fresh = self._likelihoods[self._told :] if self.num_top > 1 else []
        self._told = self.tokens
        thought = min(self.tokens, self._plan.maximum) if self._thought is None else self._thought
        return Heard(
            id=self._call.id,
            tokens=max(self.tokens, tokens),
            thinking_tokens=thought,
            has_thought=self._thought is not None,
            confidences=tuple(-top for _, top in fresh),
        )

    def _result(self, outcome: Outcome, cached_tokens: int) -> Result:
        decode = self._speech.codec.decode
        answer = answer_text(self._speech, outcome.ending_ids + outcome.answer_ids)
        return Result(
            thinking=decode(outcome.thinking_ids).strip(),
            answer=answer,
            token_ids=outcome.thinking_ids,
            tokens=self.tokens,
            thinking_tokens=len(outcome.thinking_ids),
            end=outcome.end,
            extends=outcome.extends,
            finish_reason=outcome.finish_reason,
            vote=ballots.form(answer, is_cut=outcome.finish_reason == "length"),
            mean_logprob=outcome.mean_logprob,
            prompt_tokens=len(self._prompt_ids),
            cached_tokens=cached_tokens,
        )
