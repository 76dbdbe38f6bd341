"""Strategies as methods of an evaluation: asked, run, written down, compared and drawn."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from rich.console import Console

from factories import question
from s1_core.errors import UserError
from s1_core.records import Question
from s1_serve.completions import Sampling
from s1_serve.config import ThinkingBudget
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
from s1_serve.evaluate.run.strategists import Both, answered
from s1_serve.evaluate.run.sweep import Sweep
from s1_serve.evaluate.samples import Measured, Sample
from s1_serve.evaluate.settings import Setting, settings
from s1_serve.strategies import catalogue
from s1_serve.strategies.calls import Step
from s1_serve.strategies.catalogue import Available
from s1_serve.strategies.known import Known, Result
from s1_serve.strategies.session import Limits, Session
from s1_serve.strategies.simulation import simulate
from unit.serve.test_report import FACTS, a_sample, measured
from unit.serve.test_runner import FakeModel, answering

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
TTS = {
    "started": 3, "finished": 1, "aborted": 2, "degraded": False, "selected": "1",
    "tokens": {"total": 30, "sequential": 10, "aborted": 20, "verifier": 0},
    "votes": {"7": 1.0}, "margin": 1.0, "stopped": "the first voted",
    "candidates": [{"id": "0", "tokens": 9}, {"id": "1", "tokens": 10}],
}  # fmt: skip


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
    config = a_config(
        methods=("majority",), votes=[1, 4],
        strategies=tuple(one.setting.strategy for one in ones if one.setting.strategy), **changes,
    )  # fmt: skip
    questions = {"bank": [Question(**vars(one)) for one in _questions()]}
    return assembly.assemble(ones, questions, config, FACTS)


def _questions():
    from unit.serve.test_report import QUESTIONS

    return QUESTIONS


def test_a_strategy_is_compared_to_a_majority_of_as_many_samples():
    votes = strategic(MAJORITY, 30, total_tokens=100, num_aborted=0, aborted_tokens=0)
    report = a_report(votes, strategic(SHORTEST, 10, is_degraded=True))
    majority, short = report["strategies"]
    assert majority["difference"] is None and majority["against"] is None
    assert (short["against"], short["samples"]) == ("majority:n=4", 4)
    assert short["difference"]["mean"] == pytest.approx(-50.0) and short["verdict"] == "worse"
    assert (short["mean_total_tokens"], short["mean_sequential_tokens"]) == (80, 25)
    assert (short["mean_aborted_tokens"], short["mean_verifier_tokens"]) == (40, 6)
    assert (short["mean_samples"], short["degraded"]) == (4, 40)
    run = next(row for row in report["runs"] if row["strategy"] == "shortest:k=1,n=4")
    assert run["accuracy"] == 25.0 and run["mean_sequential_tokens"] == 25
    assert any(line.startswith("shortest:k=1,n=4: 25.0 %") for line in report["statements"])
    assert any("Of 1 strategy compared" in line for line in report["statements"])


def test_a_vote_over_samples_stands_in_for_the_strategy_majority():
    sampled = measured(Setting(method="majority", max=-1, num_samples=4, temperature=0.7), 40)
    (row,) = a_report(sampled, strategic(SHORTEST, 40))["strategies"]
    assert row["against"] == "majority@4" and row["difference"]["mean"] == 0.0
    (alone,) = a_report(strategic(SHORTEST, 40))["strategies"]
    assert alone["difference"] is None and alone["against"] is None
    many = Setting(method="strategy", strategy="shortest:n=9", temperature=0.7)
    assert a_report(sampled, strategic(many, 40))["strategies"][0]["against"] is None


def test_strategies_stand_on_page_terminal_and_figure():
    report = a_report(strategic(MAJORITY, 30), strategic(SHORTEST, 10))
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
