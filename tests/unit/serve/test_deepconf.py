"""DeepConf on made-up confidences: who is stopped when, who votes, what it saves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1_serve.strategies.known import Finished, Heard, Known, Started
from s1_serve.strategies.policy import Choice
from s1_serve.strategies.session import Cancel, Effect, Limits, Session
from s1_serve.strategies.verified import confidence
from s1_serve.strategies.verified.deepconf import MUTE as NO_CONFIDENCES
from s1_serve.strategies.verified.deepconf import DeepConf
from unit.serve.finished import result


def test_groups_are_sliding_means() -> None:
    values = [3.0, 1.0, 2.0, 6.0, 4.0]
    assert confidence.groups(values, 2) == [2.0, 1.5, 4.0, 5.0]
    assert confidence.groups(values, 5) == confidence.groups(values, 9) == [3.2]
    assert confidence.least(values, 2) == 1.5 and confidence.tail(values, 2) == 5.0
    assert confidence.bottom(values, 2, share=0.5) == 1.75 and confidence.bottom(values, 2) == 1.5
    assert confidence.groups([], 2) == [] and confidence.least([], 2) is None
    assert confidence.tail([], 2) is None and confidence.bottom([], 2) is None


@given(st.lists(st.floats(0, 30), min_size=1, max_size=80), st.integers(1, 20), st.integers(1, 90))
def test_the_newest_groups_are_the_last_ones(values: list[float], window: int, news: int) -> None:
    found = confidence.newest(values, window, news)
    if len(values) < window:
        assert found is None
    else:
        assert found == pytest.approx(min(confidence.groups(values, window)[-news:]), abs=1e-9)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=20), st.floats(0, 100))
def test_percentiles_are_those_of_numpy(values: list[float], percent: float) -> None:
    assert confidence.percentile(values, percent) == pytest.approx(np.percentile(values, percent))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_confidence_that_is_no_number_is_none(bad: float) -> None:
    assert confidence.least([1.0, bad, 1.0], 3) is None
    assert confidence.newest([1.0, bad, 1.0], 3, 1) is None


class Traces:
    """An engine that generates a token of every running trace a tick, with confidences."""

    def __init__(self, policy: DeepConf, traces: list[tuple[str, list[float]]]) -> None:
        self.traces, self.running = traces, list[str]()
        self.session = Session(policy, Limits(), Known(question="Why?"))
        self.aborted: dict[str, int] = {}
        self._apply(self.session.begin())

    def run(self) -> Choice:
        while self.session.outcome is None:
            for name in list(self.running):
                self._tick(name)
        assert self.session.outcome.choice is not None
        return self.session.outcome.choice

    def _tick(self, name: str) -> None:
        if name not in self.running:
            return
        answer, confidences = self.traces[int(name)]
        done = self.session.known[name].tokens
        if done == len(confidences):
            self.running.remove(name)
            self._apply(self.session.hear(Finished(name, result(answer, done))))
            return
        new = tuple(confidences[done : done + 1])
        heard = Heard(id=name, tokens=done + 1, thinking_tokens=done + 1, confidences=new)
        self._apply(self.session.hear(heard))

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Cancel):
                self.running.remove(effect.id)
                self.aborted[effect.id] = self.session.known[effect.id].tokens
            else:
                self.running.append(effect.call.id)
                self._apply(self.session.hear(Started(effect.call.id)))


SURE, UNSURE = [8.0] * 20, [8.0] * 6 + [2.0] * 14


def test_traces_that_grow_unsure_are_stopped_and_those_of_the_warmup_are_not() -> None:
    warmup = [("12", SURE), ("13", [7.0] * 20), ("12", SURE), ("14", UNSURE)]
    later = [("13", UNSURE), ("12", SURE), ("13", [7.5] * 20), ("13", UNSURE)]
    policy = DeepConf(n=8, warmup=4, eta=75, window=4, consensus=2.0)
    engine = Traces(policy, warmup + later)
    choice = engine.run()
    threshold = float(np.percentile([8.0, 7.0, 8.0, 2.0], 25))
    fell = next(end for end in range(4, 21) if sum(UNSURE[end - 4 : end]) / 4 < threshold)
    assert engine.aborted == {"4": fell, "7": fell} and fell < 20
    assert choice.votes == {"12": 24.0, "13": 14.5} and choice.id == "0"
    assert engine.session.tokens.total == 4 * 20 + 2 * 20 + 2 * fell


def test_sampling_ends_where_the_sure_agree() -> None:
    traces = [("12", SURE)] * 4 + [("13", SURE)] * 4
    engine = Traces(DeepConf(n=8, warmup=4, window=4), traces)
    choice = engine.run()
    assert choice.votes == {"12": 32.0} and set(engine.session.known.samples) == set("0123")
    engine = Traces(DeepConf(n=8, warmup=4, window=4, consensus=1.5), traces)
    engine.run()
    assert len(engine.session.known.samples) == 8


def test_consensus_stops_those_that_still_run() -> None:
    traces = [("12", SURE), ("13", [4.0] * 20), ("12", SURE), ("12", [8.0] * 90)]
    engine = Traces(DeepConf(n=4, warmup=2, eta=100, window=4, consensus=0.75), traces)
    assert engine.run().votes == {"12": 16.0, "13": 4.0}
    assert engine.aborted == {"3": engine.session.known["3"].tokens}
    assert engine.session.known["3"].tokens < 90


def test_equal_confidences_stop_nobody() -> None:
    odd = [0.1 + 0.2] * 20
    traces = [("12", odd), ("13", odd), ("14", odd), ("15", odd[:19])]
    engine = Traces(DeepConf(n=4, warmup=2, eta=10, window=7, consensus=2.0), traces)
    assert len(engine.run().votes) == 4 and engine.aborted == {}


def test_a_trace_shorter_than_the_window_is_one_group() -> None:
    traces = [("12", [8.0] * 5), ("13", [6.0] * 5), ("13", [2.0] * 5)]
    engine = Traces(DeepConf(n=3, warmup=2, window=2048, consensus=2.0), traces)
    assert engine.run().votes == {"12": 8.0} and engine.aborted == {}


def test_an_engine_without_confidences_is_a_majority() -> None:
    traces: list[tuple[str, list[float]]] = [("13", []), ("12", []), ("12", [])]
    choice = Traces(DeepConf(n=3, warmup=2), traces).run()
    assert choice.id == "1" and choice.is_degraded and NO_CONFIDENCES in choice.why


def test_sure_traces_without_an_answer_leave_the_majority() -> None:
    traces = [("", SURE), ("13", [1.0] * 20), ("", SURE)]
    choice = Traces(DeepConf(n=3, warmup=3, eta=10, window=4), traces).run()
    assert choice.id == "1" and choice.is_degraded


@pytest.mark.parametrize(
    ("mode", "votes"), [("tail", {"13": 9.0, "12": 6.0}), ("bottom", {"12": 6.0, "14": 2.0})]
)
def test_filters_keep_the_surest_traces_and_stop_none(mode: str, votes: dict[str, float]) -> None:
    rising, even, low = [1.0] * 10 + [9.0] * 10, [6.0] * 20, [2.0] * 20
    engine = Traces(
        DeepConf(n=3, eta=50, window=4, mode=mode), [("13", rising), ("12", even), ("14", low)]
    )
    choice = engine.run()
    assert engine.aborted == {} and choice.votes == votes


def test_a_warmup_as_large_as_n_is_all_there_is() -> None:
    engine = Traces(
        DeepConf(n=2, warmup=4, window=4, consensus=2.0), [("12", SURE), ("13", UNSURE)]
    )
    assert len(engine.run().votes) <= 2 and len(engine.session.known.samples) == 2


def test_deciding_does_not_depend_on_what_was_decided_before() -> None:
    policy = DeepConf(n=4, warmup=2, eta=100, window=4, consensus=2.0)
    engine = Traces(policy, [("12", SURE), ("13", [4.0] * 20), ("12", UNSURE), ("12", SURE)])
    states: list[Known] = []
    while engine.session.outcome is None:
        states.append(engine.session.known)
        for name in list(engine.running):
            engine._tick(name)
    fresh = [DeepConf(n=4, warmup=2, eta=100, window=4, consensus=2.0).decide(s) for s in states]
    assert [policy.decide(state) for state in reversed(states)] == fresh[::-1]
