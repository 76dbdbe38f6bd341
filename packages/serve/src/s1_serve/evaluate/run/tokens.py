"""Answers from whatever completes token ids: our engine, or a server by the loop.

Greedy answers may share what is equal (sharing); all others, and those that an ask wants alone,
are made by the served machine inside our engine, or by the loop at a server.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from s1_core import chat
from s1_serve.budget import loop
from s1_serve.budget.outcome import Outcome
from s1_serve.budget.plan import Delimiters, Limits, Plan, delimiters, resolve
from s1_serve.budget.work import Job, Planned, Worker
from s1_serve.completions import Completion, CompletionRequest
from s1_serve.evaluate.config import STEPS
from s1_serve.evaluate.run import steps
from s1_serve.evaluate.run.asks import Answered, Answers, Ask, K
from s1_serve.evaluate.run.sharing import Sharing
from s1_serve.evaluate.settings import Setting
from s1_serve.text import Codec

NO_STRATEGIES = "the server runs no strategies: it is none of ours"
Asking = Generator[Job, Any, Outcome]


@dataclass(frozen=True, kw_only=True)
class Speech:
    """What a model's tokens mean, and how many there may be."""

    format: chat.Format
    codec: Codec
    stop_ids: tuple[int, ...]
    context: int | None
    answer_tokens: int
    """most tokens of an answer behind a maximum, and what is kept for one without"""
    _prompts: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def prompt(self, question: str) -> tuple[int, ...]:
        """Encode a question up to the thinking header; a server is asked once."""
        if question not in self._prompts:
            text = chat.generation_prompt(self.format, question)
            self._prompts[question] = self.codec.encode(text)
        return self._prompts[question]

    @cached_property
    def marks(self) -> Delimiters:
        return delimiters(self.format, self.codec.encode, self.stop_ids)

    def plan(self, ask: Ask) -> Plan:
        """Resolve the budget of an ask.

        Raises:
            UserError: it leaves no room, or the format's end cannot be told from a step.
        """
        assert ask.budget is not None
        marks = self.marks
        is_explicit = ask.budget.max not in (None, -1)
        most = (ask.budget.max or 0) + len(marks.header) + len(marks.cut) + self.answer_tokens
        limits = self._limits(ask, most if is_explicit else None)
        return resolve(ask.budget, limits, marks, self.codec.encode, ask.sampling)

    def room(self, ask: Ask) -> int:
        """Tell how many tokens of thinking and answer fit.

        Raises:
            UserError: none, or the context is unknown.
        """
        return self._limits(ask, None).room()

    def _limits(self, ask: Ask, max_tokens: int | None) -> Limits:
        return Limits(
            prompt_tokens=len(self.prompt(ask.question)),
            max_tokens=max_tokens,
            context=self.context,
            answer_reserve=self.answer_tokens,
        )


class Tokens:
    """An Answerer over a Worker; `keeps_plans` where the worker takes a `Planned` itself."""

    def __init__(
        self, worker: Worker, speech: Speech, *, keeps_plans: bool, shares: bool = True
    ) -> None:
        self._speech, self._keeps_plans, self._shares = speech, keeps_plans, shares
        self._worker = worker
        self._sharing = Sharing(worker) if shares else worker

    def refusal(self, setting: Setting) -> str | None:
        """Nothing is refused that a model of this format can do by single answers."""
        if setting.strategy:
            return NO_STRATEGIES
        return format_refusal(setting, self._speech.format)

    def check(self, ask: Ask) -> None:
        if ask.budget is None or self._speech.format.counts_steps:
            self._speech.room(ask)
        else:
            self._speech.plan(ask)

    def work(self, asks: Iterable[tuple[K, Ask]], done: Answers[K]) -> None:
        running: dict[K, _Running] = {}

        def begin(arrived: Iterable[tuple[K, Ask]]) -> Iterable[tuple[K, Job]]:
            for key, ask in arrived:
                one = running[key] = _Running(ask, self.asking(ask))
                yield key, next(one.steps)

        def step(key: K, result: Completion | Outcome, seconds: float) -> Iterable[tuple[K, Job]]:
            one = running[key]
            one.seconds += seconds
            try:
                return [(key, one.steps.send(result))]
            except StopIteration as stop:
                del running[key]
                answered = self.read(stop.value, one.ask, one.seconds)
                return list(begin(done(key, answered)))

        together, alone = list[tuple[K, Ask]](), list[tuple[K, Ask]]()
        for key, ask in asks:
            (alone if ask.is_alone else together).append((key, ask))
        self._sharing.work(begin(together), step)
        self._worker.work(begin(alone), step)

    def asking(self, ask: Ask) -> Asking:
        """Give the jobs that answer an ask, one after the other."""
        speech = self._speech
        prompt = speech.prompt(ask.question)
        if ask.budget is None:
            return _unforced(prompt, speech, ask)
        if speech.format.counts_steps:
            return steps.machine(prompt, self._countdown(ask), ask.max_steps, ask.sampling)
        plan = speech.plan(ask)
        is_shared = self._shares and ask.sampling.is_greedy and not ask.is_alone
        if self._keeps_plans and not is_shared:
            return _planned(prompt, plan, ask)
        return loop.machine(prompt, plan)

    def read(self, outcome: Outcome, ask: Ask, seconds: float) -> Answered:
        """Part an outcome into thinking and answer, and count its tokens."""
        speech = self._speech
        ids = outcome.thinking_ids + outcome.ending_ids + outcome.answer_ids
        thinking, answer = chat.split(speech.format, speech.codec.decode(ids))
        counted = len(outcome.thinking_ids)
        if speech.format.counts_steps:
            counted = self._countdown(ask).num_tokens(outcome.thinking_ids)
        return Answered(
            thinking=thinking.strip(),
            answer=(answer or "").strip(),
            thinking_tokens=counted,
            output_tokens=len(outcome.output_ids),
            end=outcome.end,
            extends=outcome.extends,
            finish_reason=outcome.finish_reason,
            maximum=self._maximum(ask),
            seconds=seconds,
            mean_logprob=outcome.mean_logprob,
        )

    def _maximum(self, ask: Ask) -> int | None:
        if ask.budget is None or self._speech.format.counts_steps:
            return None
        return self._speech.plan(ask).maximum

    def _countdown(self, ask: Ask) -> steps.Countdown:
        speech = self._speech
        return steps.Countdown.of(
            speech.format, speech.codec, speech.stop_ids, speech.room(ask), speech.answer_tokens
        )


@dataclass
class _Running:
    ask: Ask
    steps: Asking
    seconds: float = 0.0


def format_refusal(setting: Setting, fmt: chat.Format) -> str | None:
    """Say why a model of this format cannot be run by this method; None where it can."""
    if setting.counts_steps and not fmt.counts_steps:
        return (
            f"{setting.method} forces a countdown of steps, format {fmt.name} has none: train a"
            f" model on steps first (just train --config tiny-scc), or measure {STEPS}"
        )
    is_free = setting.max in (None, -1) and not setting.min and not setting.extends
    if not fmt.counts_steps or setting.counts_steps or is_free:
        return None
    return (
        f"{setting.label}: in format {fmt.name} every step opens with the first token of its end,"
        f" so no count of tokens can be forced; {STEPS} and none are measured there"
    )


def _planned(prompt: tuple[int, ...], plan: Plan, ask: Ask) -> Asking:
    outcome: Outcome = yield Planned(prompt, plan, ask.wants_logprob)
    return outcome


def _unforced(prompt: tuple[int, ...], speech: Speech, ask: Ask) -> Asking:
    """Let the model think and answer as it likes, as far as the context goes."""
    completion: Completion = yield CompletionRequest(
        prompt_ids=prompt,
        max_tokens=speech.room(ask),
        stop_ids=speech.stop_ids,
        sampling=ask.sampling,
    )
    ids, end = completion.token_ids, speech.codec.encode(chat.end_string(speech.format))
    at = _find(ids, end)
    is_ended = at is not None or completion.finish_reason == "stop"
    thought = len(ids) if at is None else at
    return Outcome(
        header_ids=(),
        thinking_ids=ids[:thought],
        ending_ids=ids[thought : thought + len(end)],
        answer_ids=ids[thought + len(end) :],
        end="natural" if is_ended else "length",
        extends=0,
        finish_reason=completion.finish_reason,
    )


def _find(ids: tuple[int, ...], wanted: tuple[int, ...]) -> int | None:
    spans = (at for at in range(len(ids)) if ids[at : at + len(wanted)] == wanted)
    return next(spans, None)
