"""When the driver lets sessions begin, on an engine whose calls are as long as written down."""

from __future__ import annotations

import itertools
from typing import Any

from s1_core import chat
from s1_serve.budget.outcome import Outcome
from s1_serve.completions import Sampling
from s1_serve.config import ThinkingBudget
from s1_serve.news import News
from s1_serve.strategies.driving.asking import Ask
from s1_serve.strategies.engine_driver import EngineDriver, Mind
from s1_serve.strategies.known import Known
from s1_serve.strategies.parallel.majority import Majority
from s1_serve.strategies.parallel.shortest import Shortest
from s1_serve.strategies.policy import Policy
from s1_serve.strategies.session import Limits, Session
from unit.serve.fake_model import TEXT, speech

SPEECH = speech()
END = TEXT.encode(chat.end_string(SPEECH.format))


class Seats:
    """An engine: a token of each call a step; a call's length is found by its seed."""

    def __init__(self, max_num_seqs: int, lengths: dict[int, int]) -> None:
        self.max_num_seqs, self._lengths = max_num_seqs, lengths
        self._numbers = itertools.count()
        self._live: dict[str, int] = {}
        self._tokens: dict[str, int] = {}
        self.steps: list[int] = []
        """how many calls each step had"""

    def open(self, job: Any, **_: Any) -> str:
        name = str(next(self._numbers))
        self._live[name], self._tokens[name] = self._lengths[job.plan.sampling.seed], 0
        assert len(self._live) <= self.max_num_seqs
        return name

    def poll(self) -> list[News]:
        self.steps.append(len(self._live))
        for name in self._live:
            self._tokens[name] += 1
        ended = [name for name, length in self._live.items() if self._tokens[name] == length]
        return [self._news(name, self._live.pop(name)) for name in ended]

    def _news(self, name: str, length: int) -> News:
        outcome = Outcome(
            header_ids=(), thinking_ids=(), ending_ids=END, end="natural", extends=0,
            answer_ids=TEXT.encode(f"Final Answer: {length}"), finish_reason="stop",
        )  # fmt: skip
        return News(name, (1,) * length, (), outcome)

    def thought(self) -> list[str]:
        return []

    def count(self, name: str) -> int:
        return self._tokens[name]

    def close(self, names: Any) -> None:
        for name in list(names):
            self._live.pop(name, None)


def driven(seats: int, *runs: tuple[Policy, list[int]]) -> tuple[list[Session], Seats]:
    """Run policies whose nth samples are so long, in this order."""
    lengths = {
        1000 * at + nth: length
        for at, (_, each) in enumerate(runs)
        for nth, length in enumerate(each)
    }
    engine = Seats(seats, lengths)
    asks = [
        Ask(
            question="q",
            session=Session(policy, Limits(), Known(question="q", seed=0)),
            budget=ThinkingBudget(max=40),
            sampling=Sampling(temperature=1.0, seed=1000 * at),
        )
        for at, (policy, _) in enumerate(runs)
    ]
    ended = []
    mind = Mind(engine=engine, speech=SPEECH)  # type: ignore[arg-type]
    EngineDriver(mind).run(enumerate(asks), lambda key, *_: ended.append(key) or ())
    assert sorted(ended) == [*range(len(runs))]
    return [one.session for one in asks], engine


def answer(session: Session) -> str:
    assert session.outcome is not None and session.outcome.choice is not None
    return session.known[session.outcome.choice.id].result.answer


def test_the_shortest_sample_wins_whatever_else_the_engine_does():
    race = (Shortest(n=4, k=1), [30, 5, 20, 25])
    (alone,), _ = driven(4, race)
    (_, beside), _ = driven(4, (Majority(n=3), [40, 40, 40]), race)
    assert "5" in answer(alone) and answer(beside) == answer(alone)
    assert alone.tokens == beside.tokens


def test_a_first_round_that_the_engine_cannot_hold_begins_once_it_is_empty():
    race = (Shortest(n=6, k=1), [30, 9, 20, 25, 30, 30])
    (_, beside, _), engine = driven(4, (Majority(n=1), [10]), race, race)
    assert "9" in answer(beside)
    assert engine.steps[:10] == [1] * 10 and engine.steps[10] == 4


def test_where_the_order_does_not_matter_no_seat_stays_empty():
    votes = [(Majority(n=3), [10, 10, 10]) for _ in range(4)]
    _, engine = driven(4, *votes)
    assert engine.steps[:10] == [4] * 10
