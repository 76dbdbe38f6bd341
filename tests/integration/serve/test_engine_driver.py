"""Strategies over the engine in this process: the driver's answers are the engine's own."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest

from integration.serve.test_engine import prompts
from s1_core import chat, steps
from s1_core.errors import UserError
from s1_serve.completions import Sampling
from s1_serve.config import ThinkingBudget
from s1_serve.evaluate.run.asks import Ask as Asked
from s1_serve.evaluate.run.tokens import Speech, Tokens
from s1_serve.strategies.calls import Call, Chat, Step
from s1_serve.strategies.engine_driver import Ask, EngineDriver, Mind
from s1_serve.strategies.known import Known
from s1_serve.strategies.parallel.majority import Majority
from s1_serve.strategies.parallel.shortest import Shortest
from s1_serve.strategies.policy import WAIT, Choice, Decision
from s1_serve.strategies.search.beam import Beam
from s1_serve.strategies.session import Limits, Session
from s1_serve.strategies.verifiers.reward import RewardModel
from s1_serve.text import Codec

pytestmark = pytest.mark.engine
ANSWER_TOKENS = 16
QUESTIONS = [f"How many {letter} in raspberry, and why is it so?" for letter in "rasp"]
WARM = Sampling(temperature=1.0, seed=7)


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """A policy of the tests: rounds of calls one after the other, stopped ones named."""

    name: ClassVar[str] = "rounds"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    rounds: Sequence[tuple[Call, ...]]
    stops: str = ""
    """A call that is stopped once the first one of the round has ended."""

    def decide(self, known: Known) -> Decision:
        for calls in self.rounds:
            if calls[0].id not in known:
                return Decision(start=calls)
            live = [call.id for call in calls if known[call.id].is_live]
            if self.stops in live and known.ended:
                return Decision(abort=(self.stops,))
            if live:
                return WAIT
        return Decision(answer=self.best(known))

    def best(self, known: Known) -> Choice | None:
        return Choice(id=known.ended[0], why="the first") if known.ended else None


@dataclass(frozen=True, kw_only=True)
class Greedy(Rounds):
    """A path of steps to its end."""

    rounds: Sequence[tuple[Call, ...]] = ()
    step_tokens: int = 256
    taken: list[str] = field(default_factory=list)

    def decide(self, known: Known) -> Decision:
        path = list(known)
        if path and path[-1].is_live:
            return WAIT
        if path and path[-1].result.end != "open":
            return Decision(answer=Choice(id=path[-1].id, why="it has ended"))
        parent = path[-1].id if path else None
        step = Step(id=str(len(path)), parent=parent, max_tokens=self.step_tokens)
        return Decision(start=(step,))


@pytest.fixture
def speech(engine):
    model = engine.model
    return Speech(
        format=model.format, codec=model.text, stop_ids=model.stop_ids, context=engine.context,
        answer_tokens=ANSWER_TOKENS,
    )  # fmt: skip


def run(engine, speech, asks, **options):
    sessions = {}

    def done(key, session, seconds):
        sessions[key] = session
        assert seconds > 0
        return ()

    EngineDriver(Mind(engine=engine, speech=speech), **options).run(enumerate(asks), done)
    assert not engine._open and not engine._vllm.has_unfinished_requests()
    assert len(engine.board._free) == engine.board.num_slots
    return [sessions[key] for key in range(len(asks))]


def ask(policy, question=QUESTIONS[0], budget=None, limits=None, **fields):
    session = Session(policy, limits or Limits(), Known(question=question, seed=3))
    values = {"sampling": WARM} | fields
    budget = budget or ThinkingBudget(max=40)
    return Ask(question=question, session=session, budget=budget, **values)


BUDGETS = [
    ThinkingBudget(max=40),
    ThinkingBudget(),
    ThinkingBudget(max=60, min=10, extends=2),
    ThinkingBudget(max=0),
]


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_samples_of_many_sessions_equal_the_engine_s_own_answers(engine, speech, budget):
    asks = [ask(Majority(n=5), question, budget) for question in QUESTIONS]
    for question, session in zip(QUESTIONS, run(engine, speech, asks), strict=True):
        plans = [
            speech.plan(Asked(question=question, budget=budget, sampling=WARM.fanned(index)))
            for index in range(5)
        ]
        outcomes = engine.answer([speech.prompt(question)] * 5, plans)
        for index, outcome in enumerate(outcomes):
            result = session.known[str(index)].result
            ids = outcome.thinking_ids + outcome.ending_ids + outcome.answer_ids
            thinking, answer = chat.split(speech.format, speech.codec.decode(ids))
            assert (result.thinking, result.answer) == (thinking.strip(), (answer or "").strip())
            assert result.token_ids == outcome.thinking_ids
            assert (result.end, result.extends) == (outcome.end, outcome.extends)
            assert result.tokens == len(ids) + (outcome.finish_reason == "stop")
        assert len({sample.result.token_ids for sample in session.known}) > 1 or budget.max == 0


def test_samples_of_one_prompt_cost_one_prefill(engine, speech):
    (session,) = run(engine, speech, [ask(Majority(n=6), QUESTIONS[1] + " " + QUESTIONS[2])])
    results = [sample.result for sample in session.known]
    prompt = results[0].prompt_tokens
    cached = [result.cached_tokens for result in results]
    assert prompt > 64
    assert sum(prompt - count for count in cached) <= prompt + 5 * 32  # blocks have 32 tokens


def test_what_a_call_asks_for_replaces_what_the_request_does(engine, speech):
    calls = (
        Chat(id="plain"),
        Chat(id="seeded", index=4, overrides={"seed": 7}),
        Chat(id="cold", overrides={"temperature": 0.0, "thinking_token_budget": 3}),
        Chat(id="under", under="Think again."),
        Chat(id="judge", under="Is it right?", is_verifier=True, overrides={"max_tokens": 40}),
        Chat(id="odd", overrides={"penalty": 1}),
        Chat(id="elsewhere", model="other"),
    )
    (session,) = run(engine, speech, [ask(Rounds(rounds=[calls]), budget=ThinkingBudget(max=20))])
    known = session.known
    assert known["plain"].result.token_ids == known["seeded"].result.token_ids
    assert known["cold"].result.thinking_tokens <= 3
    longer = len(speech.prompt(f"{QUESTIONS[0]}\n\nThink again."))
    assert known["under"].result.prompt_tokens == longer > known["plain"].result.prompt_tokens
    assert known["judge"].tokens <= 40 and session.tokens.verifier == known["judge"].tokens
    assert "penalty" in known["odd"].failure and "other" in known["elsewhere"].failure


def test_likelihoods_are_those_of_the_model_without_what_was_forced(engine, speech):
    calls = tuple(Chat(id=str(n), index=n, top_logprobs=n) for n in range(3))
    budget = ThinkingBudget(max=30, extends=2)
    (session,) = run(engine, speech, [ask(Rounds(rounds=[calls]), budget=budget)])
    none, own, top = session.known
    assert none.result.mean_logprob is None and not none.confidences and not own.confidences
    assert -20 < own.result.mean_logprob < 0 and -20 < top.result.mean_logprob < 0
    assert len(top.confidences) == top.result.tokens
    assert all(0 < confidence < 20 for confidence in top.confidences)


def test_a_sampled_answer_and_a_call_of_a_strategy_are_equally_likely(engine, speech):
    asked = Asked(question=QUESTIONS[0], budget=ThinkingBudget(max=30, extends=2), sampling=WARM)
    asks, found = [replace(asked, wants_logprob=wants) for wants in (True, False)], {}
    answerer = Tokens(engine, speech, keeps_plans=True)
    answerer.work(enumerate(asks), lambda key, answered: found.update({key: answered}) or ())
    call = Chat(id="0", top_logprobs=1)
    (session,) = run(engine, speech, [ask(Rounds(rounds=[(call,)]), budget=asked.budget)])
    likely = session.known["0"].result.mean_logprob
    assert found[0].mean_logprob == pytest.approx(likely) and found[1].mean_logprob is None
    one, other = (replace(each, mean_logprob=None, seconds=0.0) for each in found.values())
    assert one == other, "its tokens are what they are without"


def test_greedy_mean_logprob_is_near_the_top(engine, speech):
    call = Chat(id="0", top_logprobs=2)
    greedy = ask(Rounds(rounds=[(call,)]), budget=ThinkingBudget(max=30), sampling=Sampling())
    warm = ask(Rounds(rounds=[(call,)]), budget=ThinkingBudget(max=30))
    found = [session.known["0"].result for session in run(engine, speech, [greedy, warm])]
    assert found[0].mean_logprob > found[1].mean_logprob


def test_a_stopped_sample_frees_its_slot_and_costs_no_more(engine, speech):
    calls = (
        Chat(id="short", overrides={"thinking_token_budget": 2, "max_tokens": 20}),
        Chat(id="long", index=1, overrides={"thinking_token_budget": 300, "num_extends": 50}),
    )
    (session,) = run(engine, speech, [ask(Rounds(rounds=[calls], stops="long"))])
    short, long = session.known["short"], session.known["long"]
    assert long.state == "aborted" and session.counts()["aborted"] == 1
    assert 0 < long.tokens <= short.tokens + 2
    assert session.tokens.total == short.tokens + long.tokens


def test_shortest_hears_of_the_end_of_thinking_and_stops_the_rest(engine, speech):
    (session,) = run(engine, speech, [ask(Shortest(n=8, k=1), budget=ThinkingBudget(max=100))])
    states = [sample.state for sample in session.known]
    assert states.count("finished") == 1 and states.count("aborted") == 7
    winner = next(sample for sample in session.known if sample.is_finished)
    for sample in session.known:
        assert sample.tokens <= winner.tokens + 1


@pytest.mark.parametrize("total", [150, 400])
def test_token_caps_are_never_passed(engine, speech, total):
    least = EngineDriver(Mind(engine=engine, speech=speech)).least
    limits = Limits(total_tokens=total, least=least, concurrency=4)
    budgets = (ThinkingBudget(max=200), ThinkingBudget(), ThinkingBudget(max=90, extends=3))
    asks = [ask(Majority(n=6), budget=budget, limits=limits) for budget in budgets]
    asks += [ask(Greedy(step_tokens=9), budget=budget, limits=limits) for budget in budgets]
    for session in run(engine, speech, asks):
        assert 0 < session.tokens.total <= total
        assert session.outcome is not None and session.outcome.choice is not None
        for sample in session.known:
            assert not sample.is_live


def test_a_deadline_stops_everything_and_answers_with_what_there_is(engine, speech):
    long = ThinkingBudget(max=300, min=250)
    late, none = (
        ask(Majority(n=4), budget=long, deadline_s=0.05),
        ask(Majority(n=4), budget=long, deadline_s=0.0),
    )
    fine = ask(Majority(n=2), QUESTIONS[2])
    sessions = run(engine, speech, [late, none, fine])
    assert [session.outcome.is_degraded for session in sessions[:2]] == [True, True]
    assert {sample.state for session in sessions[:2] for sample in session.known} == {"aborted"}
    assert sessions[1].tokens.total == 0
    assert not sessions[2].known.live and len(sessions[2].known.answered) == 2


STEPS = [ThinkingBudget(max=60), ThinkingBudget(max=50, min=20, extends=1), ThinkingBudget(max=7)]


@pytest.mark.parametrize("budget", STEPS, ids=str)
@pytest.mark.parametrize("step_tokens", [256, 5])
def test_a_path_of_greedy_steps_thinks_what_one_greedy_answer_thinks(
    engine, speech, budget, step_tokens
):
    greedy = Sampling()
    questions = QUESTIONS[:3]
    asks = [ask(Greedy(step_tokens=step_tokens), q, budget, sampling=greedy) for q in questions]
    plans = [speech.plan(Asked(question=q, budget=budget, sampling=greedy)) for q in questions]
    outcomes = engine.answer([speech.prompt(q) for q in questions], plans)
    for session, outcome in zip(run(engine, speech, asks), outcomes, strict=True):
        path = list(session.known)
        ids = sum((sample.result.token_ids for sample in path), ())
        assert ids == outcome.thinking_ids and len(ids) <= budget.max
        last = path[-1].result
        assert last.end == outcome.end
        assert sum(sample.result.extends for sample in path) == outcome.extends
        said = speech.codec.decode(outcome.ending_ids + outcome.answer_ids)
        assert last.answer == (chat.split(speech.format, said)[1] or "").strip()
        assert session.tokens.total >= len(outcome.output_ids)
        for result in (sample.result for sample in path[:-1]):
            assert 0 < len(result.token_ids) <= step_tokens or result.extends


@dataclass(frozen=True)
class Spelling:
    """A codec in whose texts the random model ends sentences now and then."""

    codec: Codec

    def encode(self, text: str) -> tuple[int, ...]:
        return self.codec.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self.codec.decode(ids).translate({ord("r"): ".\n", ord("a"): "\n\n"})


def test_steps_end_at_their_boundaries_and_what_is_behind_them_is_counted(engine, speech):
    speech = replace(speech, codec=Spelling(speech.codec))
    asks = [ask(Greedy(), question, ThinkingBudget(max=300)) for question in QUESTIONS]
    num_open = num_dropped = 0
    for session in run(engine, speech, asks):
        path = list(session.known)
        thinking = "".join(sample.result.thinking for sample in path)
        ends = [len(sample.result.thinking) for sample in path]
        parts, whole = steps.parted(thinking), set()
        for part in parts:
            whole.add(len(part) + max(whole, default=0))
        for number, sample in enumerate(path[:-1], 1):
            assert sample.result.end == "open"
            if len(sample.result.token_ids) < 256:
                num_open += 1
                num_dropped += sample.result.tokens - len(sample.result.token_ids)
                at = sum(ends[:number])
                assert min(abs(at - end) for end in whole) <= 2  # a token may hold a boundary
    assert num_open > 3 and 0 < num_dropped <= 2 * num_open


def test_a_search_runs_on_scores_of_whole_paths(engine, speech):
    asked = []

    def scorer(pairs):
        asked.extend(pairs)
        return [[0.5 + 0.01 * (len(text) % 7) for text in steps.parted(t)] for _, t in pairs]

    policy = Beam(n=4, width=2, depth=4, step_tokens=12, verifier=RewardModel(name="prm"))
    (session,) = run(engine, speech, [ask(policy)], scorers={"prm": scorer})
    (other,) = run(engine, speech, [ask(policy)], scorers={"prm": scorer})
    assert session.outcome is not None and not session.outcome.is_degraded
    assert [s.result.token_ids for s in session.known] == [s.result.token_ids for s in other.known]
    assert session.outcome == other.outcome
    assert {question for question, _ in asked} == {QUESTIONS[0]}
    for sample in session.known:
        if isinstance(sample.call, Step) and len(session.known.path(sample.id)) == 3:
            text = "".join(step.result.thinking for step in session.known.path(sample.id))
            assert (QUESTIONS[0], text) in asked


def test_a_reward_model_that_fails_fails_its_calls_alone(engine, speech):
    def scorer(pairs):
        raise UserError("the reward model is away")

    policy = Beam(n=2, width=2, depth=3, step_tokens=8, verifier=RewardModel(name="prm"))
    for scorers in ({"prm": scorer}, {"prm": lambda pairs: [None for _ in pairs]}, {}):
        (session,) = run(engine, speech, [ask(policy)], scorers=scorers)
        assert session.outcome is not None and session.outcome.is_degraded
        assert session.outcome.choice is not None


def test_more_samples_than_the_engine_holds_wait_their_turn(engine, speech):
    limits = Limits(concurrency=200)
    budget = ThinkingBudget(max=8)
    asks = [ask(Majority(n=100), budget=budget, limits=limits), ask(Majority(n=2), budget=budget)]
    many, few = run(engine, speech, asks)
    assert len(many.known.answered) == 100 and len(few.known.answered) == 2


def test_whoever_leaves_a_run_early_frees_the_engine(engine, speech):
    def done(key, session, seconds):
        raise KeyboardInterrupt

    driver = EngineDriver(Mind(engine=engine, speech=speech))
    asks = [ask(Majority(n=1), budget=ThinkingBudget(max=2)), ask(Majority(n=8))]
    with pytest.raises(KeyboardInterrupt):
        driver.run(enumerate(asks), done)
    assert not engine._open and not engine._vllm.has_unfinished_requests()
    assert prompts(engine, 1) and run(engine, speech, [ask(Majority(n=1))])
