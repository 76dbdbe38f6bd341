"""A real policy over stored samples: the served code, in virtual time, with answers dealt out.

Refuses policies that want more than plain samples: answers to other answers, verdicts, another
model, other sampling, likelihoods that were not stored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from s1_core.answers import normalise
from s1_core.errors import UserError
from s1_serve.evaluate.replay.stored import Answered
from s1_serve.evaluate.specs import size_of, sized, variant
from s1_serve.evaluate.votes import Outcome
from s1_serve.strategies import catalogue
from s1_serve.strategies.calls import Call, Chat
from s1_serve.strategies.known import Known, Result
from s1_serve.strategies.parameters import MOST_SAMPLES
from s1_serve.strategies.policy import Policy
from s1_serve.strategies.session import Launch, Limits, Session
from s1_serve.strategies.simulation import simulate

LIMITS = Limits(concurrency=MOST_SAMPLES)


@dataclass(frozen=True)
class Play:
    """A strategy by the name that a replay and a request know it by."""

    spec: str
    policy: Policy

    @classmethod
    def parse(cls, text: str, available: catalogue.Available) -> Play:
        """Read adaptive@64 or adaptive:n_max=64,threshold=10.

        Raises:
            UserError: no such strategy, or one that judges answers.
        """
        name, parameters = sized(text)
        policy = catalogue.POLICIES.get(name)
        if policy is not None and "verifier" in _given(policy):
            raise UserError(f"{text} cannot be replayed: it asks a verifier, and none was stored")
        return cls(text, catalogue.build(name, parameters, available))

    @property
    def name(self) -> str:
        return self.spec

    @cached_property
    def k(self) -> int:
        return size_of(self.policy)

    @cached_property
    def family(self) -> str:
        """Name the curve over sizes that this is a point of."""
        return variant(self.policy)


class Deck:
    """The samples of one question, dealt out in some orders; a policy plays once for each."""

    def __init__(self, question: Answered, orders: Sequence[Sequence[int]], seed: int) -> None:
        self._question, self._orders, self._seed = question, orders, seed

    @cached_property
    def _results(self) -> list[Result]:
        return _results(self._question)

    def play(self, policy: Policy) -> Outcome:
        """Let a policy answer; give the means over the orders.

        Raises:
            UserError: it asks for what is not stored.
        """
        ended = [self._played(policy, order) for order in self._orders]
        columns = zip(*map(dataclasses.astuple, ended), strict=True)
        return Outcome(*(fmean(column) for column in columns))

    def _played(self, policy: Policy, order: Sequence[int]) -> Outcome:
        def script(launch: Launch) -> Result:
            call = _plain(policy, launch.call, self._question)
            return self._results[order[call.index]]

        known = Known(question=self._question.question_id, seed=self._seed)
        session = Session(policy, LIMITS, known)
        simulate(session, script)
        return _outcome(session, self._question.right, order)


def _outcome(session: Session, right: Sequence[bool], order: Sequence[int]) -> Outcome:
    assert session.outcome is not None
    choice, tokens, is_right = session.outcome.choice, session.tokens, False
    if choice is not None:
        call = session.known[choice.id].call
        is_right = isinstance(call, Chat) and right[order[call.index]]
    return Outcome(
        credit=float(is_right),
        total_tokens=float(tokens.total),
        sequential_tokens=float(tokens.sequential),
        num_samples=float(session.counts()["started"]),
    )


def _plain(policy: Policy, call: Call, question: Answered) -> Chat:
    """Take a call that a stored sample answers."""
    refused = f"{policy.name} cannot be replayed"
    if not isinstance(call, Chat) or call.is_verifier or call.under or call.model:
        raise UserError(f"{refused}: it asks for what builds on other answers, or judges them")
    if call.overrides:
        drawn = ", ".join(call.overrides)
        raise UserError(f"{refused}: it sets {drawn} of each sample, and all were drawn alike")
    if call.top_logprobs > 1:
        raise UserError(f"{refused}: it reads the logprobs of every token, which are not stored")
    if call.top_logprobs and None in question.logprobs:
        raise UserError(
            f"{refused}: it weighs by likelihood, and no mean logprobs are stored with these "
            "samples; those that just evaluate --model draws anew have them"
        )
    if call.index >= len(question.lengths):
        held = f"question {question.question_id} has {len(question.lengths)}"
        raise UserError(f"{refused}: it asks for sample {call.index + 1}, and {held}: ask for less")
    return call


def _results(question: Answered) -> list[Result]:
    rows = zip(question.answers, question.lengths, question.logprobs, strict=True)
    return [
        Result(
            answer=answer or "",
            tokens=tokens,
            thinking_tokens=tokens,
            vote=None if answer is None else normalise(answer),
            mean_logprob=logprob,
        )
        for answer, tokens, logprob in rows
    ]


def _given(policy: type[Policy]) -> set[str]:
    fields = dataclasses.fields(policy)  # type: ignore[arg-type]
    return {field.name for field in fields if field.metadata.get("is_given")}
