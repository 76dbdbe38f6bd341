"""Strategies as methods of an evaluation: asked, run, written down, compared and drawn."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from factories import question
from s1_core.errors import UserError
from s1_core.records import Question
from s1_serve.completions import Sampling
from s1_serve.config import ThinkingBudget
from s1_serve.contract.tts_reply import TtsReply
from s1_serve.evaluate import samples
from s1_serve.evaluate.config import EvaluateConfig
from s1_serve.evaluate.report import assembly, grids, terminal
from s1_serve.evaluate.report.figures import panels
from s1_serve.evaluate.run import served
from s1_serve.evaluate.run.asks import Answered, Ask
from s1_serve.evaluate.run.chats import Elsewhere
from s1_serve.evaluate.run.policies import policy
from s1_serve.evaluate.run.runner import Run, Runner
from s1_serve.evaluate.run.sources import Opened
from s1_serve.evaluate.run.strategists import Both, InProcess, Minds, answered
from s1_serve.evaluate.run.sweep import Sweep
from s1_serve.evaluate.samples import Measured, Sample
from s1_serve.evaluate.settings import Setting, settings
from s1_serve.strategies import catalogue
from s1_serve.strategies.calls import Reward, Step
from s1_serve.strategies.catalogue import Available
from s1_serve.strategies.known import Known, Result
from s1_serve.strategies.session import Limits, Session
from s1_serve.strategies.simulation import simulate
from s1_serve.strategies.verifiers.reward import RewardModel
from unit.serve.fake_model import speech
from unit.serve.test_report import FACTS, a_sample, measured
from unit.serve.test_runner import FakeModel, answering
from unit.serve.told import told

MAJORITY = Setting(method="strategy", strategy="majority:n=4", temperature=0.7)
SHORTEST = Setting(method="strategy", strategy="shortest:k=1,n=4", temperature=0.7)
ASKED = tuple(question(f"What is {n} + {n}?") for n in range(3))


def a_config(**changes) -> EvaluateConfig:
    values = {"model": "m", "benchmark": ("b",), "out": "o", "methods": ("majority",)}
    return EvaluateConfig(**{**values, **changes})


def played(spec: str, *lengths: int, answer: str = "Answer: 7") -> Session:
    """Play a strategy whose nth sample has a length; all answer the same."""
    name, told = catalogue.parse(spec)
    session = Session(
        catalogue.build(name, told, Available()), Limits(), Known(question="q", seed=3)
    )

    def script(launch):
        tokens = lengths[launch.call.index]
        return Result(
            thinking=f"thought {launch.call.id}", answer=answer, tokens=tokens,
            thinking_tokens=tokens - 2, vote="7", extends=1,
        )  # fmt: skip

    simulate(session, script)
    return session


# What is asked


def test_each_strategy_is_a_run_of_its_own():
    config = a_config(strategies=("majority:n=4", "shortest:k=1", "n=4", "adaptive@8"), max=50)
    found = [one for one in settings(config) if one.strategy]
    assert [one.label for one in found] == ["majority:n=4", "shortest:k=1,n=4", "adaptive@8"]
    assert {(one.method, one.max, one.num_samples) for one in found} == {("strategy", 50, 1)}
    assert settings(config)[0].method == "majority"
    alone = a_config(methods=(), strategies=("majority",))
    assert [one.label for one in settings(alone)] == ["majority"]
    ask = next(policy(found[1], ASKED[0], seed=9))
    assert (ask.strategy, ask.sampling.seed) == ("shortest:k=1,n=4", 9)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"methods": ()}, "no method"),
        ({"strategies": ("vote:n=2",)}, "strategy 'vote' is unknown"),
        ({"strategies": ("majority@2", "majority@2")}, "give every one once"),
        ({"strategies": ("majority:2",)}, "name:key=value"),
        ({"strategies": ("majority",), "methods": (), "temperature": 0.0}, "equal samples"),
        ({"model": None, "endpoint": "http://x", "reward": "r"}, "an endpoint has its own"),
        ({"strategies": ("schedule:n=8,budgets=32/128",), "max": 96}, "has budgets beyond max"),
        ({"strategies": ("schedule:budgets=32/-1",), "max": 96}, "lower them or raise max"),
        ({"temperature": float("nan")}, "temperature is nan: give one from 0 to 2"),
        ({"temperature": float("inf")}, "from 0 to 2"),
        ({"temperature": 99.0, "methods": ("budget",)}, "from 0 to 2"),
    ],
)
def test_strategies_that_cannot_be_are_refused(changes, told):
    with pytest.raises(UserError, match=told):
        a_config(**changes)


# What comes back


def test_an_answer_says_what_all_samples_cost():
    found = answered(played("shortest:k=1,n=3", 30, 10, 20), maximum=40, seconds=1.0)
    assert (found.thinking, found.answer) == ("thought 1", "Answer: 7")
    assert (found.thinking_tokens, found.output_tokens, found.extends) == (8, 10, 1)
    spent = found.spent
    assert spent.sequential_tokens == 10 and spent.total_tokens <= 30
    assert (spent.num_started, spent.num_aborted) == (3, 2)
    assert spent.aborted_tokens == spent.total_tokens - 10
    told = json.loads(spent.decision)
    assert told["selected"] == "1" and told["votes"] == {"7": 1.0} and "voted" in told["why"]


def test_a_path_of_steps_is_one_answer():
    session = Session(
        catalogue.build("majority", {"n": 1}, Available()), Limits(), Known(question="q")
    )
    simulate(session, lambda launch: Result(answer="1", vote="1", tokens=3, thinking_tokens=1))
    for at, parent in (("s0", None), ("s1", "s0")):
        call = Step(id=at, parent=parent)
        session.known = session.known.asked(call, 0)
        sample = replace(
            session.known[at], state="finished", tokens=5,
            result=Result(thinking=f"{at}.", answer="9", tokens=5, thinking_tokens=4),
        )  # fmt: skip
        session.known = replace(session.known, samples={**session.known.samples, at: sample})
    session.outcome = replace(session.outcome, choice=replace(session.outcome.choice, id="s1"))
    found = answered(session, maximum=9, seconds=0.0)
    assert (found.thinking, found.answer) == ("s0.s1.", "9")
    assert (found.thinking_tokens, found.output_tokens) == (8, 10)


def test_a_service_counts_the_tokens_of_a_search_as_they_count_here():
    available = Available(verifiers={"prm": RewardModel(name="prm")})
    policy = catalogue.build("beam", {"n": 4, "depth": 2}, available)
    session = Session(policy, Limits(), Known(question="q"))

    def script(launch):
        if isinstance(launch.call, Reward):
            return Result(scores=(0.5,))
        if launch.call.ends_thinking:
            return Result(answer="9", vote="9", tokens=7, thinking_tokens=3)
        return Result(end="open", tokens=5, thinking_tokens=5)

    simulate(session, script)
    reply = TtsReply(
        session=session, strategy="beam", parameters={}, body={}, returns_candidates=True
    )
    here = answered(session, maximum=9, seconds=0.0)
    there = served.chosen(PLAIN, reply.told(0))
    assert here.output_tokens == there.output_tokens == 12


def test_budgets_of_a_strategys_own_may_be_as_large_as_the_runs():
    for maximum, spec in ((96, "schedule:budgets=32/96"), (-1, "schedule:budgets=32/-1")):
        assert a_config(strategies=(spec,), max=maximum).specs == (spec,)


class Driven:
    """Stands in for the engine's driver; `thinks` are the tokens of a call's thinking."""

    least = 8

    def __init__(self, thinks):
        self._thinks = thinks

    def run(self, runs, done):
        for key, run in runs:
            simulate(run.session, self._result)
            list(done(key, run.session, 0.5))

    def _result(self, launch):
        tokens, vote = self._thinks(launch.call)
        return Result(answer="1", vote=vote, tokens=tokens, thinking_tokens=tokens)


def in_process(folder, setting, thinks, **others):
    minds = Minds(
        engine=SimpleNamespace(start=lambda: SimpleNamespace(max_num_seqs=16)), speech=speech(),
        available=Available(models=tuple(others)), others=others,
    )  # fmt: skip
    answerer = InProcess(minds, answering(FakeModel()), {})
    answerer._driver = Driven(thinks)
    (found,) = Runner(answerer, folder, {}, 0).run([Run(setting, "sums", ASKED)])
    return found.samples


def test_the_maximum_of_an_answer_is_that_of_its_own_call(tmp_path):
    scheduled = replace(MAJORITY, strategy="schedule:n=2,budgets=32/64", max=96)
    rows = in_process(
        tmp_path, scheduled, lambda call: (call.overrides["thinking_token_budget"], "1")
    )
    assert {(row.thinking_tokens, row.max) for row in rows} == {(32, 32)}
    assert samples.is_enforced(rows)


def test_the_maximum_of_a_larger_models_answer_is_what_fits_there(tmp_path):
    cascade = replace(MAJORITY, strategy="cascade:n=2", max=-1)
    rows = in_process(
        tmp_path, cascade, lambda call: (1500, "1") if call.model else (40, None),
        other=(None, speech(context=2000)),
    )  # fmt: skip
    assert {row.thinking_tokens for row in rows} == {1500}
    assert all(1500 < row.max < 2000 for row in rows) and samples.is_enforced(rows)


def test_nothing_chosen_is_an_answer_without_words():
    def fails(launch):
        raise LookupError("no engine")

    session = Session(
        catalogue.build("majority", {"n": 2}, Available()), Limits(), Known(question="q")
    )
    simulate(session, fails)
    found = answered(session, maximum=40, seconds=0.0)
    assert (found.answer, found.end, found.finish_reason) == ("", "length", "length")
    assert json.loads(found.spent.decision)["selected"] is None


PLAIN = Answered(
    thinking="t", answer="a", thinking_tokens=4, output_tokens=99, end="natural", extends=0,
    finish_reason="stop", maximum=40, seconds=0.0,
)  # fmt: skip
TTS = told(started=3, finished=1, aborted=2, wasted=20)


def test_a_service_says_the_same_of_a_strategy_that_it_ran():
    found = served.chosen(PLAIN, TTS)
    assert found.output_tokens == 10 and found.spent.total_tokens == 30
    assert (found.spent.num_started, found.spent.num_aborted) == (3, 2)
    assert json.loads(found.spent.decision)["why"] == "the first voted"
    for less in (None, {}, {**TTS, "tokens": 3}):
        with pytest.raises(UserError, match="says nothing of its strategy"):
            served.chosen(PLAIN, less)


class Strategic:
    """Answers strategies by playing them in virtual time."""

    def __init__(self):
        self.asked = []

    def refusal(self, setting):
        return None

    def check(self, ask):
        pass

    def work(self, asks, done):
        for key, ask in list(asks):
            self.asked.append(ask)
            list(done(key, answered(played(ask.strategy, 9, 8, 7, 6), 40, 0.5)))


def test_a_run_of_a_strategy_is_journaled_like_any_other(tmp_path):
    strategic = Strategic()
    both = Both(answering(FakeModel()), strategic)
    runs = [
        Run(setting, "sums", ASKED)
        for setting in (Setting(method="budget", max=8), MAJORITY, SHORTEST)
    ]
    found = Runner(both, tmp_path, {"model": "m", "strategies": {"reward": "a"}}, 0).run(runs)
    assert len(strategic.asked) == 6 and {ask.budget.max for ask in strategic.asked} == {-1}
    plain, votes, short = (one.samples for one in found)
    assert {row.strategy for row in plain} == {""} and plain[0].num_started == 1
    assert plain[0].sequential_tokens == plain[0].total_tokens
    assert (votes[0].total_tokens, votes[0].sequential_tokens) == (30, 9)
    assert (short[0].num_started, short[0].num_aborted) == (4, 3)
    assert short[0].total_tokens == short[0].aborted_tokens + 6
    again = Runner(both, tmp_path, {"model": "m", "strategies": {"reward": "a"}}, 0).run(runs)
    assert [one.samples for one in again] == [one.samples for one in found]
    assert len(strategic.asked) == 6, "what is on disk is not run again"
    Runner(both, tmp_path, {"model": "m", "strategies": {"reward": "b"}}, 0).run(runs)
    assert len(strategic.asked) == 12, "another reward model has other answers"
    assert len(list(tmp_path.glob("*.jsonl"))) == 5, "and plain runs keep theirs"


def test_a_server_that_is_none_of_ours_leaves_strategies_out(tmp_path):
    plain = Opened(answerer=answering(FakeModel()), identity={}, facts=dict)
    config = a_config(methods=("budget",), budgets=[8], strategies=("majority:n=4",))
    _, told = Sweep(config, plain, {"sums": ASKED}, tmp_path).measure()
    assert told["skipped"] == [
        {"method": "strategy", "reason": "the server runs no strategies: it is none of ours"}
    ]
    with pytest.raises(UserError, match=r"majority:n=4 cannot be measured here"):
        Sweep(config, replace(plain, has_strategies=True), {"sums": ASKED}, tmp_path).measure()
    assert "runs no strategies" in Elsewhere.refusal(None, MAJORITY)


# What is reported


def strategic(setting: Setting, num_right: int, **changes) -> Measured:
    costs = {
        "strategy": setting.strategy, "total_tokens": 80, "sequential_tokens": 25,
        "num_started": 4, "num_aborted": 3, "aborted_tokens": 40, "verifier_tokens": 6,
    }  # fmt: skip
    return measured(setting, num_right, **{**costs, **changes})


def a_report(*ones: Measured, **changes):
    told = tuple(one.setting.strategy for one in ones if one.setting.strategy)
    config = a_config(**{"votes": [1, 4], "strategies": told, **changes})
    questions = {"bank": [Question(**vars(one)) for one in _questions()]}
    return assembly.assemble(ones, questions, config, FACTS)


def _questions():
    from unit.serve.test_report import QUESTIONS

    return QUESTIONS


SAMPLED = Setting(method="majority", max=-1, num_samples=4, temperature=0.7)
RSA = Setting(method="strategy", strategy="rsa:n=4,rounds=1", temperature=0.7)


def sampled(num_right: int, num_better: int) -> Measured:
    """Four samples of each question, 20 tokens the first with its stop, 10 more each later one.

    The first is right on `num_right` questions; all but it on `num_better`.
    """
    rows = [
        a_sample(
            SAMPLED, asked, number, f"Answer: {n + 1 if n < right else 0}",
            total_tokens=19 + 10 * number, sequential_tokens=19 + 10 * number,
        )
        for n, asked in enumerate(_questions())
        for number, right in enumerate([num_right, *[num_better] * 3])
    ]  # fmt: skip
    return Measured(SAMPLED, "bank", samples.graded(rows, _questions(), workers=1))


def test_a_strategy_is_compared_to_a_majority_of_as_many_tokens():
    """Vote sizes 1 and 4 cost 20 and 140 tokens, 20 and 50 of them one after another."""
    rsa = strategic(RSA, 20, total_tokens=110, sequential_tokens=35, num_started=8)
    (row,) = a_report(sampled(10, 30), rsa)["strategies"]
    total, sequential = row["equal_total"], row["equal_sequential"]
    for held, share in ((total, 0.75), (sequential, 0.5)):
        assert held["between"] == ["majority@1", "majority@4"] and held["beyond"] is None
        assert held["share"] == pytest.approx(share)
        assert held["accuracy"] == pytest.approx(25 + 50 * share)
        assert held["difference"]["mean"] == pytest.approx(25 - 50 * share)
    assert total["difference"]["lo"] < total["difference"]["mean"] < total["difference"]["hi"]
    assert "samples" not in row and row["mean_samples"] == 8, "what was drawn, not what n says"


def test_of_as_many_samples_a_strategy_is_better_and_of_as_many_tokens_it_is_not():
    rsa = strategic(RSA, 30, total_tokens=140, sequential_tokens=50)
    (row,) = a_report(sampled(10, 30), rsa)["strategies"]
    assert row["equal_total"]["between"] == ["majority@4"]
    assert row["equal_total"]["difference"]["mean"] == 0.0
    assert row["equal_total"]["verdict"] == "not distinguishable"
    cheap = strategic(RSA, 30, total_tokens=20, sequential_tokens=20)
    report = a_report(sampled(10, 30), cheap)
    assert report["strategies"][0]["equal_total"]["verdict"] == "better"
    told = "; +50.0 points [+35.0, +65.0], better than a majority of as many tokens; +50.0"
    last = "better than a majority of as many tokens one after another."
    (line,) = [line for line in report["statements"] if line.startswith(f"{RSA.strategy}: 75.0 %")]
    assert told in line and line.endswith(last)
    counted = "Of 1 strategy compared to a majority of as many tokens 1 can be told from it"
    assert any(line.startswith(counted) for line in report["statements"])


def test_beyond_the_votes_that_were_run_there_is_no_verdict():
    """Twice the tokens of the largest vote, or fewer than one sample, are nothing to compare at."""
    rsa = strategic(RSA, 35, total_tokens=280, sequential_tokens=35)
    short = strategic(SHORTEST, 35, total_tokens=100, sequential_tokens=15)
    report = a_report(sampled(10, 20), rsa, short)
    many, few = report["strategies"]
    assert many["equal_total"]["beyond"] == "more" and many["equal_total"]["verdict"] is None
    assert many["equal_total"]["difference"] is None and many["equal_sequential"]["verdict"]
    assert few["equal_sequential"]["beyond"] == "fewer" and few["equal_total"]["verdict"]
    named = "No verdict at as many tokens{}, as they cost {} than any majority here: {}."
    assert named.format("", "more", RSA.strategy) in report["statements"]
    wanted = named.format(" one after another", "fewer", SHORTEST.strategy)
    assert wanted in report["statements"]
    assert any("; more tokens than any majority here, so no" in s for s in report["statements"])
    grid = grids.strategies(report, "bank")
    assert grid.rows[0][2] == "more than any" and grid.rows[1][3] == "fewer than any"


@pytest.mark.parametrize(
    ("total", "beyond"), [(18, "fewer"), (19.5, None), (20, None), (147, None), (150, "more")]
)
def test_as_many_samples_may_come_out_a_little_longer(total, beyond):
    """Eight samples of a strategy are not the eight that vote: chance is no reason to be silent."""
    found = strategic(SHORTEST, 30, total_tokens=total, sequential_tokens=20)
    held = a_report(sampled(10, 30), found)["strategies"][0]["equal_total"]
    assert held["beyond"] == beyond and (held["verdict"] is None) == bool(beyond)
    assert held["mean_tokens"] == (None if beyond else 20 if total < 21 else 140)
    cut = sampled(10, 30)
    cut = replace(cut, samples=[replace(row, finish_reason="length") for row in cut.samples])
    short = a_report(cut, strategic(SHORTEST, 30, total_tokens=19, sequential_tokens=19))
    assert short["strategies"][0]["equal_total"]["mean_tokens"] == 19, "cut, so without a stop"


def test_the_strategy_majority_stands_in_for_votes_that_were_not_run():
    two = replace(MAJORITY, strategy="majority:n=2")
    votes = [
        strategic(MAJORITY, 30, total_tokens=100, sequential_tokens=30),
        strategic(two, 20, total_tokens=50, sequential_tokens=20),
    ]
    report = a_report(*votes, strategic(SHORTEST, 10, is_degraded=True))
    four, few, short = report["strategies"]
    assert {four["equal_total"], few["equal_sequential"]} == {None}, "not to itself"
    assert short["equal_total"]["between"] == ["majority:n=2", "majority:n=4"]
    assert short["equal_total"]["accuracy"] == pytest.approx(50 + 25 * 0.6)
    assert short["equal_total"]["verdict"] == short["equal_sequential"]["verdict"] == "worse"
    assert (short["mean_total_tokens"], short["mean_sequential_tokens"]) == (80, 25)
    assert (short["mean_aborted_tokens"], short["mean_verifier_tokens"]) == (40, 6)
    assert (short["mean_samples"], short["degraded"]) == (4, 40)
    run = next(row for row in report["runs"] if row["strategy"] == "shortest:k=1,n=4")
    assert run["accuracy"] == 25.0 and run["mean_sequential_tokens"] == 25
    clustered = strategic(replace(MAJORITY, strategy="majority:n=4,clusters=true"), 30)
    assert a_report(*votes, clustered)["strategies"][-1]["equal_total"]["verdict"], "no plain vote"


def test_without_any_majority_there_is_no_comparison_and_that_is_said():
    report = a_report(strategic(SHORTEST, 40))
    (alone,) = report["strategies"]
    assert alone["equal_total"] is None and alone["equal_sequential"] is None
    said = "No majority was run, so no strategy is compared to one."
    assert said in report["statements"]
    assert grids.strategies(report, "bank").rows[0][2:4] == ["–", "–"]
    assert said not in a_report(strategic(MAJORITY, 40))["statements"]


def test_a_vote_at_equal_cost_breaks_ties_as_a_strategy_does():
    """Two samples, one right and shorter: served it wins, and shares no credit."""
    rows = [
        a_sample(
            replace(SAMPLED, num_samples=2), asked, number,
            f"Answer: {0 if number else n + 1}", output_tokens=20 + number,
        )
        for n, asked in enumerate(_questions())
        for number in range(2)
    ]  # fmt: skip
    pair = replace(SAMPLED, num_samples=2)
    two = Measured(pair, "bank", samples.graded(rows, _questions(), workers=1))
    short = strategic(SHORTEST, 40, total_tokens=42, sequential_tokens=21)
    report = a_report(two, short, votes=[2])
    assert report["strategies"][0]["equal_total"]["mean_tokens"] == 42, "and a stop token each"
    assert report["strategies"][0]["equal_total"]["accuracy"] == 100.0
    assert report["runs"][0]["accuracy"] == 50.0, "the row of the vote goes by --tie"


def test_mean_tokens_of_a_strategy_have_intervals():
    one = strategic(SHORTEST, 10)
    costs = [replace(row, total_tokens=60 + n) for n, row in enumerate(one.samples)]
    report = a_report(replace(one, samples=costs))
    (row,) = report["strategies"]
    low, high = row["total_tokens_interval"]
    assert 60 < low < row["mean_total_tokens"] == 79.5 < high < 99
    assert row["sequential_tokens_interval"] == [25, 25]
    assert grids.strategies(report, "bank").rows[0][4:7:2] == ["80", f"[{low:.0f}, {high:.0f}]"]


def test_thinking_is_of_all_samples_or_not_told():
    """A strategy's row knew its chosen answer's alone, and stood beside votes that know all."""
    report = a_report(sampled(10, 30), strategic(MAJORITY, 30))
    thinking = {row["run"]: row["mean_thinking_tokens"] for row in report["runs"]}
    assert thinking == {"majority@1": 10, "majority@4": 40, "majority:n=4": None}
    grid = next(one for one in grids.grids(report) if one.title.startswith("All runs"))
    assert [row[3] for row in grid.rows] == [
        "10.0",
        "40.0",
        "–",
    ] and "none for a strat" in grid.under


def test_strategies_stand_on_page_terminal_and_figure():
    report = a_report(
        sampled(30, 30), strategic(MAJORITY, 30), strategic(SHORTEST, 10, total_tokens=100)
    )
    figures = panels.draw(report)
    drawn = figures["strategies.svg"].decode()
    ET.fromstring(drawn)
    for words in ("1. majority:n=4", "2. shortest:k=1,n=4"):
        assert drawn.count(f"<!-- {words} -->") == 1, "in the legend, once"
    told = io.StringIO()
    terminal.show(report, Console(file=told, width=80))
    assert "2. shortest:k=1,n=4" in told.getvalue() and "-50.0" in told.getvalue()
    grid = grids.strategies(report, "bank")
    assert [row[0] for row in grid.rows] == ["1. majority:n=4", "2. shortest:k=1,n=4"]
    assert grids.strategies(report, "other").rows == []


def test_a_row_keeps_what_a_strategy_did(tmp_path):
    import pyarrow.parquet as pq

    from s1_core import records

    row = a_sample(
        SHORTEST, ASKED[0], 0, "Answer: 1", strategy=SHORTEST.strategy, mean_logprob=-0.5,
        num_started=4, num_aborted=3, decision='{"why": "voted"}', is_degraded=True,
    )  # fmt: skip
    pq.write_table(records.to_table([row], Sample), tmp_path / "s.parquet")
    assert records.from_table(pq.read_table(tmp_path / "s.parquet"), Sample) == [row]
    (graded,) = samples.graded([row], [replace(ASKED[0], answer="1")], workers=1)
    assert graded.is_correct and graded.strategy == row.strategy


def test_an_ask_of_a_strategy_has_a_budget_and_a_seed():
    ask = Ask(question="q", budget=ThinkingBudget(), sampling=Sampling(temperature=0.7, seed=1))
    assert not ask.strategy and next(policy(MAJORITY, ASKED[0], 4)).budget is not None
