"""Searches over steps against their rules by hand, and one step of thinking by its own."""

import math
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from s1_core.errors import UserError
from s1_serve.budget.loop import machine
from s1_serve.budget.plan import Plan
from s1_serve.completions import Completion
from s1_serve.strategies.calls import Chat, Reward, Step
from s1_serve.strategies.driving.stepping import Bounds, Path, Said, Watch, walk
from s1_serve.strategies.known import Result, Sample
from s1_serve.strategies.parameters import MOST_CALLS
from s1_serve.strategies.search import particles, rebase
from s1_serve.strategies.search.beam import Beam
from s1_serve.strategies.search.dvts import Dvts
from s1_serve.strategies.search.particles import Particles
from s1_serve.strategies.search.rebase import Rebase
from s1_serve.strategies.verifiers.judge import Judge
from s1_serve.strategies.verifiers.process import Process
from s1_serve.strategies.verifiers.reward import RewardModel
from unit.serve.fake_model import MARKS, TEXT, FakeModel
from unit.serve.plays import chosen, play

REWARD = RewardModel(name="reward")
SEARCHES = (Beam, Dvts, Rebase, Particles)


@dataclass
class World:
    """Steps whose scores are `scores`, which end by `ends`; all others go on and have 0.5."""

    scores: dict[str, float] = field(default_factory=dict)
    ends: dict[str, str | None] = field(default_factory=dict)
    is_dead: bool = False
    parents: dict[str, str | None] = field(default_factory=dict)
    launches: list[str] = field(default_factory=list)

    def __call__(self, launch):
        call = launch.call
        if isinstance(call, Reward):
            if self.is_dead:
                raise LookupError("no reward model there")
            depth = 1 + int(call.of.partition("/")[0])
            return Result(scores=(0.5,) * (depth - 1) + (self.scores.get(call.of, 0.5),))
        assert isinstance(call, Step)
        assert [step.id for step in launch.path] == self._path(call.parent)
        self.parents[call.id] = call.parent
        self.launches.append(call.id)
        if call.id in self.ends or call.ends_thinking:
            vote = self.ends.get(call.id, f"end of {call.id}")
            return Result(vote=vote, answer=vote or "", tokens=6, thinking_tokens=4)
        return Result(thinking="step", end="open", tokens=5, thinking_tokens=5)

    def _path(self, name):
        return [] if name is None else [*self._path(self.parents[name]), name]

    def continued(self, number):
        """Count how often each step of the round before is the parent of one in this round."""
        mine = [n for n in self.launches if n.startswith(f"{number}/")]
        return Counter(self.parents[name] for name in mine)


def test_beam_keeps_the_best_and_fills_the_round_with_copies():
    world = World(scores={"0/1": 0.9, "0/6": 0.8, "1/0": 0.1, "1/5": 0.7, "1/2": 0.6})
    play(Beam(n=8, width=4, depth=3, verifier=REWARD), world)
    assert world.continued(1) == {"0/1": 4, "0/6": 4}
    assert world.continued(2) == {"1/5": 4, "1/2": 4}  # children of both parents compete
    assert not world.continued(3)


def test_ties_go_to_the_first_and_what_has_no_score_is_worst():
    world = World(scores={"0/0": math.nan, "0/1": 0.0})
    play(Beam(n=4, width=2, depth=2, verifier=REWARD), world)
    assert world.continued(1) == {"0/2": 2, "0/3": 2}
    world = World(scores={"0/0": math.nan, "0/1": 0.0, "0/2": 1.5, "0/3": math.nan})
    play(Beam(n=4, width=4, depth=2, verifier=REWARD), world)
    assert world.continued(1) == {"0/1": 4}


def test_the_last_round_of_a_search_thinks_to_the_end_and_finished_paths_are_kept():
    world = World(scores={"0/0": 0.9, "0/1": 1.0}, ends={"0/1": "12"})
    session = play(Beam(n=4, width=2, depth=2, vote="best", verifier=REWARD), world)
    assert world.continued(1) == {"0/0": 2, "0/2": 2}  # the finished one is no parent
    assert chosen(session).id == "0/1" and not chosen(session).is_degraded
    assert sum(sample.has_answered for sample in session.known) == 5


def test_beam_ends_early_once_n_paths_are_finished():
    ends = {f"0/{place}": "7" for place in range(3)} | {f"1/{place}": "7" for place in range(4)}
    world = World(ends=ends)
    session = play(Beam(n=4, width=2, depth=9, verifier=REWARD), world)
    assert not world.continued(2) and chosen(session).votes == {"7": 3.5}


@pytest.mark.parametrize("search", SEARCHES)
def test_all_finished_in_the_first_round_is_a_vote(search):
    world = World(ends={f"0/{n}": "3" if n < 3 else "5" for n in range(8)}, scores={"0/7": 0.9})
    session = play(search(n=8, vote="weighted", verifier=REWARD), world)
    assert len(world.launches) == 8
    assert chosen(session).id == "0/7"
    assert chosen(session).votes == pytest.approx({"5": 4 * 0.5 + 0.9, "3": 1.5})


def test_dvts_goes_on_with_the_best_child_of_each_tree_alone():
    world = World(scores={"0/3": 0.6, "0/4": 0.9, "0/5": 0.95, "1/2": 0.8})
    play(Dvts(n=8, width=4, depth=3, verifier=REWARD), world)
    assert world.continued(1) == {"0/3": 4, "0/5": 4}
    assert world.continued(2) == {"1/2": 4, "1/4": 4}


def test_dvts_never_answers_with_a_path_that_goes_on():
    # The tree of 0/0 to 0/1 is done with its finished best child; the best score of all is open.
    world = World(scores={"0/0": 0.6, "0/2": 0.99, "1/0": 0.01, "1/1": 0.0}, ends={"0/0": "4"})
    policy = Dvts(n=4, width=2, depth=2, vote="best", verifier=REWARD)
    session = play(policy, world)
    assert world.continued(1) == {"0/2": 2}
    assert chosen(session).id == "0/0"
    early = play(policy, World(scores={"0/2": 0.99}), deadline=6)
    assert early.outcome is not None and early.outcome.choice is None


def test_rebase_allots_by_the_papers_formula():
    scores, balance, width = [0.9, 0.8, 0.5, 0.1], 0.2, 16
    left, mass, by_hand = width, [math.exp(score / balance) for score in scores], []
    for place, own in enumerate(mass):
        by_hand.append(min(left, math.ceil(left * own / sum(mass[place:]))))
        left -= by_hand[-1]
    assert rebase.shared(scores, width, balance) == by_hand == [10, 5, 1, 0]
    assert sum(by_hand) == width


def test_rebase_shares_evenly_at_equal_scores_and_survives_extremes():
    assert rebase.shared([0.5] * 3, 6, 0.2) == [2, 2, 2]
    assert rebase.shared([0.5] * 5, 3, 0.2) == [1, 1, 1, 0, 0]
    assert rebase.shared([1.0, 0.0, 0.0], 4, 0.001) == [4, 0, 0]
    assert rebase.shared([1.0, 0.0], 3, 1000) == [2, 1]
    assert rebase.shared([], 3, 0.2) == [] and rebase.shared([0.5], 0, 0.2) == [0]


def test_every_finished_path_takes_one_from_the_width_of_rebase():
    world = World(ends={"0/0": "1", "0/3": "1", "1/1": "2"}, scores={"0/1": 0.9, "0/2": 0.3})
    play(Rebase(n=4, depth=4, verifier=REWARD), world)
    assert world.continued(1) == {"0/1": 2}  # of 4, two are finished: ceil(2 * 0.95) = 2
    assert world.continued(2) == {"1/0": 1}  # and a third one
    assert len(world.launches) == 4 + 2 + 1 + 1


def test_particles_are_resampled_by_log_odds_and_seed():
    population, scores = ["a", "b", "c", "d"], {"a": 0.999, "b": 0.5, "c": 0.5}
    counts = Counter(
        name for seed in range(500) for name in particles.resampled(population, scores, f"{seed}/0")
    )
    odds = {"a": 999.0, "b": 1.0, "c": 1.0, "d": 1e-7}
    for name in "ab":
        assert counts[name] / 2000 == pytest.approx(odds[name] / sum(odds.values()), abs=0.002)
    assert not counts["d"]
    assert particles.resampled(population, {}, "1/0") == particles.resampled(population, {}, "1/0")
    assert len(set(particles.resampled(population, dict.fromkeys("abcd", 1.0), "3/1"))) > 1


def test_a_particle_that_is_finished_may_take_the_place_of_others():
    world = World(scores={"0/2": 1.0, "0/1": 0.0}, ends={"0/2": "9"})
    session = play(Particles(n=3, depth=5, verifier=REWARD), world)
    assert not world.continued(1) and chosen(session).id == "0/2"
    world = World(scores={"0/0": 1.0, "1/1": 1.0}, ends={"0/2": "9"})
    play(Particles(n=3, depth=3, verifier=REWARD), world)
    assert world.continued(1) == {"0/0": 3} and world.continued(2) == {"1/1": 3}


@pytest.mark.parametrize("search", SEARCHES)
def test_siblings_draw_apart_and_the_same_is_asked_again_for_nothing(search):
    policy, indices = search(n=4, depth=3, verifier=REWARD), []
    session = play(policy, World())
    indices = [s.call.index for s in session.known if isinstance(s.call, Step)]
    assert len(set(indices)) == len(indices) >= 12
    assert policy.decide(session.known) == policy.decide(session.known)
    assert all(call.id in session.known for call in policy.decide(session.known).start)


@pytest.mark.parametrize("search", SEARCHES)
def test_without_a_verifier_that_answers_a_plain_majority_of_finished_paths_votes(search):
    ends = {"0/0": "5", "1/0": "8", "1/1": "8", "1/2": "8"}
    world = World(ends=ends, is_dead=True)
    session = play(search(n=4, depth=40, verifier=REWARD), world)
    assert session.outcome is not None and session.outcome.is_degraded
    assert world.continued(1) == {"0/1": 1, "0/2": 1, "0/3": 1}  # each to its end, unled
    assert chosen(session).votes == {"8": 3, "5": 1}
    assert "verifier" in chosen(session).why


@pytest.mark.parametrize("search", SEARCHES)
def test_failed_and_cut_steps_are_no_parents(search):
    def script(launch):
        if launch.call.id in ("0/0", "0/1"):
            raise LookupError("the engine is gone")
        if launch.call.id == "0/2":
            return Result(end="length", finish_reason="length", tokens=5, thinking_tokens=5)
        return world(launch)

    world = World(scores={"0/2": 1.0})
    session = play(search(n=4, depth=2, verifier=REWARD), script)
    parents = {s.call.parent for s in session.known if isinstance(s.call, Step)}
    assert parents == {None, "0/3"} and chosen(session).id.startswith("1/")
    dead = play(search(n=4, verifier=REWARD), {})
    assert dead.outcome is not None and dead.outcome.choice is None


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("verifier", [REWARD, Process()], ids=["reward", "process"])
def test_a_search_answers_before_its_calls_run_out(search, verifier):
    """Paths never end by themselves; n * depth and its scores are more than a run may call."""

    def script(launch):
        call = launch.call
        if isinstance(call, Reward):
            return Result(scores=(0.5,))
        if isinstance(call, Chat):
            return Result(answer="Yes", tokens=1)
        if call.ends_thinking:
            return Result(thinking="end", vote="3", answer="3", tokens=6, thinking_tokens=4)
        return Result(thinking="step", end="open", tokens=5, thinking_tokens=5)

    for n in (256, 1024):
        session = play(search(n=n, depth=40, verifier=verifier), script, concurrency=n)
        assert chosen(session).votes or chosen(session).scores
        assert not chosen(session).is_degraded
        assert len(session.known.samples) <= MOST_CALLS


@pytest.mark.parametrize("search", SEARCHES)
def test_what_cannot_lead_a_search_is_refused(search):
    with pytest.raises(UserError, match=f"{search.name} needs a verifier that scores steps"):
        search(verifier=Judge())
    for wrong in ({"n": 0}, {"n": 10_000}, {"depth": 0}, {"aggregate": "max"}, {"vote": "all"}):
        with pytest.raises(UserError):
            search(verifier=REWARD, **wrong)
    if search in (Beam, Dvts):
        with pytest.raises(UserError, match="multiple of width"):
            search(n=6, width=4, verifier=REWARD)


# One step, on a model that is a hash of its tokens.


def planned(maximum=40, minimum=0, extends=0, extend_with=((2, 2),)):
    return Plan(
        maximum=maximum, minimum=minimum, extends=extends, extend_with=extend_with,
        room=maximum + 20, delimiters=MARKS,
    )  # fmt: skip


def whole(prompt, plan, model):
    """Give the outcome of uninterrupted thinking."""
    steps = machine(prompt, plan)
    request = next(steps)
    try:
        while True:
            request = steps.send(model.complete([request])[0])
    except StopIteration as stop:
        return stop.value


def run(call, path, bounds, model, parts=lambda ids: None):
    """Run one step; `parts` says how many of a leg's tokens belong to it, if it ends there."""
    steps = walk(call, path, bounds)
    leg = next(steps)
    try:
        while True:
            (completion,) = model.complete([leg.request])
            kept = parts(completion.token_ids) if leg.parts else None
            said = Said(completion.token_ids, completion.finish_reason)
            if kept is not None and kept < len(completion.token_ids):
                said = Said(completion.token_ids[:kept], "step", surplus=1)
            leg = steps.send(said)
    except StopIteration as stop:
        return stop.value


BUDGETS = [
    planned(), planned(maximum=0), planned(maximum=5), planned(minimum=9), planned(extends=2),
    planned(maximum=12, minimum=10, extends=1), planned(minimum=8, extend_with=((),)),
]  # fmt: skip


@pytest.mark.parametrize("plan", BUDGETS, ids=range(len(BUDGETS)))
@pytest.mark.parametrize("parts", [lambda ids: 3, lambda ids: None], ids=["boundaries", "limits"])
def test_a_path_of_steps_thinks_what_one_answer_thinks(plan, parts):
    for first in range(40):
        model, prompt = FakeModel(), (first % 4, first // 4, 9)
        expected = whole(prompt, plan, model)
        thinking, extends, samples = (), 0, []
        for number in range(60):
            call = Step(id=str(number), max_tokens=4)
            path = Path.of(prompt, samples)
            step = run(call, path, Bounds(plan=plan), model, parts)
            thinking += step.thinking_ids
            extends += step.extends
            result = Result(token_ids=step.thinking_ids, extends=step.extends, end=step.end)
            samples.append(Sample(call=call, state="finished", result=result))
            if step.end != "open":
                break
        assert (thinking, extends) == (expected.thinking_ids, expected.extends)
        assert (step.end, step.ending_ids) == (expected.end, expected.ending_ids)
        assert step.answer == Completion(
            token_ids=expected.answer_ids, finish_reason=expected.finish_reason
        )


@pytest.mark.parametrize("plan", BUDGETS, ids=range(len(BUDGETS)))
@pytest.mark.parametrize("ends_thinking", [False, True])
def test_a_step_never_passes_its_cap(plan, ends_thinking):
    least = len(MARKS.cut) + 3
    for cap in range(least, 40):
        for first in range(8):
            call = Step(id="0", max_tokens=6, ends_thinking=ends_thinking)
            bounds = Bounds(plan=plan, cap=cap, reserve=2)
            path = Path(prompt_ids=(first, 9))
            step = run(call, path, bounds, FakeModel(), lambda ids: 4)
            assert step.tokens <= cap
            assert len(step.thinking_ids) <= plan.maximum
            assert step.end != "open" or not ends_thinking


HEADED = replace(MARKS, header=(1, 2, 3))
ROOM = [
    # tokens kept for the answer, what a session asks for at least beside the minimum, delimiters
    pytest.param(6, len(MARKS.cut) + 6, MARKS, id="http"),
    pytest.param(6, len(HEADED.header) + len(HEADED.cut) + 6 + 1, HEADED, id="engine"),
]


@pytest.mark.parametrize(("reserve", "least", "marks"), ROOM)
@pytest.mark.parametrize("minimum", [0, 1, 10, 25])
@pytest.mark.parametrize("extends", [0, 3])
@pytest.mark.parametrize(
    "policy",
    [
        Beam(n=8, verifier=REWARD), Rebase(n=4, verifier=REWARD),
        Dvts(n=16, verifier=REWARD), Particles(n=8, verifier=REWARD),
    ],
    ids=lambda policy: policy.name,
)  # fmt: skip
def test_a_search_that_can_pay_for_an_answer_has_one(
    policy, minimum, extends, reserve, least, marks
):
    plan = replace(planned(maximum=200, minimum=minimum, extends=extends), delimiters=marks)
    policy, least = replace(policy, step_tokens=12), least + minimum

    def script(launch):
        call = launch.call
        if isinstance(call, Reward):
            return Result(scores=(0.5,))
        bounds = Bounds(plan=plan, cap=launch.max_tokens, reserve=reserve)
        path = Path.of((call.index, total % 251), launch.path)
        step = run(call, path, bounds, FakeModel(), lambda ids: 7)
        assert step.tokens <= launch.max_tokens
        assert step.end != "open" or launch.max_tokens - step.tokens >= least
        answer = "" if step.answer is None else "3"
        return Result(
            token_ids=step.thinking_ids, tokens=step.tokens, extends=step.extends, end=step.end,
            thinking_tokens=len(step.thinking_ids), answer=answer, vote=answer or None,
        )  # fmt: skip

    for total in range(least, 20 * least, 13):
        session = play(policy, script, total_tokens=total, least=least)
        thought = sum(step.thinking_tokens for step in session.known.path(chosen(session).id))
        assert thought >= minimum
        assert session.tokens.total <= total


def spelled(text):
    return tuple(text.encode())


@pytest.mark.parametrize(
    ("before", "text", "step"),
    [
        ("", "One thing.\nAnother", "One thing.\n"),
        ("", "a\n\n\nb", "a\n\n\n"),
        ("\nGo: n=0", " 1:r=1 2:y", " 1:r=1"),
        ("One thing.\n", "\n\nTwo", None),  # blank lines alone are no step
        ("It is cu", "t here.\nand", "t here.\n"),
        ("", "goes on. and on", None),
    ],
)
def test_a_step_ends_where_the_next_begins(before, text, step):
    watch, kept = Watch(TEXT, spelled(before)), None
    for at, token in enumerate(spelled(text), 1):
        kept = watch.feed((token,))
        if kept is not None:
            assert text[:kept] == step and at - kept <= len(" 2:")
            break
    assert (kept is None) == (step is None)
    assert Watch(TEXT, spelled(before)).feed(spelled(text)) == kept
