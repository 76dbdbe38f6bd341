"""Answers by strategies, in this process: many sessions share the continuous batch of one engine.

Refuses strategies that need what the evaluation was not given. No verifier here knows the right
answer: what is measured could be served.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from s1_core.errors import UserError
from s1_serve.budget.plan import End
from s1_serve.engine import LazyEngine
from s1_serve.evaluate import specs
from s1_serve.evaluate.run.asks import Answered, Answerer, Answers, Ask, K, Spent
from s1_serve.evaluate.run.tokens import Speech
from s1_serve.evaluate.settings import Setting
from s1_serve.strategies import catalogue
from s1_serve.strategies.calls import Chat, Reward
from s1_serve.strategies.catalogue import Available
from s1_serve.strategies.driving import asking
from s1_serve.strategies.driving.asking import Ask as Run
from s1_serve.strategies.known import Known, Result, Sample
from s1_serve.strategies.policy import Policy
from s1_serve.strategies.session import Limits, Session

if TYPE_CHECKING:
    from s1_serve.strategies.engine_driver import EngineDriver, Scorer

MOST_VOTES = 16
"""of a question's answers, the heaviest, that a row keeps"""
NOTHING = Result(end="length", finish_reason="length")
"""what is taken where a strategy came to nothing at all"""


class Both:
    """An Answerer that leaves strategies to one that can run them."""

    def __init__(self, plain: Answerer, strategic: Answerer) -> None:
        self._plain, self._strategic = plain, strategic

    def refusal(self, setting: Setting) -> str | None:
        return self._of(setting.strategy).refusal(setting)

    def check(self, ask: Ask) -> None:
        self._of(ask.strategy).check(ask)

    def work(self, asks: Iterable[tuple[K, Ask]], done: Answers[K]) -> None:
        """Answer the plain asks first, then those by strategies; none of either asks the other."""
        begun = list(asks)
        for is_strategic in (False, True):
            own = [(key, ask) for key, ask in begun if bool(ask.strategy) == is_strategic]
            if own:
                self._of(own[0][1].strategy).work(own, done)

    def _of(self, strategy: str) -> Answerer:
        return self._strategic if strategy else self._plain


@dataclass(frozen=True, kw_only=True)
class Minds:
    """The models of an evaluation by strategies; engines start with the first answer."""

    engine: LazyEngine
    speech: Speech
    available: Available = field(default_factory=Available)
    others: Mapping[str, tuple[LazyEngine, Speech]] = field(default_factory=dict)
    scorers: Mapping[str, Scorer] = field(default_factory=dict)


class InProcess:
    """An Answerer of strategies over engines in this process."""

    def __init__(self, minds: Minds, plain: Answerer, identity: Mapping[str, Any]) -> None:
        self._minds, self._plain, self.identity = minds, plain, dict(identity)
        self._driver: EngineDriver | None = None

    def refusal(self, setting: Setting) -> str | None:
        if self._minds.speech.format.counts_steps:
            return f"format {self._minds.speech.format.name} counts steps: strategies need tokens"
        try:
            _built(setting.strategy, self._minds.available)
        except UserError as error:
            return f"{setting.strategy}: {error}"
        return self._plain.refusal(replace(setting, strategy=""))

    def check(self, ask: Ask) -> None:
        self._plain.check(ask)

    def work(self, asks: Iterable[tuple[K, Ask]], done: Answers[K]) -> None:
        driver = self._started()
        limits = Limits(concurrency=self._minds.engine.start().max_num_seqs, least=driver.least)
        runs: dict[K, Run] = {}

        def begin(arrived: Iterable[tuple[K, Ask]]) -> Iterable[tuple[K, Run]]:
            for key, ask in arrived:
                assert ask.budget is not None and ask.sampling.seed is not None
                known = Known(question=ask.question, seed=ask.sampling.seed)
                policy = _built(ask.strategy, self._minds.available)
                runs[key] = Run(
                    question=ask.question,
                    session=Session(policy, limits, known),
                    budget=ask.budget,
                    sampling=ask.sampling,
                )
                yield key, runs[key]

        def over(key: K, session: Session, seconds: float) -> Iterable[tuple[K, Run]]:
            maximum = in_force(runs.pop(key), self._minds)
            return begin(done(key, answered(session, maximum, seconds)))

        driver.run(begin(asks), over)

    def _started(self) -> EngineDriver:
        from s1_serve.strategies.engine_driver import EngineDriver, Mind

        if self._driver is None:
            minds = self._minds
            others = {
                name: Mind(engine=engine.start(), speech=speech)
                for name, (engine, speech) in minds.others.items()
            }
            mind = Mind(engine=minds.engine.start(), speech=minds.speech)
            self._driver = EngineDriver(mind, others=others, scorers=minds.scorers)
        return self._driver


def in_force(run: Run, minds: Minds) -> int:
    """Tell the maximum of the answer that was chosen: that of its own call, by its own model."""
    assert run.session.outcome is not None
    choice = run.session.outcome.choice
    call = run.session.known[choice.id].call if choice else Chat(id="")
    assert not isinstance(call, Reward), "scores are no answer"
    speech = minds.speech
    if isinstance(call, Chat) and call.model is not None:
        _, speech = minds.others[call.model]
    wanted = asking.wanted(run, call, None, asking.least(speech))
    return asking.planned(speech, wanted).maximum


def answered(session: Session, maximum: int, seconds: float) -> Answered:
    """Read what a run came to: the answer that it chose, and what all of it cost."""
    assert session.outcome is not None
    choice = session.outcome.choice
    path = session.known.path(choice.id) if choice else []
    last = path[-1].result if path else NOTHING
    return Answered(
        thinking="".join(sample.result.thinking for sample in path).strip(),
        answer=last.answer,
        thinking_tokens=sum(sample.result.thinking_tokens for sample in path),
        output_tokens=sum(sample.tokens for sample in path),
        end=ended(last.end),
        extends=sum(sample.result.extends for sample in path),
        finish_reason="length" if last.finish_reason == "length" else "stop",
        maximum=maximum,
        seconds=seconds,
        mean_logprob=last.mean_logprob,
        spent=_spent(session, path),
    )


def _spent(session: Session, path: list[Sample]) -> Spent:
    assert session.outcome is not None
    choice, tokens, counts = session.outcome.choice, session.tokens, session.counts()
    return Spent(
        total_tokens=tokens.total,
        sequential_tokens=tokens.sequential,
        aborted_tokens=tokens.aborted,
        verifier_tokens=tokens.verifier,
        num_started=counts["started"],
        num_aborted=counts["aborted"],
        is_degraded=session.outcome.is_degraded,
        decision=decision(
            selected=path[-1].id if path else None,
            votes=choice.votes if choice else {},
            margin=choice.margin if choice else None,
            why=session.outcome.stopped,
        ),
    )


def decision(
    *, selected: str | None, votes: Mapping[str, float], margin: float | None, why: str
) -> str:
    """Write how a strategy chose, as a row keeps it."""
    heaviest = dict(sorted(votes.items(), key=lambda pair: -pair[1])[:MOST_VOTES])
    told: dict[str, Any] = {"selected": selected, "votes": heaviest, "margin": margin, "why": why}
    return json.dumps(told, ensure_ascii=False)


def ended(end: str) -> End:
    """Say how thinking ended; a step that goes on had no room to."""
    return "natural" if end == "natural" else "budget" if end == "budget" else "length"


def _built(spec: str, available: Available) -> Policy:
    return catalogue.build(*specs.sized(spec), available)
