"""The rules of the strategies that judge: hand-made cases, and brute force beside formulas."""

from __future__ import annotations

import json
import math
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_core.errors import UserError
from s1_serve.strategies import catalogue
from s1_serve.strategies.calls import Chat
from s1_serve.strategies.known import Result
from s1_serve.strategies.policy import Choice
from s1_serve.strategies.session import Launch, Session
from s1_serve.strategies.verified.best_of_n import BestOfN
from s1_serve.strategies.verified.pessimistic import Pessimistic
from s1_serve.strategies.verified.scrutinise import Scrutinise
from s1_serve.strategies.verified.stepwise import Stepwise
from s1_serve.strategies.verifiers.exact import Exact
from s1_serve.strategies.verifiers.generative import Generative
from s1_serve.strategies.verifiers.judge import Judge
from s1_serve.strategies.verifiers.process import Process
from s1_serve.strategies.verifiers.reward import RewardModel
from unit.serve.finished import chosen, known, of, played, result, rewarded, scripted

REWARD = RewardModel(name="prm")
JUDGING = ("best-of-n", "pessimistic", "scrutinise")


def best_of(scores: list[float | None], candidates: list[Result], **fields: Any) -> Choice:
    policy = BestOfN(n=len(candidates), verifier=REWARD, **fields)
    return chosen(policy, rewarded(scores, candidates))


def test_the_best_score_answers_even_against_the_majority() -> None:
    choice = best_of([0.1, 0.2, 0.9], [result("12"), result("12"), result("13")])
    assert choice.id == "2" and not choice.is_degraded and choice.votes == {}
    assert choice.scores == {"0": 0.1, "1": 0.2, "2": 0.9} and "0.9" in choice.why


def test_equal_scores_go_to_the_shortest_then_to_the_first() -> None:
    assert best_of([0.5, 0.5, 0.5], [result(tokens=9), result("13", 8), result("14", 8)]).id == "1"


def test_weighted_sums_the_scores_of_equal_answers() -> None:
    candidates = [result("12"), result("12.0"), result("13"), result("", vote=None)]
    choice = best_of([0.5, 0.6, 0.9, 1.0], candidates, weighted=True)
    assert choice.id == "1" and choice.votes == {"12": 1.1, "13": 0.9}
    assert choice.margin == pytest.approx(0.2 / 2.0)


def test_weighted_ties_go_to_the_answer_with_the_shortest_member() -> None:
    candidates = [result("12", 20), result("12", 20), result("13", 9)]
    assert best_of([0.4, 0.4, 0.8], candidates, weighted=True).id == "2"


def test_weighted_without_a_single_vote_takes_the_best_text() -> None:
    texts = [result("a\n\nb", vote=None), result("c\n\nd", vote=None)]
    assert best_of([0.2, 0.3], texts, weighted=True).id == "1"


def test_weighted_with_every_score_zero_is_a_majority_degraded() -> None:
    candidates = [result("3", 20), result("3", 20), result("3", 20), result("9", 5)]
    choice = best_of([0.0] * 4, candidates, weighted=True)
    assert choice.votes == {"3": 3, "9": 1} and choice.is_degraded and "all 0" in choice.why


def test_votes_of_a_judge_are_averaged() -> None:
    script = scripted(
        [result("12"), result("13")],
        {"0/v0": "Yes", "0/v1": "No", "0/v2": "?", "1/v0": "Yes", "1/v1": "Yes", "1/v2": "No"},
    )
    choice = chosen(BestOfN(n=2, votes=3, verifier=Judge()), script)
    assert choice.id == "1" and choice.scores == {"0": 0.5, "1": pytest.approx(2 / 3)}
    assert not choice.is_degraded


def test_a_cut_sample_without_an_answer_does_not_compete() -> None:
    cut = result("I think it is", vote=None, finish_reason="length")
    choice = best_of([1.0, 0.1], [cut, result("12")])
    assert choice.id == "1" and not choice.is_degraded
    assert best_of([0.1, 0.9], [cut, cut]).id == "1", "unless there is nobody else"


@pytest.mark.parametrize("bad", [None, math.nan, 7.0, -0.5])
def test_a_dead_verifier_falls_back_to_the_majority(bad: float | None) -> None:
    candidates = [result("13", 5), result("12", 9), result("12", 8)]
    for weighted in (False, True):
        choice = best_of([bad] * 3, candidates, weighted=weighted)
        assert choice.id == "2" and choice.is_degraded and "verifier" in choice.why


def test_a_verifier_that_is_half_dead_is_said_to_be() -> None:
    choice = best_of([None, 0.3, 0.2], [result(), result("13"), result("14")])
    assert choice.id == "1" and choice.is_degraded and "1 of 3" in choice.why


def test_a_verifier_of_groups_judges_all_at_once() -> None:
    def said(call: Chat) -> str:
        order = sorted((call.under.find(t), t) for t in ("number 12", "number 13"))
        return ", ".join("9" if text == "number 13" else "2" for _, text in order)

    script = scripted([result("number 12"), result("number 13")], said)
    session = played(BestOfN(n=2, votes=4, verifier=Generative()), script)
    assert session.outcome is not None and session.outcome.choice is not None
    assert session.outcome.choice.id == "1"
    assert len(session.known.samples) == 2 + 4


def test_without_tokens_for_verdicts_the_majority_answers() -> None:
    script = scripted([result("12", 30), result("12", 30), result("13", 30)], lambda call: "Yes")
    session = played(BestOfN(n=3, verifier=Judge()), script, total_tokens=95, least=20)
    assert session.outcome is not None and session.outcome.is_degraded
    assert session.outcome.choice is not None and session.outcome.choice.id in ("0", "1")


def test_an_oracle_finds_the_answer_if_anybody_has_it() -> None:
    script = scripted([result("12"), result("12"), result("13")], {})
    assert chosen(BestOfN(n=3, verifier=Exact(reference="13")), script).id == "2"


@settings(max_examples=60, deadline=None)
@given(data=st.data(), alpha=st.sampled_from([0.0, 0.05, 0.1, 1.0, 50.0]))
def test_pessimistic_is_the_formula(data: st.DataObject, alpha: float) -> None:
    n, votes = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    answers = [data.draw(st.sampled_from(["12", "13", "14"])) for _ in range(n)]
    said = [[data.draw(st.booleans()) for _ in range(votes)] for _ in range(n)]
    candidates = [result(answer, 10 + index) for index, answer in enumerate(answers)]

    def verdict(call: Chat) -> str:
        name, vote = call.id.split("/v")
        return "Yes" if said[int(name)][int(vote)] else "No"

    policy = Pessimistic(n=n, votes=votes, alpha=alpha, verifier=Judge())
    choice = chosen(policy, scripted(candidates, verdict))
    bounds = {}
    for answer in dict.fromkeys(answers):
        members = [index for index in range(n) if answers[index] == answer]
        mean = sum(sum(said[index]) for index in members) / (len(members) * votes)
        bounds[answer] = mean - alpha * math.log(n * votes) / (len(members) * votes + 1)
    winner = answers[int(choice.id)]
    assert bounds[winner] == pytest.approx(max(bounds.values()))
    assert choice.votes == pytest.approx({a: max(b, 0.0) for a, b in bounds.items()})


def test_alpha_leads_from_the_best_verdict_to_the_majority() -> None:
    candidates = [result("13"), result("12"), result("12"), result("12")]
    scores: list[float | None] = [0.9, 0.7, 0.7, 0.6]
    picks = [
        chosen(Pessimistic(n=4, votes=1, alpha=a, verifier=REWARD), rewarded(scores, candidates)).id
        for a in (0.0, 10.0)
    ]
    assert picks == ["0", "1"]


def test_a_dead_verifier_leaves_pessimists_the_majority() -> None:
    policy = Pessimistic(n=3, verifier=Judge())
    choice = chosen(policy, scripted([result("13"), result("12"), result("12")], {}))
    assert choice.id == "1" and choice.is_degraded


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_scrutinise_is_brute_force(data: st.DataObject) -> None:
    n, ties = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 3))
    answers = [data.draw(st.sampled_from(["12", "13", "14", "15"])) for _ in range(n)]
    scores = [data.draw(st.sampled_from([0.5, 0.9, 0.93, 1.0])) for _ in range(n)]
    better = {answer: data.draw(st.integers(0, 2)) for answer in ("12", "13", "14", "15")}
    candidates = [result(answer, 10 + index) for index, answer in enumerate(answers)]

    def script(launch: Launch) -> Result:
        if not (isinstance(launch.call, Chat) and launch.call.is_verifier):
            return rewarded(scores, candidates)(launch)
        pair, vote = launch.call.id.split("/p")
        one, other = (better[answers[int(name)]] for name in pair.split("+"))
        if one == other:
            return Result(answer="undecided", tokens=1)
        return Result(answer="AB"[(one > other) == bool(int(vote) % 2)], tokens=1)

    choice = chosen(Scrutinise(n=n, votes=1, tie_votes=ties, verifier=REWARD), script)
    top = max(scores)
    near = [i for i, s in enumerate(scores) if s >= top - 0.05 - 1e-9]
    speakers = []
    for answer in dict.fromkeys(answers[i] for i in near):
        members = [i for i in near if answers[i] == answer]
        speakers.append(max(members, key=lambda i: (scores[i], -candidates[i].tokens)))
    wins = dict.fromkeys(speakers, 0)
    for one, other in combinations(speakers, 2):
        for winner, loser in ((one, other), (other, one)):
            wins[winner] += ties * (better[answers[winner]] > better[answers[loser]])
    best = max(speakers, key=lambda i: (wins[i], scores[i], -candidates[i].tokens))
    assert choice.id == str(best)
    assert choice.is_degraded == (len(speakers) > 1 and not any(wins.values()))


def test_equal_answers_are_not_compared() -> None:
    script = scripted([result("12", 9), result("12", 8)], lambda call: "Yes")
    session = played(Scrutinise(n=2, votes=1, verifier=Judge()), script)
    assert session.outcome is not None and session.outcome.choice is not None
    assert session.outcome.choice.id == "1" and len(session.known.samples) == 4


def test_only_finalists_are_compared() -> None:
    script = scripted([result(str(n)) for n in range(6)], lambda c: "B" if "+" in c.id else "Yes")
    policy = Scrutinise(n=6, votes=1, tie_votes=2, finalists=3, verifier=Judge())
    session = played(policy, script)
    assert sum("+" in sample.id for sample in session.known) == 3 * 2


def test_a_dead_verifier_leaves_scrutiny_the_majority() -> None:
    policy = Scrutinise(n=3, verifier=Judge())
    choice = chosen(policy, scripted([result("13"), result("12"), result("12")], {}))
    assert choice.id == "1" and choice.is_degraded


def proposal(name: str, arguments: str = "{}", **fields: Any) -> Result:
    calls = [{"function": {"name": name, "arguments": arguments}}]
    return result("", message={"tool_calls": calls}, **fields)


def step_of(candidates: list[Result], said: str | dict[str, str]) -> Session:
    verdicts = {"pick": said} if isinstance(said, str) else said
    return played(Stepwise(n=len(candidates)), scripted(candidates, verdicts))


def test_the_judge_picks_a_proposal_by_its_number() -> None:
    cities = ("Kiel", "Bonn", "Ulm")
    candidates = [proposal("look_up", json.dumps({"city": city})) for city in cities]
    picks = set()
    for number in ("1", "2", "3"):
        session = step_of(candidates, f"It leads on.\n{number}")
        assert session.outcome is not None and session.outcome.choice is not None
        name = session.outcome.choice.id
        under = of(session.known["pick"].call).under
        city = json.loads(candidates[int(name)].message["tool_calls"][0]["function"]["arguments"])
        assert city["city"] in under.split(f"## Proposal {number}\n")[1].split("## ")[0]
        picks.add(name)
    assert picks == {"0", "1", "2"}


@pytest.mark.parametrize("said", ["0", "4", "first", "", "1, 2", "-1"])
def test_a_pick_that_is_not_understood_is_the_first_valid_one(said: str) -> None:
    broken = proposal("look_up", '{"city": ')
    session = step_of([broken, proposal("b"), proposal("c"), proposal("d")], said)
    assert session.outcome is not None and session.outcome.choice is not None
    assert session.outcome.choice.id == "1" and session.outcome.is_degraded


def test_equal_proposals_need_no_judge() -> None:
    same = [proposal("f", '{"a": 1, "b": 2}'), proposal("f", '{"b":2,"a":1}')]
    session = step_of(same, {})
    assert session.outcome is not None and not session.outcome.is_degraded
    assert session.outcome.choice is not None and session.outcome.choice.id == "0"
    assert "pick" not in session.known


def test_what_cannot_be_executed_is_not_picked() -> None:
    cut = proposal("f", finish_reason="length")
    nameless = proposal("")
    listed = proposal("f", "[1]")
    endless = proposal("f", "[" * 200_000)
    session = step_of([cut, nameless, listed, result("It is done."), result(""), endless], {})
    assert session.outcome is not None and session.outcome.choice is not None
    assert session.outcome.choice.id == "3" and not session.outcome.is_degraded
    session = step_of([cut, nameless], {})
    assert session.outcome is not None and session.outcome.choice is not None
    assert session.outcome.choice.id == "0" and session.outcome.is_degraded


def test_the_judge_is_a_model_of_the_deployment() -> None:
    available = catalogue.Available(models=("big",))
    policy = catalogue.build("stepwise", {"n": 2, "judge": "big"}, available)
    found = known(result("a"), result("b"))
    assert of(policy.decide(found).start[0]).model == "big"
    with pytest.raises(UserError, match="give one of big"):
        catalogue.build("stepwise", {"judge": "small"}, available)


@pytest.mark.parametrize("name", JUDGING)
def test_all_verdicts_of_what_is_accepted_can_be_asked_for(name: str) -> None:
    available = catalogue.Available(verifiers={"judge": Judge(), "process": Process()})
    with pytest.raises(UserError, match=r"^n \* \(17 \* votes \+ 1\).* is 4"):
        catalogue.build(name, {"n": 240, "votes": 1, "verifier": "process"}, available)
    policy = catalogue.build(name, {"n": 1024, "votes": 2, "verifier": "judge"}, available)
    session = played(policy, scripted([result("12")] * 1024, lambda call: "Yes"), concurrency=4096)
    assert session.outcome is not None and not session.outcome.is_degraded
    assert len(session.known.samples) == 3 * 1024


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("best-of-n", {"votes": 0}, "votes"),
        ("pessimistic", {"alpha": math.nan}, "alpha"),
        ("scrutinise", {"band": 2.0}, "band"),
        ("scrutinise", {"n": 32, "tie_votes": 64, "finalists": 32}, "tie_votes is 31904"),
        *((s, {"n": 1000, "votes": 4}, r"^n \* \(votes \+ 1\).* is 5") for s in JUDGING),
        ("ab-mcts", {"trials": 128, "votes": 64}, r"^trials \* \(votes \+ 1\) is 8320"),
        ("best-of-n", {"verifier": []}, "verifier"),
        ("pessimistic", {"alpha": 10**400}, "alpha"),
        ("ab-mcts", {"batch": 6}, "batch"),
        ("ab-mcts", {"distribution": "cauchy"}, "distribution"),
        ("deepconf", {"eta": 101.0}, "eta"),
        ("deepconf", {"mode": "offline"}, "mode"),
        ("deepconf", {"window": 0}, "window"),
        ("stepwise", {"n": 0}, "n"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, fields: dict[str, Any], said: str) -> None:
    available = catalogue.Available(verifiers={"judge": Judge()})
    with pytest.raises(UserError, match=said):
        catalogue.build(name, fields, available)
