"""The rule of each parallel strategy, on cases written down by hand and against slow references."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from s1_core.errors import UserError
from s1_serve.strategies import catalogue
from s1_serve.strategies.ballots import NO_ANSWER
from s1_serve.strategies.calibration import LONG, NON_REASONING, SHORT, UNKNOWN, Calibration
from s1_serve.strategies.calls import Chat
from s1_serve.strategies.catalogue import Available
from s1_serve.strategies.known import Finished, Heard, Known, Result, Started, heard
from s1_serve.strategies.parallel import clusters
from s1_serve.strategies.parallel.adaptive import LOOKS, Adaptive, bayes_factor
from s1_serve.strategies.parallel.auto import Auto
from s1_serve.strategies.parallel.likelihood import Likelihood
from s1_serve.strategies.parallel.longest import Longest
from s1_serve.strategies.parallel.majority import Majority
from s1_serve.strategies.parallel.schedule import Schedule
from s1_serve.strategies.parallel.shortest import ANSWER, THINKING, Shortest
from s1_serve.strategies.parallel.weighted import NO_LOGPROBS, Weighted
from s1_serve.strategies.policy import Choice
from s1_serve.strategies.session import Cancel, Launch, Limits, Session
from unit.serve.plays import chosen, numbered, play, said

POOLS = [
    [("a", 50), ("b", 20), ("b", 40), ("a", 30), (None, 10)],
    [(None, 5), ("c", 9), (None, 7), ("c", 9), ("d", 9)],
    [("a", 1), ("b", 2), ("c", 3), ("b", 4), ("c", 5)],
    [(None, 3), (None, 1), (None, 2), (None, 9), (None, 4)],
]


def vote(pool: list[tuple[str | None, int]], voters: list[int]) -> int | None:
    """Say who speaks after a vote of some samples, by the definition; None without an answer."""
    forms = {pool[at][0] for at in voters} - {None}
    if not forms:
        return None

    def standing(form: str | None) -> tuple[int, int, int]:
        members = [at for at in voters if pool[at][0] == form]
        return (-len(members), *min((pool[at][1], at) for at in members))

    return standing(min(forms, key=standing))[2]


def speaker(pool: list[tuple[str | None, int]], voters: list[int]) -> str:
    found = vote(pool, voters)
    mute = min(range(len(pool)), key=lambda at: (pool[at][1], at))
    return str(mute if found is None else found)


# Majority


def test_failed_samples_do_not_vote() -> None:
    session = play(Majority(n=4), numbered(said("a"), said("b"), said("b")))
    assert chosen(session).votes == {"b": 2, "a": 1}


def test_nothing_at_all_is_no_choice() -> None:
    session = play(Majority(n=3), {})
    assert session.outcome is not None and session.outcome.choice is None


def test_at_the_deadline_those_that_are_done_vote() -> None:
    session = play(Majority(n=3), numbered(said("a", 10), said("b", 20), said("b", 90)), 50)
    assert session.outcome is not None and session.outcome.is_degraded
    assert chosen(session).votes == {"a": 1, "b": 1} and chosen(session).id == "0"


# Clusters


def meaning(launch: Launch) -> Result:
    """Give texts without a final form; a judge who sees through them."""
    texts = {"0": "It rains.", "1": "It is dry.", "2": "Rain falls.", "3": "Wet it is."}
    if isinstance(launch.call, Chat) and launch.call.is_verifier:
        dry = "It is dry." in launch.call.under
        return Result(answer=f"Hm.\nVerdict: {'different' if dry else 'same'}", tokens=3)
    return Result(answer=texts[launch.call.id], tokens=10 + int(launch.call.id))


def test_answers_of_the_same_meaning_are_one_ballot() -> None:
    session = play(Majority(n=4, clusters=True), meaning)
    choice = chosen(session)
    assert choice.id == "0" and list(choice.votes.values()) == [3, 1]
    judged = [s.id for s in session.known if not s.is_candidate]
    # 2 and 3 are compared with both clusters there are, at once.
    assert judged == ["same/0/1", "same/0/2", "same/1/2", "same/0/3", "same/1/3"]
    assert session.tokens.verifier == 5 * 3


def test_final_forms_ask_no_judge() -> None:
    session = play(Majority(n=2, clusters=True), numbered(said("a"), said("a")))
    assert all(sample.is_candidate for sample in session.known)


def test_a_judge_that_says_nothing_leaves_a_degraded_choice() -> None:
    results = numbered(Result(answer="One.", tokens=9), Result(answer="Two.", tokens=5))
    choice = chosen(play(Majority(n=2, clusters=True), results))
    assert choice.id == "1" and choice.is_degraded and clusters.MUTE in choice.why


def test_a_comparison_that_was_cut_says_nothing() -> None:
    def same(launch: Launch) -> Result:
        found = meaning(launch)
        is_judge = isinstance(launch.call, Chat) and launch.call.is_verifier
        return replace(found, finish_reason="length") if is_judge else found

    choice = chosen(play(Majority(n=4, clusters=True), same))
    assert choice.is_degraded and clusters.MUTE in choice.why


def test_comparisons_are_bounded() -> None:
    def differing(launch: Launch) -> Result:
        if isinstance(launch.call, Chat) and launch.call.is_verifier:
            return Result(answer="Verdict: different", tokens=1)
        return Result(answer=f"Story {launch.call.id}", tokens=5)

    session = play(Majority(n=20, clusters=True), differing)
    judged = [sample.id for sample in session.known if not sample.is_candidate]
    most = clusters.MOST_CLUSTERS
    assert len(judged) == most * (most - 1) // 2 + (20 - most) * most


# Weighted and likelihood


def test_likelihood_weighs_the_vote() -> None:
    results = numbered(
        said("a", mean_logprob=math.log(0.2)),
        said("a", mean_logprob=math.log(0.3)),
        said("b", mean_logprob=math.log(0.9)),
        said("b", mean_logprob=None),
    )
    choice = chosen(play(Weighted(n=4), results))
    assert choice.id == "2" and choice.votes == pytest.approx({"b": 0.9, "a": 0.5})


@pytest.mark.parametrize("policy", [Weighted(n=3), Likelihood(n=3)])
def test_without_logprobs_a_majority_votes_degraded(policy: Weighted | Likelihood) -> None:
    results = numbered(
        said("a", 4, mean_logprob=math.nan), said("b", 9), said("b", 8, mean_logprob=None)
    )
    choice = chosen(play(policy, results))
    assert choice.id == "2" and choice.is_degraded and choice.why.startswith(NO_LOGPROBS)


def test_answers_are_not_lost_where_their_logprobs_are() -> None:
    results = numbered(said(None, 4, mean_logprob=-0.1), *[said("a", mean_logprob=None)] * 3)
    choice = chosen(play(Weighted(n=4), results))
    assert choice.id == "1" and choice.is_degraded and choice.votes == {"a": 3}
    nobody = chosen(play(Weighted(n=1), numbered(said(None, mean_logprob=-0.1))))
    assert nobody.why == NO_ANSWER


def test_the_likeliest_that_has_an_answer_is_taken() -> None:
    results = numbered(
        said(None, mean_logprob=-0.01),
        said("a", 9, mean_logprob=-0.5),
        said("b", 8, mean_logprob=-0.5),
        said("c", mean_logprob=-math.inf),
    )
    choice = chosen(play(Likelihood(n=4), results))
    assert choice.id == "2" and choice.votes == {} and not choice.is_degraded
    mute = numbered(said(None, mean_logprob=-2.0), said(None, mean_logprob=-1.0))
    assert chosen(play(Likelihood(n=2), mute)).id == "1"


# Longest


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_the_longest_vote(pool: list[tuple[str | None, int]], k: int) -> None:
    lengths = sorted((length for answer, length in pool if answer is not None), reverse=True)
    cutoff = lengths[:k][-1] if lengths else 0
    voters = [at for at, (answer, length) in enumerate(pool) if answer and length >= cutoff]
    choice = chosen(play(Longest(k=k, n=5), numbered(*(said(*pair) for pair in pool))))
    assert choice.id == speaker(pool, voters)
    assert choice.is_degraded == (not lengths)


# Shortest


def arrive(policy: Shortest, pool: list[tuple[str | None, int]], order: tuple[int, ...]) -> Session:
    """Let samples finish in an order, whatever their lengths."""
    session = Session(policy, Limits(), Known())
    session.begin()
    for at in order:
        if session.outcome is None:
            session.hear(Started(str(at)))
            session.hear(Finished(str(at), said(*pool[at])))
    return session


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("clock", [ANSWER, THINKING])
def test_the_first_k_with_an_answer_vote_whatever_the_order(
    pool: list[tuple[str | None, int]], k: int, clock: str
) -> None:
    for order in itertools.permutations(range(5)):
        valid = [at for at in order if pool[at][0] is not None]
        session = arrive(Shortest(k=k, n=5, clock=clock), pool, order)
        assert chosen(session).id == speaker(pool, valid[:k])
        waited = order.index(valid[k - 1]) + 1 if len(valid) >= k else 5
        aborted = [sample.id for sample in session.known if sample.state == "aborted"]
        assert aborted == [str(at) for at in range(5) if at in order[waited:]]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_thinking_clock_stops_the_others_and_waits_for_the_answers(k: int) -> None:
    pool = POOLS[0]
    for order in itertools.permutations(range(5), k):
        session = Session(Shortest(k=k, n=5), Limits(), Known())
        session.begin()
        effects = []
        for at in order:
            effects = session.hear(Heard(id=str(at), tokens=8, thinking_tokens=7, has_thought=True))
        stopped = [effect.id for effect in effects if isinstance(effect, Cancel)]
        assert stopped == [str(at) for at in range(5) if at not in order]
        assert session.outcome is None
        for at in reversed(order):
            session.hear(Finished(str(at), said(*pool[at])))
        voters = sorted(at for at in order if pool[at][0] is not None)
        answered = [pool[at] if at in order else (None, 99) for at in range(5)]
        assert chosen(session).id == speaker(answered, voters)


def test_an_answer_that_is_missing_behind_the_thinking_clock_is_not_replaced() -> None:
    results = numbered(said(None, 10), said("a", 12), said("b", 50), said("b", 60))
    results["0"] = said(None, 10, thinking_tokens=2)
    results["1"] = said("a", 12, thinking_tokens=4)
    choice = chosen(play(Shortest(k=2, n=4), results))
    assert choice.votes == {"a": 1} and not choice.is_degraded
    # By the clock of answers it is, and all votes count.
    assert chosen(play(Shortest(k=2, n=4, clock=ANSWER), results)).votes == {"a": 1, "b": 1}


def test_those_that_come_in_behind_the_k_do_not_vote() -> None:
    known = Known()
    for at in (9, 10, 2):  # in this order, which is neither that of numbers nor of names
        known = heard(known.asked(Chat(id=str(at)), 0), Finished(str(at), said("ab"[at % 2])))
    choice = Shortest(k=2, n=3, tie="first").best(known)
    assert choice is not None and choice.votes == {"b": 1, "a": 1} and choice.id == "9"


def test_failed_samples_are_none_of_the_k() -> None:
    results = {"2": said("a", 30), "3": said("b", 40)}
    assert chosen(play(Shortest(k=1, n=4, clock=ANSWER), results)).id == "2"


def test_the_first_saves_what_the_others_would_have_thought() -> None:
    lengths = [400, 120, 350, 300, 500, 280, 450, 330]
    results = numbered(*(said("a", length, thinking_tokens=length - 20) for length in lengths))
    first, all_of_them = play(Shortest(k=1, n=8), results), play(Majority(n=8), results)
    assert chosen(first).id == "1"
    # The seven others are stopped when the shortest has thought, at 100; its answer takes 20 more.
    assert first.tokens.total == 7 * 100 + 120 and first.tokens.sequential == 120
    assert all_of_them.tokens.total == sum(lengths)
    assert first.tokens.total < 0.4 * all_of_them.tokens.total


def test_k_cannot_pass_n() -> None:
    for policy in (Shortest, Longest):
        with pytest.raises(UserError, match="k is 4: give a whole number from 1 to 3"):
            policy(k=4, n=3)
    with pytest.raises(UserError, match="thinking or answer"):
        Shortest(clock="wall")


# Adaptive


def exact_factor(counts: list[float]) -> float:
    """Integrate: the chance that the leader's share is the largest, from independent gammas."""
    x = np.linspace(1e-9, 80.0, 80_001)
    densities = [
        np.exp(count * np.log(x) - x - math.lgamma(count + 1.0)) for count in counts
    ]  # of a gamma of shape count + 1
    step = x[1] - x[0]
    below = np.ones_like(x)
    leader = int(np.argmax(counts))
    for at, density in enumerate(densities):
        if at != leader:
            below *= np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * step)])
    inner = densities[leader] * below
    chance = float(((inner[1:] + inner[:-1]) / 2 * step).sum())
    return len(counts) * chance / (1.0 - chance)


@pytest.mark.parametrize("counts", [[1, 0.3], [3, 0.3], [2, 1, 0.3], [5, 4, 0.3], [4, 1, 1, 1.5]])
def test_the_bayes_factor_is_what_integration_gives(counts: list[float]) -> None:
    draws = 200_000
    factor, exact = bayes_factor(counts, Random(3), draws), exact_factor(counts)
    share, chance = (f / (len(counts) + f) for f in (factor, exact))
    assert abs(share - chance) < 4 * math.sqrt(chance * (1 - chance) / draws)


def test_with_one_sample_the_factor_is_that_of_a_beta() -> None:
    # P(x > 1/2) for x ~ Beta(2, 1): 1 - 1/4, so 2 * 0.75 / 0.25.
    assert exact_factor([1, 0]) == pytest.approx(6.0, rel=1e-4)


def test_where_every_draw_agrees_hoeffding_bounds_the_factor() -> None:
    gap = (200 - 3) / 203.3
    assert bayes_factor([200, 3, 0.3], Random(0)) == pytest.approx(3 * math.exp(100 * gap**2))
    assert bayes_factor([0.3], Random(0)) == 0.0


def test_it_draws_until_the_factor_is_enough() -> None:
    threshold = 13.0
    enough = next(n for n in itertools.count(1) if exact_factor([n, 0.3]) >= threshold)
    # Far enough from it on both sides for a thousand draws.
    assert exact_factor([enough - 1, 0.3]) < 10 and exact_factor([enough, 0.3]) > 18
    for seed in range(5):
        session = play(Adaptive(batch=1, threshold=threshold), lambda launch: said("a"), seed=seed)
        assert len(session.known.samples) == enough
    assert f"after {enough} samples" in chosen(session).why


@pytest.mark.parametrize("unseen", [0.3, 50.0])
def test_the_unseen_answer_never_leads(unseen: float) -> None:
    # However much it counts, three of one kind are no more than doubt against it.
    factor = bayes_factor([3, 1, unseen], Random(1))
    assert factor < 10 and (unseen < 1 or factor < 0.01)


def looks(policy: Adaptive) -> list[int]:
    """List the numbers of samples between batches of a question that stays undecided."""
    known, seen = Known(), []
    while start := policy.decide(known).start:
        for call in start:
            result = said("ab"[int(call.id) % 2])
            known = heard(known.asked(call, 0), Finished(call.id, result))
        seen.append(len(known.samples))
    return seen


def test_samples_come_in_batches() -> None:
    assert looks(Adaptive(n_max=150)) == [*LOOKS, 120, 140, 150]
    assert looks(Adaptive(n_max=6)) == [1, 2, 4, 6]
    assert looks(Adaptive(n_max=7, batch=1)) == [1, 2, 3, 4, 5, 6, 7]
    assert looks(Adaptive(n_max=10, batch=4)) == [4, 8, 10]


def test_its_draws_come_from_the_seed_alone() -> None:
    results = [said(answer) for answer in "aababbabaaaabaaaa" * 3]

    def drawn(seed: int, concurrency: int) -> Choice:
        policy = Adaptive(n_max=40, batch=2)
        by_id = numbered(*results)
        return chosen(play(policy, by_id, seed=seed, concurrency=concurrency))

    assert drawn(1, 1) == drawn(1, 2)


def test_answers_that_never_come_end_it() -> None:
    session = play(Adaptive(), lambda launch: said(None))
    assert len(session.known.samples) == 8 and chosen(session).is_degraded
    assert chosen(session).why == NO_ANSWER


# Schedule


def test_settings_are_taken_in_turn() -> None:
    policy = Schedule(n=4, temperatures=(0.2, 0.9), budgets=(100, 200, -1))
    session = play(policy, lambda launch: said("a"))
    overrides = [dict(s.call.overrides) for s in session.known if isinstance(s.call, Chat)]
    assert overrides == [
        {"temperature": 0.2, "thinking_token_budget": 100},
        {"temperature": 0.9, "thinking_token_budget": 200},
        {"temperature": 0.2, "thinking_token_budget": -1},
        {"temperature": 0.9, "thinking_token_budget": 100},
    ]


def test_a_tie_goes_to_the_lowest_temperature_then_to_the_smallest_budget() -> None:
    results = numbered(said("a", 5), said("b", 9), said("a", 5), said("b", 9))
    hot_first = Schedule(n=4, temperatures=(1.0, 0.2, 0.5, 0.6))
    assert list(chosen(play(hot_first, results)).votes) == ["b", "a"]
    unlimited_first = Schedule(n=4, temperatures=(), budgets=(-1, 500, 600, 700))
    assert list(chosen(play(unlimited_first, results)).votes) == ["b", "a"]
    plain = Schedule(n=4, temperatures=())
    assert list(chosen(play(plain, results)).votes) == ["a", "b"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperatures": ["hot"]},
        {"temperatures": [True]},
        {"temperatures": [2.5]},
        {"temperatures": [math.nan]},
        {"budgets": [-2]},
        {"budgets": [1.5]},
        {"temperatures": [1.0] * 65},
    ],
)
def test_settings_out_of_range_are_one_line(wrong: dict[str, list[object]]) -> None:
    with pytest.raises(UserError) as refused:
        catalogue.build("schedule", wrong, Available())
    assert "\n" not in str(refused.value) and next(iter(wrong)) in str(refused.value)


# Auto


def calibrated(family: str, **fields: object) -> Calibration:
    return Calibration(family=family, mean_tokens=500.0, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "high", "low"),
    [
        (SHORT, Majority(n=8), Shortest(k=1, n=8, clock=ANSWER)),
        (LONG, Majority(n=8), Majority(n=1)),
        (NON_REASONING, Majority(n=8), Shortest(k=1, n=8, clock=ANSWER)),
        (UNKNOWN, Majority(n=8), Majority(n=8)),
    ],
)
def test_the_recipe(family: str, high: Majority, low: Majority | Shortest) -> None:
    calibration = calibrated(family)
    assert Auto(calibration=calibration, compute="high").resolved() == high
    assert Auto(calibration=calibration, compute="low").resolved() == low


def test_tokens_bound_the_samples_and_say_how_much_that_is() -> None:
    few = Auto(calibration=calibrated(LONG), tokens=1600)
    assert few.affordable == 3 and few.spends == "low" and few.resolved() == Majority(n=1)
    assert "1600 tokens at 500 a sample" in few.reason
    many = Auto(calibration=calibrated(LONG), tokens=100_000)
    assert many.resolved() == Majority(n=8) and many.spends == "high"
    assert Auto(calibration=calibrated(SHORT), tokens=10).affordable == 1


def test_it_explains_its_choice() -> None:
    facts = {"why": "short leads by 0.2 [0.1, 0.3] on hard"}
    policy = Auto(calibration=calibrated(SHORT, facts=facts), compute="low")
    assert policy.reason == (
        "the first of 8 to finish (FFS-1@8): short-horizon (short leads by 0.2 [0.1, 0.3] on "
        "hard), compute is low (n is 8)"
    )
    choice = chosen(play(policy, numbered(*[said("a", 9 + at) for at in range(8)])))
    assert choice.id == "0" and choice.why.endswith(policy.reason)


def test_without_calibration_a_majority_votes_and_it_says_so() -> None:
    policy = catalogue.build("auto", {"n": 3}, Available())
    assert isinstance(policy, Auto) and policy.resolved() == Majority(n=3)
    assert "not calibrated" in policy.reason
    assert chosen(play(policy, numbered(said("a"), said("b"), said("a")))).votes["a"] == 2


def test_it_is_tuned_only_when_asked_to() -> None:
    calibration = calibrated(SHORT, temperature=0.7)
    for is_tuned, overrides in ((False, {}), (True, {"temperature": 0.7})):
        policy = Auto(calibration=calibration, n=2, is_tuned=is_tuned)
        start = policy.decide(Known()).start
        assert [call.overrides for call in start if isinstance(call, Chat)] == [overrides] * 2
