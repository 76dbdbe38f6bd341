"""What holds for every strategy, whatever the engine does."""

import re
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_core.errors import UserError
from s1_serve.strategies import catalogue
from s1_serve.strategies.calls import Chat, Reward
from s1_serve.strategies.known import Aborted, Failed, Finished, Heard, Known, Result, Started
from s1_serve.strategies.parameters import MOST_CALLS
from s1_serve.strategies.policy import WAIT, Choice, Decision, Policy
from s1_serve.strategies.session import (
    BROKEN,
    OUT_OF_TOKENS,
    Cancel,
    Launch,
    Limits,
    Outcome,
    Session,
)
from s1_serve.strategies.simulation import simulate
from unit.serve.available import AVAILABLE, SMALL
from unit.serve.world import World

ROOT = Path(__file__).resolve().parents[3]
NAMES = sorted(catalogue.POLICIES)


def policy_of(name: str) -> Policy:
    return catalogue.build(name, SMALL.get(name, {}), AVAILABLE)


def world(name: str, seed: int, order: int, cap: int | None, concurrency: int = 4) -> World:
    limits = Limits(concurrency=concurrency, total_tokens=cap, least=16)
    return World(policy_of(name), limits, seed, Random(order))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    cap=st.one_of(st.none(), st.integers(16, 3000)),
    concurrency=st.integers(1, 9),
)
def test_it_ends_within_its_caps(name: str, seed: int, cap: int | None, concurrency: int) -> None:
    one = world(name, seed, seed, cap, concurrency)
    one.run()
    session = one.session
    assert one.most_running <= concurrency
    assert cap is None or session.tokens.total <= cap
    assert session.outcome is not None
    if (choice := session.outcome.choice) is not None:
        assert session.known[choice.id].has_answered
        assert list(choice.votes.values()) == sorted(choice.votes.values(), reverse=True)
    tokens, counts = session.tokens, session.counts()
    assert tokens.sequential <= tokens.total
    assert max(tokens.aborted, tokens.verifier) <= tokens.total
    assert counts["finished"] + counts["aborted"] + counts["failed"] == counts["started"]
    has_failed = any(s.is_candidate and s.state == "failed" for s in session.known)
    assert session.outcome.is_degraded or not has_failed
    if not any(sample.has_answered for sample in session.known):
        assert session.outcome.choice is None


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_was_heard_before_changes_nothing(name: str, seed: int) -> None:
    one = world(name, seed, seed, None)
    one.run()
    again = world(name, seed, 0, None).session
    launched = [effect.call.id for effect in again.begin() if hasattr(effect, "call")]
    for event in one.heard:
        assert isinstance(event, Started | Heard | Finished | Failed | Aborted)
        before = again.known
        effects = again.hear(event)
        launched += [effect.call.id for effect in effects if hasattr(effect, "call")]
        if not isinstance(event, Heard) and again.outcome is None and again.known is not before:
            after = again.known
            assert again.hear(event) == [] and again.known is after
            assert again.policy.decide(after) == again.policy.decide(after)
    assert again.outcome == one.session.outcome
    assert len(launched) == len(set(launched)), "a call was started twice"


@pytest.mark.parametrize("name", [n for n in NAMES if catalogue.POLICIES[n].ignores_order])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.integers(0, 10**6))
def test_the_order_in_which_samples_end_changes_nothing(name: str, seed: int, order: int) -> None:
    one, other = world(name, seed, 0, None), world(name, seed, order, None, concurrency=9)
    one.run()
    other.run()
    assert one.session.outcome == other.session.outcome


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("after", [0, 3])
def test_time_is_over_at_any_moment(name: str, after: int) -> None:
    one = world(name, 5, 5, None)
    session = one.session
    one._apply(session.begin())
    for _ in range(after):
        if one.running and session.outcome is None:
            one._end(sorted(one.running)[0])
    if session.outcome is None:
        one._apply(session.expire())
        assert session.outcome is not None and session.outcome.is_degraded
        assert not one.running and not session.known.live
    assert session.hear(Started("0")) == []


@pytest.mark.parametrize("name", NAMES)
def test_parameters_out_of_range_are_one_line(name: str) -> None:
    counts = [k for k, v in catalogue.parameters(name).items() if type(v) is int]
    for key in counts:
        for value in (-1, 10_000):
            with pytest.raises(UserError) as refused:
                catalogue.build(name, SMALL.get(name, {}) | {key: value}, AVAILABLE)
            assert key in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(UserError, match="nonsense"):
        catalogue.build(name, {"nonsense": 1}, AVAILABLE)


@dataclass(frozen=True, kw_only=True)
class Replaces:
    """Asks for a sample, stops it once it was heard of, and asks for another."""

    name: ClassVar[str] = "replaces"
    watches: ClassVar[bool] = True
    ignores_order: ClassVar[bool] = True

    def decide(self, known: Known) -> Decision:
        if "0" not in known or not known["0"].tokens:
            return Decision(start=(Chat(id="0"),))
        return Decision(start=(Chat(id="1"),), abort=("0",))

    def best(self, known: Known) -> Choice | None:
        return None


def test_what_a_stopped_call_had_under_way_is_not_spent_twice() -> None:
    session = Session(Replaces(), Limits(total_tokens=100, least=10), Known())
    session.begin()
    session.hear(Started("0"))
    assert session.hear(Heard(id="0", tokens=20, thinking_tokens=20)) == [Cancel("0")]
    assert session.outcome is None, "it waits to hear what is left"
    launched = session.hear(Aborted("0", 45))
    assert launched == [Launch(call=Chat(id="1"), max_tokens=100 - 45)]


def test_what_a_call_that_came_to_nothing_had_thought_is_counted() -> None:
    session = Session(Replaces(), Limits(), Known())
    session.begin()
    session.hear(Heard(id="0", tokens=2, thinking_tokens=2))
    for event in (Aborted("0", 9), Heard(id="0", tokens=9, thinking_tokens=7)):
        assert session.hear(event) == []
    session.hear(Failed("1", "broken", 5))
    assert session.hear(Heard(id="1", tokens=5, thinking_tokens=5)) == []
    assert [(s.state, s.tokens, s.thinking_tokens) for s in session.known] == [
        ("aborted", 9, 7), ("failed", 5, 5),
    ]  # fmt: skip


def test_a_session_that_failed_has_no_choice_and_starts_nothing() -> None:
    session = Session(policy_of("majority"), Limits(concurrency=1), Known())
    session.begin()
    session.hear(Finished("0", Result(answer="1", vote="1")))
    session.fail()
    assert session.outcome == Outcome(choice=None, stopped=BROKEN, is_degraded=True)
    assert session.hear(Finished("1", Result(answer="1", vote="1"))) == []
    assert session.counts() == {"started": 2, "finished": 1, "aborted": 1, "failed": 0}


@pytest.mark.parametrize("name", ["majority", "weighted", "longest", "schedule"])
def test_a_vote_names_the_number_that_answered_and_is_degraded_by_failures(name: str) -> None:
    session = Session(catalogue.build(name, {"n": 6}, AVAILABLE), Limits(), Known())
    session.begin()
    for index in range(6):
        result = Result(answer="1", vote="1", tokens=5, mean_logprob=-0.1)
        is_good = index % 3 == 0
        session.hear(Finished(str(index), result) if is_good else Failed(str(index), "broken"))
    assert session.outcome is not None and session.outcome.is_degraded
    assert "2" in session.outcome.stopped and "6" not in session.outcome.stopped
    assert session.counts() == {"started": 6, "finished": 2, "aborted": 0, "failed": 4}


@dataclass(frozen=True, kw_only=True)
class Says:
    """Decides one thing, whatever is known."""

    first: Decision
    name: ClassVar[str] = "says"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    def decide(self, known: Known) -> Decision:
        return self.first

    def best(self, known: Known) -> Choice | None:
        return None


def test_a_stopped_verifier_is_no_stopped_candidate() -> None:
    calls = (Chat(id="0"), Chat(id="v", is_verifier=True))
    session = Session(Says(first=Decision(start=calls)), Limits(), Known())
    session.begin()
    session.expire()
    for name, tokens in (("0", 5), ("v", 9)):
        session.hear(Aborted(name, tokens))
    told = session.tokens
    assert (told.total, told.aborted, told.verifier) == (14, 5, 9)
    assert session.counts()["aborted"] == 1


def test_one_id_is_one_call() -> None:
    twice = Decision(start=(Chat(id="0"), Chat(id="0")))
    session = Session(Says(first=twice), Limits(), Known())
    assert session.begin() == [Launch(call=Chat(id="0"))]


def test_a_name_with_a_slash_is_a_name_and_numbers_are_a_list() -> None:
    found = catalogue.parse("schedule:temperatures=0.5/1,model=org/name,budgets=7/")
    assert found == ("schedule", {"temperatures": [0.5, 1], "model": "org/name", "budgets": [7]})


@pytest.mark.parametrize("word", ["nan", "inf", "-Infinity", "1e999", "9" * 5000, "0.5/nan"])
def test_a_number_that_is_not_finite_is_refused(word: str) -> None:
    with pytest.raises(UserError, match="is no finite number") as raised:
        catalogue.parse(f"adaptive:threshold={word}")
    assert len(str(raised.value)) < 200


def test_waiting_is_empty() -> None:
    assert WAIT.start == () and WAIT.abort == () and WAIT.answer is None


def test_every_strategy_has_its_section_with_paper_difference_and_use() -> None:
    text = (ROOT / "packages" / "serve" / "STRATEGIES.md").read_text()
    sections = dict(re.findall(r"^### `([a-z-]+)`\n(.*?)(?=^##|\Z)", text, re.M | re.S))
    assert sections.keys() == catalogue.POLICIES.keys()
    for name, section in sections.items():
        assert re.search(r"\d{4}\.\d{5}|GenSelect", section), f"{name} names no paper"
        assert {"Differs", "Use it"} <= set(re.findall(r"Differs|Use it", section)), name
        told = catalogue.parameters(name).keys() - {"tie"}
        unnamed = {key for key in told if f"`{key}`" not in section and "as `beam`" not in section}
        assert not unnamed, f"{name}: {unnamed} are not explained"


@dataclass(frozen=True)
class Endless:
    """Asks for more whenever something ends, and never answers."""

    name: ClassVar[str] = "endless"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = False

    def decide(self, known: Known) -> Decision:
        if known.live:
            return WAIT
        number = len(known.samples)
        score = Reward(id=f"score {number}", of="0", verifier="r")
        return Decision(start=(Chat(id=str(number)), score))

    def best(self, known: Known) -> Choice | None:
        return Choice(id=known.answered[0].id, why="the first") if known.answered else None


def test_a_policy_that_never_ends_is_ended_by_the_number_of_its_calls() -> None:
    session = Session(Endless(), Limits(), Known())
    simulate(session, lambda launch: Result(answer="1", tokens=1, vote="1"))
    assert session.outcome is not None and session.outcome.is_degraded
    assert len(session.known.samples) == MOST_CALLS


def test_scores_cost_no_tokens_and_are_had_when_tokens_are_spent() -> None:
    session = Session(Endless(), Limits(total_tokens=20, least=16), Known())
    simulate(session, lambda launch: Result(answer="1", tokens=launch.max_tokens or 0, vote="1"))
    assert session.outcome is not None and session.outcome.stopped == OUT_OF_TOKENS
    rewards = [sample for sample in session.known if isinstance(sample.call, Reward)]
    assert [sample.state for sample in rewards] == ["finished", "finished"]
    assert session.tokens.total == 20
