"""`just calibrate`: the grid by hand, families that need intervals, TURN, resuming, refusals."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from s1_core import artifacts, cli
from s1_core.errors import UserError
from s1_serve.evaluate.calibrate import __main__ as verb
from s1_serve.evaluate.calibrate import heat, horizon, turn
from s1_serve.evaluate.calibrate.config import CalibrateConfig
from s1_serve.evaluate.config import EvaluateConfig
from s1_serve.evaluate.replay import stored
from s1_serve.evaluate.run import sources
from s1_serve.strategies import calibration
from s1_serve.strategies.calibration import LONG, NON_REASONING, SHORT, UNKNOWN, Calibration
from s1_serve.strategies.catalogue import Available, build
from unit.serve import fake_report

SAMPLES = "aime24_{}.jsonl"


@dataclass(frozen=True)
class Pool:
    """Traces of one question; short ones have 10 tokens, long ones 20."""

    right: list[bool]
    lengths: list[int]
    unanswered: Sequence[int] = ()
    """their places"""

    @property
    def answers(self) -> list[str | None]:
        found = ["1" if right else "0" for right in self.right]
        return [None if at in self.unanswered else each for at, each in enumerate(found)]

    @classmethod
    def of(cls, short: float, long: float, each: int = 20) -> Pool:
        """Give as many short as long traces, of which these shares are right."""
        halves = [[at < share * each for at in range(each)] for share in (short, long)]
        return cls([*halves[0], *halves[1]], [10] * each + [20] * each)


def model(easy: tuple[float, float], hard: tuple[float, float], num: int = 24) -> list[Pool]:
    """Give questions of two difficulties, whose accuracies vary a little from one to the next."""
    found = []
    for at in range(num):
        shift = 0.05 * (at % 3 - 1)
        for short, long in (easy, hard):
            found.append(Pool.of(min(1, max(0, short + shift)), min(1, max(0, long - shift))))
    return found


def test_the_grid_by_hand():
    questions = [
        Pool([True, True, False, True], [10, 10, 20, 20]),
        Pool([True, False, False, False], [10, 10, 20, 20]),
        Pool([True, True, True, True], [10, 10, 10, 10]),  # no long trace: tells nothing
    ]
    grid = horizon.measured(questions, seed=0)
    assert grid.cut == pytest.approx((60 + 60 + 40) / 12)
    assert grid.most_difficult_easy == pytest.approx(0.25)
    assert (grid.easy.num_questions, grid.hard.num_questions) == (1, 1)
    assert (grid.easy.short.accuracy, grid.easy.long.accuracy) == (100.0, 50.0)
    assert (grid.hard.short.accuracy, grid.hard.long.accuracy) == (50.0, 0.0)
    assert grid.easy.difference["mean"] == grid.hard.difference["mean"] == 50.0
    assert grid.family() == UNKNOWN, "one question a half is no evidence"
    assert "short traces less long ones: easy +50.0" in horizon.told(grid)


@pytest.mark.parametrize(
    ("easy", "hard", "family"),
    [
        ((0.95, 0.72), (0.61, 0.48), SHORT),  # DeepSeek-R1 in the paper's Table 1
        ((0.92, 0.85), (0.38, 0.53), LONG),
        ((0.75, 0.63), (0.22, 0.45), LONG),  # Qwen3-32B
        ((0.91, 0.70), (0.58, 0.58), UNKNOWN),  # QwQ-32B: its hard gap is 0.8 points
        ((0.92, 0.62), (0.33, 0.34), UNKNOWN),  # R1-Distill-32B: 0.7 points the other way
        ((0.50, 0.75), (0.20, 0.45), UNKNOWN),  # long wins everywhere: no family of the paper
    ],
)
def test_the_families_of_the_paper_need_differences_beyond_chance(easy, hard, family):
    grid = horizon.measured(model(easy, hard), seed=0)
    assert grid.family() == family
    assert grid.family(thinks=False) == NON_REASONING
    for half in (grid.easy, grid.hard):
        for cell in (half.short, half.long):
            assert cell.interval[0] <= cell.accuracy <= cell.interval[1]


def cut_short(maximum: int, num: int = 60) -> list[Pool]:
    """Give traces that are right whatever their length, but without an answer at the maximum."""
    rng, found = Random(1), []
    for _ in range(num):
        chance = rng.choice([0.9, 0.8, 0.6, 0.4])
        lengths = [min(maximum, int(rng.expovariate(1 / 2500)) + 100) for _ in range(8)]
        cut = [at for at, length in enumerate(lengths) if length == maximum]
        right = [rng.random() < chance and at not in cut for at in range(8)]
        found.append(Pool(right, lengths, cut))
    return found


def test_a_tight_maximum_makes_no_model_short_horizon():
    pools = cut_short(4000)
    cut = sum(len(pool.unanswered) for pool in pools)
    assert 0.2 < cut / (8 * len(pools)) < 0.26
    grid = horizon.measured(pools, seed=0)
    assert grid.family() == UNKNOWN and grid.num_left_out == cut
    assert f"{cut} traces without an answer left out" in horizon.told(grid)
    as_wrong = [Pool(pool.right, pool.lengths) for pool in pools]
    assert horizon.measured(as_wrong, seed=0).family() == SHORT, "the trap of the paper"


def test_traces_without_an_answer_are_as_if_they_were_not_drawn():
    pools = model((0.95, 0.72), (0.61, 0.48))
    more = [Pool([*p.right, False], [*p.lengths, 900], [len(p.right)]) for p in pools]
    one, other = (horizon.measured(each, seed=0) for each in (pools, more))
    assert (other.cut, other.easy, other.hard) == (one.cut, one.easy, one.hard)
    assert (one.num_left_out, other.num_left_out) == (0, len(pools))
    none = horizon.measured([Pool([False] * 8, [9] * 8, range(8))], seed=0)
    assert none.family() == UNKNOWN and none.num_left_out == 8
    assert "none to compare" in horizon.told(none)


def test_few_questions_name_no_family():
    questions = model((1.0, 0.5), (0.6, 0.2), num=5)
    grid = horizon.measured(questions, seed=0)
    assert grid.easy.difference["lo"] > 0 and grid.family() == UNKNOWN
    assert horizon.measured(model((1.0, 0.5), (0.6, 0.2), num=12), seed=0).family() == SHORT


@pytest.mark.parametrize(
    ("family", "compute", "wanted"),
    [
        (SHORT, "high", ("majority", 8, None)),
        (SHORT, "low", ("shortest", 8, 1)),
        (LONG, "high", ("majority", 8, None)),
        (LONG, "low", ("majority", 1, None)),
        (NON_REASONING, "high", ("majority", 8, None)),
        (NON_REASONING, "low", ("shortest", 8, 1)),
    ],
)
def test_what_is_calibrated_is_what_the_recipe_goes_by(tmp_path, family, compute, wanted):
    """Table 2 of arXiv 2512.02008, through the file."""
    (tmp_path / "calibration.json").write_text(
        Calibration(family=family, mean_tokens=100.0, facts={"why": "it is"}).to_json()
    )
    found = calibration.read(tmp_path)
    auto = build("auto", {"n": 8, "compute": compute}, Available(calibration=found))
    taken = auto.resolved()
    assert (taken.name, taken.n, getattr(taken, "k", None)) == wanted
    assert "it is" in auto.reason


# TURN


def test_entropy_of_the_top_tokens():
    even = [math.log(0.25)] * 4
    assert turn.entropy([even, even], 0.7) == (pytest.approx(2 * math.log(4)), 2)
    half = [math.log(0.4), math.log(0.4)]  # covers 0.8: divided by it
    assert turn.entropy([half], 1.0)[0] == pytest.approx(math.log(2))
    skewed = [math.log(0.8), math.log(0.2)]
    cold, warm, hot = (turn.entropy([skewed], t)[0] for t in (0.5, 1.0, 2.0))
    assert cold < warm < hot < math.log(2)
    shares = (0.8**2 / 0.68, 0.2**2 / 0.68)
    assert cold == pytest.approx(-sum(p * math.log(p) for p in shares))
    assert turn.entropy([[], [float("-inf")], [0.0, float("-inf")]], 1.0) == (0.0, 1)


@pytest.mark.parametrize(
    ("logs", "wanted"),
    [
        ([0, 3, 5, 6, 6.5, 8], 0.5),  # slopes 3 2 1 .5 1.5: convex first at the fifth
        ([0, 1, 3, 4], 0.2),
        ([0, 3, 5, 6], 0.4),  # concave throughout: the last
    ],
)
def test_the_turning_point_is_the_first_convex_one_within(logs, wanted):
    temperatures = [round(0.1 * at, 1) for at in range(1, len(logs) + 1)]
    assert turn.turning_point(temperatures, [math.exp(each) for each in logs]) == wanted


def test_no_entropy_has_no_turning_point():
    assert turn.turning_point([0.1, 0.2, 0.3], [0.0, 0.1, 0.2]) is None
    assert turn.turning_point([0.1, 0.2], [0.1, 0.2]) is None


def test_entropies_on_disk_are_not_measured_again(tmp_path):
    asked = []

    def measure(questions, temperature):
        asked.append(temperature)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return [[[math.log(0.5)] * 2] for _ in questions]

    inputs = {"model": "m"}
    with pytest.raises(KeyboardInterrupt):
        heat.measured(measure, ["q"], [0.1, 0.2, 0.3], tmp_path, inputs)
    found = heat.measured(measure, ["q"], [0.1, 0.2, 0.3], tmp_path, inputs)
    assert found == pytest.approx([math.log(2)] * 3)
    assert asked == [0.1, 0.2, 0.3, 0.3]
    heat.measured(measure, ["q"], [0.1], tmp_path, {"model": "another"})
    assert asked[-1] == 0.1


@pytest.mark.parametrize("answer", [[], [[]], [[[0.0]]]])
def test_a_server_without_top_logprobs_is_seen(answer):
    assert not heat.gives_logprobs(lambda questions, temperature: answer or [[]], "q")


# The verb


def ended(*argv: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.run(CalibrateConfig, verb.main, package="serve", argv=[str(word) for word in argv])
    return end.value.code


def a_file(path: Path, pools, gold="1") -> Path:
    rows = [
        {
            "problem_num": at,
            "gold_answer": gold,
            "all_answers": [
                [answer and (gold if answer == "1" else answer), length]
                for answer, length in zip(pool.answers, pool.lengths, strict=True)
            ],
        }
        for at, pool in enumerate(pools)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_stored_samples_are_calibrated_once(tmp_path, capsys):
    pools = model((0.95, 0.7), (0.6, 0.4), num=12)
    samples, out = a_file(tmp_path / "s.jsonl", pools), tmp_path / "out"
    assert ended("--samples", samples, "--out", out) == 0
    told = capsys.readouterr().err
    assert "family: short-horizon" in told and "24 questions, 40 traces each" in told
    found = calibration.read(out)
    assert found.family == SHORT and found.mean_tokens == 15.0 and found.temperature is None
    assert found.facts["grid"]["easy"]["num_questions"] == 12
    before = (out / "run.json").read_bytes()
    assert ended("--samples", samples, "--out", out) == 0
    assert (out / "run.json").read_bytes() == before
    assert artifacts.load(out, kind="calibration").parents.keys() == {"s.jsonl"}
    assert ended("--samples", samples, "--out", out, "--thinks", "false") == 0
    assert calibration.read(out).family == NON_REASONING


def test_what_has_no_answer_is_told_and_costs_but_has_no_horizon(tmp_path, capsys):
    pools = cut_short(4000, num=20)
    samples, out = a_file(tmp_path / "s.jsonl", pools), tmp_path / "out"
    assert ended("--samples", samples, "--out", out) == 0
    told = capsys.readouterr().err
    left_out = sum(len(pool.unanswered) for pool in pools)
    assert f"{left_out} traces without an answer left out" in told
    found = calibration.read(out)
    assert found.facts["grid"]["num_left_out"] == left_out
    assert found.facts["no_answer"] == pytest.approx(left_out / 160)
    assert found.mean_tokens == pytest.approx(sum(sum(p.lengths) for p in pools) / 160)


@pytest.mark.parametrize(
    ("thinking", "tokens", "family"),
    [("hm", None, UNKNOWN), ("", 5, UNKNOWN), ("", None, NON_REASONING), ("", 0, NON_REASONING)],
)
def test_a_model_whose_thinking_is_not_counted_still_thinks(thinking, tokens, family):
    rows = fake_report.samples(
        "samples", {"a": ["1"] * 8}, thinking=thinking, thinking_tokens=tokens
    )
    config = CalibrateConfig(model="m", benchmark=("b",))
    found = verb._calibrated(stored.grouped(rows, Path("s")), config, rows)
    assert found.family == family


@pytest.mark.parametrize("of", ["this model", "another", None])
def test_a_calibration_of_another_model_is_said(tmp_path, monkeypatch, of):
    own = artifacts.load("embedded").sha256
    source = {"model": {"this model": own, "another": "0" * 64, None: None}[of]}
    with artifacts.create(tmp_path / "c", kind="calibration", config={"source": source}) as draft:
        draft.write_text(calibration.FILE, Calibration(family=SHORT, mean_tokens=9.0).to_json())
    monkeypatch.setattr(sources, "describe", lambda *_: {"device": "cpu"})
    config = EvaluateConfig(
        model="embedded", benchmark=("b",), out="o", calibration=str(tmp_path / "c")
    )
    told = f"The calibration is of another model (000000000000) than this one ({own[:12]})."
    assert sources.opened(config).facts()["notes"] == ([told] if of == "another" else [])


def test_a_report_is_calibrated_by_its_samples(tmp_path):
    rows = fake_report.samples("8 samples", {q: ["1", "0"] * 4 for q in "abc"})
    report = fake_report.write(tmp_path / "report", rows)
    assert ended("--samples", report, "--out", tmp_path / "out") == 0
    found = calibration.read(tmp_path / "out")
    assert (found.facts["num_questions"], found.facts["num_traces"]) == (3, 8)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--samples", "{}", "--model", "m"], "give one of --model"),
        ([], "give one of --model"),
        (["--model", "embedded"], "no benchmark"),
        (["--model", "embedded", "--benchmark", "b", "--num_traces", 4], "at least 8"),
        (["--model", "embedded", "--benchmark", "b", "--temperature", 0], "equal samples"),
        (["--samples", "{}", "--benchmark", "b"], "leave out --benchmark"),
        (["--samples", "{}", "--temperatures", "[0.2, 0.1, 0.3]"], "in rising order"),
        (["--samples", "{}", "--temperatures", "[0.2, 0.3, 2.5]"], "up to 2"),
        (["--samples", "{}"], "a question has 4 traces: a calibration wants 8"),
        (["--samples", "nothing.jsonl"], "no samples at nothing.jsonl"),
    ],
)
def test_refusals_are_one_line(tmp_path, capsys, words, told):
    samples = a_file(tmp_path / "s.jsonl", [Pool.of(1.0, 0.5, each=2)])
    argv = [str(word).format(samples) for word in words]
    assert ended(*argv, "--out", tmp_path / "out") == 2
    line = capsys.readouterr().err
    assert told in line and line.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_samples_without_lengths_are_one_line(tmp_path, capsys):
    samples = a_file(tmp_path / "s.jsonl", [Pool([True] * 8, [0] * 8)])
    assert ended("--samples", samples, "--out", tmp_path / "out") == 2
    line = capsys.readouterr().err
    assert "how many tokens" in line and line.count("\n") == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("family", "tall"),
        ("mean_tokens", "1000"),
        ("mean_tokens", None),
        ("mean_tokens", True),
        ("mean_tokens", -5),
        ("mean_tokens", 0),
        ("mean_tokens", math.inf),
        ("mean_tokens", math.nan),
        ("temperature", "hot"),
        ("temperature", math.nan),
        ("temperature", 2.1),
        ("best_of_temperature", -0.1),
        ("best_of_temperature", [1]),
        ("facts", None),
        ("facts", ["why"]),
    ],
)
def test_a_value_that_cannot_be_is_one_line(tmp_path, field, value):
    content = json.loads(Calibration(family=SHORT, mean_tokens=100.0, temperature=0.7).to_json())
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps(content))
    assert calibration.read(file).temperature == 0.7
    file.write_text(json.dumps(content | {field: value}))
    with pytest.raises(UserError) as refused:
        calibration.read(file)
    told = str(refused.value)
    assert told.startswith(f"{file}: {field} is ") and "\n" not in told


@pytest.mark.parametrize(
    "content", ["", "[]", '{"schema_version": 2}', '{"schema_version": 1}', '{"schema_version": 9}']
)
def test_a_calibration_of_another_form_is_one_line(tmp_path, content):
    (tmp_path / "calibration.json").write_text(content)
    with pytest.raises(UserError, match="calibrate again"):
        calibration.read(tmp_path)
    with pytest.raises(UserError, match="no calibration at"):
        calibration.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("LIMO-v2", SHORT),
        ("EXAONE-Deep-32B", UNKNOWN),  # short-horizon only with the 16 % that were cut
        ("Qwen3-14B", UNKNOWN),
        ("gpt-oss-20b", UNKNOWN),
    ],
)
def test_the_families_of_real_models(name, family):
    if "S1_DATA" not in os.environ:
        pytest.skip("S1_DATA names no folder of real samples")
    file = Path(os.environ["S1_DATA"]) / "samples" / SAMPLES.format(name)
    (one,) = stored.read(file, None, workers=2)
    grid = horizon.measured(one.questions, seed=0)
    assert grid.family() == family
    assert grid.easy.difference["mean"] > 0 and grid.hard.difference["mean"] > 0
