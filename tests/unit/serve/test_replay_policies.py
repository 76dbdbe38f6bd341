"""`just replay` of strategies: the served code on stored samples, and methods at equal tokens."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_core import cli
from s1_core.errors import UserError
from s1_serve.evaluate import votes
from s1_serve.evaluate.replay import __main__ as verb
from s1_serve.evaluate.replay import equal, lines, parity, stored
from s1_serve.evaluate.replay.config import ReplayConfig
from s1_serve.evaluate.replay.equal import Point
from s1_serve.evaluate.replay.playing import Deck, Play
from s1_serve.evaluate.replay.stored import Answered, Stored
from s1_serve.evaluate.specs import joined, size, sized, variant
from s1_serve.evaluate.votes import Outcome, Pool
from s1_serve.strategies import catalogue
from s1_serve.strategies.ballots import TIES
from s1_serve.strategies.calibration import FAMILIES, Calibration
from s1_serve.strategies.catalogue import Available, build
from unit.serve import fake_report

TIED = {"problem_num": 0, "gold_answer": "3", "all_answers": [["4", 2], ["3", 9], ["3", 5]]}
SURE = {"problem_num": 1, "gold_answer": "7", "all_answers": [["7", 4], ["7", 6], ["7", 8]]}


def a_file(path: Path, rows=(TIED, SURE)) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows(samples: Path, *method: str, **changes) -> dict[str, dict]:
    config = ReplayConfig(samples=str(samples), method=method, order="first", **changes)
    (one,) = stored.read(samples, None, workers=1)
    return {row["method"]: row for row in verb.rows(one, config)}


def ended(*argv: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.run(ReplayConfig, verb.main, package="serve", argv=[str(word) for word in argv])
    return end.value.code


# The real policies


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.sampled_from(["1", "1.0", "2", "3", None]), min_size=1, max_size=7),
    st.sampled_from(["majority", "shortest", "longest"]),
    st.sampled_from(TIES),
    st.data(),
)
def test_a_policy_and_its_rule_over_all_choices_at_once_are_one(answers, name, tie, data):
    """Lengths differ: what ends in one tick comes in one after the other when it is served."""
    lengths = data.draw(
        st.lists(st.integers(1, 50), min_size=len(answers), max_size=len(answers), unique=True)
    )
    right = [answer in ("1", "1.0") for answer in answers]
    n = data.draw(st.integers(1, len(answers)))
    told = {"n": n, "tie": tie}
    if name != "majority":
        told["k"] = data.draw(st.integers(1, n))
    policy = build(name, told, Available())
    order = data.draw(st.permutations(range(len(answers))))
    question = Answered("q", answers, right, lengths, [None] * len(answers))
    found = Deck(question, [order], 0).play(policy)
    chosen = np.isin(np.arange(len(answers)), order[:n])[None]
    pool = Pool(*(([each[at] for at in order]) for each in (answers, right, lengths)))
    wanted = votes.choose(pool, lines.rule_of(policy), chosen[:, order], tie)
    assert found == wanted


def test_an_equally_short_leader_is_the_one_asked_for_first():
    question = Answered("q", ["1", "2"], [True, False], [5, 5], [None, None])
    for order, credit in (([0, 1], 1.0), ([1, 0], 0.0)):
        policy = build("majority", {"n": 2}, Available())
        assert Deck(question, [order], 0).play(policy).credit == credit


def test_strategies_by_hand(tmp_path):
    found = rows(
        a_file(tmp_path / "s.jsonl"), "majority@2", "majority:n=2", "tie=first", "shortest@3",
        "longest:k=1", "n=3", "maj@3",
    )  # fmt: skip
    assert {name: row["accuracy"] for name, row in found.items()} == {
        "majority@2": 50.0, "majority:n=2,tie=first": 50.0, "shortest@3": 50.0,
        "longest:k=1,n=3": 100.0, "maj@3": 100.0,
    }  # fmt: skip
    short = found["shortest@3"]
    assert (short["mean_sequential_tokens"], short["mean_total_tokens"]) == (3.0, 9.0)
    assert short["mean_samples"] == 3 and short["family"] == "shortest@k"
    assert found["longest:k=1,n=3"]["family"] == "longest@k (k 1)"


def test_the_adaptive_vote_draws_less_where_samples_agree(tmp_path):
    agreed = {"problem_num": 0, "gold_answer": "1", "all_answers": [["1", 10]] * 40}
    torn = {
        "problem_num": 1,
        "gold_answer": "1",
        "all_answers": [[str(at % 2), 10] for at in range(40)],
    }
    spec = "adaptive:n_max=40,threshold=10,batch=1"
    one, other = (rows(a_file(tmp_path / "s.jsonl", [each]), spec)[spec] for each in (agreed, torn))
    assert one["mean_samples"] < 8 and one["accuracy"] == 100.0
    assert other["mean_samples"] > 2 * one["mean_samples"]
    assert one["mean_total_tokens"] == one["mean_sequential_tokens"] == 10 * one["mean_samples"]


def test_stored_likelihoods_weigh(tmp_path):
    sure = {
        "problem_num": 0,
        "gold_answer": "3",
        "all_answers": [["4", 2, -2.0], ["4", 3, -2.0], ["3", 9, -0.1]],
    }
    found = rows(a_file(tmp_path / "s.jsonl", [sure]), "weighted@3", "likelihood@3", "majority@3")
    assert {name: row["accuracy"] for name, row in found.items()} == {
        "weighted@3": 100.0, "likelihood@3": 100.0, "majority@3": 0.0,
    }  # fmt: skip


LIKELY = {
    "x": [("0", 4, -2.0), ("0", 5, -2.0), ("1", 9, -0.1), ("1", 9, -3.0)],
    "y": [("1", 7, -0.3), ("1", 4, -0.2), ("0", 6, -0.9), (None, 9, -0.9)],
}


def a_report(folder: Path, known: float = 1.0) -> Path:
    """Write a report of samples, of which a share says its mean logprob."""
    kept = round(known * sum(map(len, LIKELY.values())))
    plain = fake_report.samples("samples", {q: [a for a, *_ in of] for q, of in LIKELY.items()})
    told = [each for of in LIKELY.values() for each in of]
    rows = [
        replace(row, total_tokens=tokens, mean_logprob=logprob if at < kept else None)
        for at, (row, (_, tokens, logprob)) in enumerate(zip(plain, told, strict=True))
    ]
    return fake_report.write(folder, rows)


def test_what_weighs_by_likelihood_has_lines_where_every_sample_says_it(tmp_path):
    for known, wanted in ((1.0, {*lines.LIKELY}), (0.75, set()), (0.0, set())):
        report, out = a_report(tmp_path / f"{known}", known), tmp_path / f"out {known}"
        assert ended(report, "--out", out, "--num_orders", 2) == 0
        replay = json.loads((out / "replay.json").read_text())
        methods = {row["method"] for row in replay["equal"]}
        assert methods & {*lines.LIKELY} == wanted and "majority" in methods
        assert methods <= {*parity.LOOKS}, "each has its look in the figure"


def test_lines_by_likelihood_are_the_served_policies_at_every_size(tmp_path):
    (one,) = stored.read(a_report(tmp_path / "r") / "samples.parquet", None, workers=1)
    found = lines.lines(one, ReplayConfig(samples="x", order="first"))
    names = [point.name for point in found["likelihood"]]
    assert names == ["maj@1", "likelihood@2", "likelihood@4"]
    credits = {point.name: point.column("credit") for point in found["likelihood"]}
    assert credits["likelihood@2"] == [0.0, 1.0] and credits["likelihood@4"] == [1.0, 1.0]
    assert found["weighted"][-1].column("credit") == [1.0, 1.0]
    assert found["majority"][-1].column("credit") == [0.0, 1.0]


def test_a_tie_is_told_of_rules_and_that_auto_knows_the_answers(tmp_path, capsys):
    samples = a_file(tmp_path / "s.jsonl")
    assert ended(samples, "--out", tmp_path / "a", "--method", "maj@2,majority@2") == 0
    assert "ties of rules such as maj@k: fractional" in capsys.readouterr().err
    assert ended(samples, "--out", tmp_path / "b") == 0
    assert "which flatters it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("weighted@3", "no mean logprobs are stored with these samples; those that just evaluate"),
        ("rsa:n=2", "builds on other answers"),
        ("best-of-n@2", "asks a verifier, and none was stored"),
        ("schedule:n=3,temperatures=0.6/1.0", "it sets temperature of each sample"),
        ("majority@4", "majority@4 wants 4 samples of each question, a question here has 3"),
        ("majority:m=3", "majority has no parameter 'm'"),
        ("majority:3", "write a strategy as name:key=value,key=value"),
        ("vote@3", "valid are maj@k, pass@k, coverage@k, shortest-m@k, longest-m@k, or a strategy"),
        ("self-refine@3", "self-refine has no size"),
    ],
)
def test_what_cannot_be_replayed_is_one_line(tmp_path, capsys, method, told):
    assert ended(a_file(tmp_path / "s.jsonl"), "--out", tmp_path / "out", "--method", method) == 2
    line = capsys.readouterr().err
    assert told in line and line.strip().count("\n") == 0, line


def test_specs_are_put_together_and_read():
    words = ["maj@8", "shortest:k=1", "n=4", "adaptive:n_max=8", "threshold=5", "majority@2"]
    assert joined(words) == ("maj@8", "shortest:k=1,n=4", "adaptive:n_max=8,threshold=5",
                             "majority@2")  # fmt: skip
    assert sized("adaptive@64") == ("adaptive", {"n_max": 64})
    assert sized("shortest:k=1,n=4") == ("shortest", {"k": 1, "n": 4})
    assert [size(each) for each in ("majority@3", "adaptive:n_max=9", "self-refine")] == [3, 9, 1]
    assert variant(build("majority", {"n": 2, "tie": "first"}, Available())) == (
        "majority@k (tie first)"
    )


# Equal tokens


def point(name: str, credits: Sequence[float], totals: Sequence[float]) -> Point:
    return Point(name, [Outcome(c, t, t / 2, 1.0) for c, t in zip(credits, totals, strict=True)])


def test_a_coin_between_two_sizes_spends_a_budget_exactly():
    line = [point("a", [0, 1], [10, 10]), point("b", [1, 1], [20, 40])]
    one = equal.mixed(line, equal.TOTAL, 15.0)
    assert (one.first.name, one.second.name, one.share) == ("a", "b", 0.25)
    assert one.column("credit") == [0.25, 1.0]
    assert one.column("total_tokens") == [12.5, 17.5]
    assert equal.mixed(line, equal.TOTAL, 10.0).share == 0.0
    assert equal.mixed(line, equal.TOTAL, 9.0) is None
    assert equal.mixed(line, equal.TOTAL, 31.0) is None
    falling = [line[1], line[0]]
    assert equal.mixed(falling, equal.SEQUENTIAL, 7.5).share == 0.75


def test_methods_are_compared_to_the_vote_of_the_same_budget():
    votes_ = [point("maj@1", [0] * 8, [10] * 8), point("maj@2", [1] * 8, [20] * 8)]
    good = [point("x", [1] * 8, [10] * 8), point("y", [1] * 8, [40] * 8)]
    found = equal.compared({"majority": votes_, "good": good}, equal.TOTAL, [10, 20, 40], seed=0)
    told = {(row["budget"], row["method"]): row for row in found}
    assert told[10, "good"]["difference"]["mean"] == 100.0
    assert told[10, "good"]["verdict"] == "better"
    assert told[20, "good"]["difference"]["mean"] == 0.0
    assert told[40, "good"]["verdict"] is None, "the vote cannot spend so much"
    assert (40, "majority") not in told and told[10, "majority"]["difference"] is None
    assert told[20, "good"]["between"] == ["x", "y"]
    assert told[20, "good"]["mean_total_tokens"] == pytest.approx(20)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("compute", lines.COMPUTE)
def test_auto_is_the_line_of_what_it_comes_to(family, compute):
    has = Available(calibration=Calibration(family=family, mean_tokens=10.0))
    question = Answered("q", ["1"] * 8, [True] * 8, [1] * 8, [None] * 8)
    found = [way.name for way in lines._auto(Stored("s", "", [question]), compute, has)]
    votes_, first = [f"maj@{k}" for k in (1, 2, 4, 8)], [f"shortest-1@{k}" for k in (1, 2, 4, 8)]
    recipe = {
        ("short-horizon", "low"): first,
        ("non-reasoning", "low"): first,
        ("long-horizon", "low"): votes_[:1],
    }
    assert found == recipe.get((family, compute), votes_)


def test_whole_curves_come_with_a_comparison(tmp_path, capsys):
    many = [
        {
            "problem_num": q,
            "gold_answer": "1",
            "all_answers": [[str((at * (q + 1)) % 3), 10 + (7 * at * q) % 23] for at in range(9)],
        }
        for q in range(4)
    ]
    out = tmp_path / "out"
    assert ended(a_file(tmp_path / "s.jsonl", many), "--out", out, "--num_orders", 2) == 0
    replay = json.loads((out / "replay.json").read_text())
    assert replay["schema_version"] == verb.SCHEMA_VERSION
    assert {row["method"] for row in replay["equal"]} >= {"majority", "shortest-1", "adaptive"}
    for row in replay["equal"]:
        axis = f"mean_{row['axis']}"
        assert row[axis] == pytest.approx(row["budget"])
    assert (out / "equal.png").read_bytes().startswith(b"\x89PNG")
    told = capsys.readouterr().err
    assert "at equal tokens of all traces" in told and "a coin decides" in told


@pytest.fixture(scope="module")
def real() -> Stored:
    if "S1_DATA" not in os.environ:
        pytest.skip("S1_DATA names no folder of real samples")
    (one,) = stored.read(
        Path(os.environ["S1_DATA"]) / "samples" / "aime24_LIMO-v2.jsonl", None, workers=2
    )
    return Stored(one.benchmark, one.run, one.questions[:12])


def test_on_real_samples_the_longest_lose_and_budgets_are_met(real):
    config = ReplayConfig(samples="x", equal_tokens=[2, 8], equal_sequential=[1.0], num_orders=1)
    found = verb.matched(real, config)
    told = {(row["axis"], round(row["traces"], 6), row["method"]): row for row in found}
    assert told[equal.TOTAL, 8, "longest-1"]["difference"]["mean"] < 0
    for row in found:
        assert row[f"mean_{row['axis']}"] == pytest.approx(row["budget"])
    names = {method for _, _, method in told}
    assert names >= {*lines.VOTES, *lines.ADAPTIVE, "auto (low)", "auto (high)"}


def test_every_strategy_is_replayed_or_refused_in_a_line():
    question = Answered("q", ["1"] * 8, [True] * 8, [4] * 8, [-0.5] * 8)
    played = set()
    for name in catalogue.POLICIES:
        try:
            play = Play.parse(name, Available())
            Deck(question, [[*range(8)] * 20], 0).play(play.policy)
            played.add(name)
        except UserError as error:
            assert "\n" not in str(error), name
    assert played >= {"majority", "shortest", "longest", "adaptive", "auto", "weighted"}
    assert not played & {"rsa", "best-of-n", "self-refine", "cascade"}
