"""Runs from policies to samples on disk: what is asked, in which order, and what is never mixed."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from factories import question
from s1_core import chat
from s1_core.errors import Interrupted, UserError
from s1_serve.budget import loop
from s1_serve.budget.work import Planned
from s1_serve.completions import Completion, Sampling
from s1_serve.endpoint import Unavailable
from s1_serve.evaluate.config import METHODS, EvaluateConfig
from s1_serve.evaluate.run.asks import Answered
from s1_serve.evaluate.run.policies import first, policy
from s1_serve.evaluate.run.runner import Run, Runner
from s1_serve.evaluate.run.sources import Opened
from s1_serve.evaluate.run.sweep import Sweep
from s1_serve.evaluate.run.tokens import Tokens
from s1_serve.evaluate.settings import Setting, settings
from unit.serve.fake_model import TEXT, FakeModel, speech

QUESTIONS = tuple(question(f"What is {n} + {n}?") for n in range(5))
LONG = question("12 " * 400)
BUDGET = Setting(method="budget", max=20)
EXTENDED = Setting(method="extends", max=20, extends=2, extend_with="Wait")
SAMPLED = Setting(method="majority", max=20, num_samples=3, temperature=0.7)
REJECTION = Setting(method="rejection", max=3, tries=4, temperature=0.7)
GREEDY = [
    Setting(method=f"{extends} at {most}", max=most, extends=extends, extend_with="Wait")
    for most in (0, 2, 7, 20)
    for extends in (0, 1, 3)
]


class Drawing(FakeModel):
    """Says something else for every seed, as sampling does."""

    def _tokens(self, request):
        if not request.sampling.is_greedy:
            salt = request.sampling.seed.to_bytes(4, "big")
            request = replace(request, prompt_ids=(*salt, *request.prompt_ids))
        return super()._tokens(request)


class Dying(Drawing):
    """Goes away after so many answers."""

    left = 10**9

    def complete(self, requests):
        if self.left == 0:
            raise Unavailable("no answer from here")
        self.left -= 1
        return super().complete(requests)


def answering(worker, **changes):
    return Tokens(worker, speech(), **{"keeps_plans": False, "shares": False, **changes})


def runner(worker, folder, identity=None, seed=0, **changes):
    return Runner(answering(worker, **changes), Path(folder), identity or {"model": "m"}, seed)


def runs(*wanted, questions=QUESTIONS, benchmark="sums"):
    return [Run(setting, benchmark, questions) for setting in wanted]


def samples(found):
    return [sample for one in found for sample in one.samples]


def alone(setting, asked):
    """What the loop says, driven by hand."""
    plan = speech().plan(first(setting, asked, 0))
    prompt = TEXT.encode(chat.generation_prompt(chat.FORMATS["s1"], asked.question))
    return loop.drive([loop.machine(prompt, plan)], FakeModel())[0], plan


# Policies


def answered(end, tokens):
    return Answered(
        thinking="", answer="", thinking_tokens=1, output_tokens=tokens, end=end, extends=0,
        finish_reason="stop", maximum=3, seconds=0.5,
    )  # fmt: skip


def drive(setting, answers):
    """Give a policy answers until it takes one; the asks and what was taken."""
    steps, asks = policy(setting, QUESTIONS[0], 7), []
    ask = next(steps)
    for answer in answers:
        asks.append(ask)
        try:
            ask = steps.send(answer)
        except StopIteration as stop:
            return asks, stop.value
    raise AssertionError("the policy wants more than it may")


@given(st.lists(st.sampled_from(["natural", "budget", "length"]), min_size=6), st.integers(1, 6))
def test_rejection_takes_the_first_natural_end_or_the_last_try(ends, tries):
    answers = [answered(end, 10 + index) for index, end in enumerate(ends)]
    asks, taken = drive(replace(REJECTION, tries=tries), answers)
    wanted = next((n for n, end in enumerate(ends, 1) if end == "natural"), tries)
    assert len(asks) == taken.tries == min(wanted, tries)
    assert taken.answered == answers[taken.tries - 1]
    assert taken.total_tokens == sum(one.output_tokens for one in answers[: taken.tries])
    assert taken.seconds == 0.5 * taken.tries
    assert len({ask.sampling.seed for ask in asks}) == len(asks), "every try is another draw"
    assert len({replace(ask, sampling=Sampling()) for ask in asks}) == 1


@pytest.mark.parametrize("end", ["natural", "budget", "length"])
@pytest.mark.parametrize("setting", [BUDGET, EXTENDED, SAMPLED, Setting(method="none", max=None)])
def test_every_other_method_takes_its_first_answer(setting, end):
    asks, taken = drive(setting, [answered(end, 9)])
    assert len(asks) == taken.tries == 1
    assert (taken.answered.end, taken.total_tokens) == (end, 9)


def test_rejected_tries_are_drawn_again_and_paid_for(tmp_path):
    model = Drawing()
    many = tuple(question(f"What is {n} - {n}?") for n in range(40))
    rows = samples(runner(model, tmp_path).run(runs(REJECTION, questions=many)))
    assert {row.tries for row in rows} >= {1, 2, 4}
    for row in rows:
        assert row.end == "natural" or row.tries == 4
        assert row.thinking_tokens < 3 or row.end == "budget"
        assert (row.total_tokens > row.output_tokens) == (row.tries > 1)
    assert any(row.end == "budget" for row in rows), "the cap was reached"


# One queue


@examples(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(GREEDY), min_size=1, unique=True),
    st.integers(1, 5),
    st.booleans(),
    st.booleans(),
)
def test_all_runs_at_once_are_what_each_question_gets_alone(wanted, count, shares, keeps_plans):
    with tempfile.TemporaryDirectory() as folder:
        one = runner(FakeModel(), folder, shares=shares, keeps_plans=keeps_plans)
        found = one.run(runs(*wanted, questions=QUESTIONS[:count]))
    assert [each.run.setting for each in found] == wanted
    for each in found:
        assert [row.question_id for row in each.samples] == [q.id for q in QUESTIONS[:count]]
        for row, asked in zip(each.samples, QUESTIONS, strict=False):
            outcome, plan = alone(each.run.setting, asked)
            text = TEXT.decode(outcome.thinking_ids + outcome.ending_ids + outcome.answer_ids)
            assert (row.thinking, row.answer) == chat.split(chat.FORMATS["s1"], text)
            assert (row.end, row.used_extends) == (outcome.end, outcome.extends)
            assert row.thinking_tokens == len(outcome.thinking_ids) <= row.max == plan.maximum
            assert row.output_tokens == row.total_tokens == len(outcome.output_ids)
            assert (row.run, row.benchmark, row.sample) == (each.run.setting.label, "sums", 0)


def test_the_longest_comes_first(tmp_path):
    wanted = [Setting(method="budget", max=most) for most in (4, 40, 8, -1)]
    model = FakeModel()
    runner(model, tmp_path).run(runs(Setting(method="none", max=None), *wanted))
    asked = [request.max_tokens for (request,) in model.batches[: 5 * len(QUESTIONS)]]
    longest, budgets = asked[: 2 * len(QUESTIONS)], asked[2 * len(QUESTIONS) :]
    assert min(longest) > 500 and budgets == [40] * 5 + [8] * 5 + [4] * 5


@pytest.mark.parametrize("rising", [True, False])
def test_shared_answers_cost_the_same_in_any_order_of_the_runs(tmp_path, rising):
    def generated(wanted, shares):
        model = FakeModel()
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        runner(model, folder, shares=shares).run(runs(*wanted))
        return model.num_generated

    wanted = sorted(GREEDY, key=lambda setting: setting.max or 0, reverse=not rising)
    shared = generated(wanted, True)
    assert shared == generated(GREEDY, True)
    assert shared < 0.6 * generated(wanted, False)


def test_samples_of_one_question_have_seeds_of_their_own(tmp_path):
    rows = samples(runner(Drawing(), tmp_path).run(runs(SAMPLED)))
    assert [(row.question_id, row.sample) for row in rows] == [
        (asked.id, number) for asked in QUESTIONS for number in range(3)
    ]
    assert len({row.seed for row in rows}) == len(rows)
    assert len({(row.thinking, row.answer) for row in rows}) > len(QUESTIONS)


# Resume


def asked(model):
    """The questions that a model was asked."""
    texts = [TEXT.decode(request.prompt_ids) for (request,) in model.batches]
    return {q.question for q in (*QUESTIONS, LONG) if any(q.question in text for text in texts)}


def journals(folder):
    return {file.name: file.read_bytes() for file in Path(folder).glob("*.jsonl")}


def test_only_what_is_missing_is_asked(tmp_path):
    whole = runner(Drawing(), tmp_path / "whole").run(runs(BUDGET, SAMPLED))
    folder = tmp_path / "grown"
    runner(Drawing(), folder).run(runs(BUDGET, replace(SAMPLED, num_samples=1)))
    before, model = journals(folder), Drawing()
    runner(model, folder).run(runs(BUDGET, SAMPLED, questions=QUESTIONS[:3]))
    assert len(asked(model)) == 3 and len(journals(folder)) == 2
    found = runner(model := Drawing(), folder).run(runs(BUDGET, SAMPLED))
    assert samples(found) == samples(whole) and len(asked(model)) == 2
    after, silent = journals(folder), Drawing()
    assert all(after[name].startswith(content) for name, content in before.items())
    lines = b"".join(after.values()).splitlines()
    assert len(lines) == 5 + 5 * 3, "nothing twice"
    assert samples(runner(silent, folder).run(runs(BUDGET, SAMPLED))) == samples(whole)
    assert silent.batches == []


@examples(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.booleans())
def test_a_worker_that_dies_keeps_what_is_finished(left, shares):
    wanted = runs(BUDGET, EXTENDED, SAMPLED, REJECTION, questions=QUESTIONS[:3])
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as folder:
        expected = samples(runner(Drawing(), whole, shares=shares).run(wanted))
        dying = Dying()
        dying.left = left
        try:
            runner(dying, folder, shares=shares).run(wanted)
        except Interrupted as error:
            assert "run the same command again" in str(error) and error.exit_code == 75
        before = journals(folder)
        assert samples(runner(Drawing(), folder, shares=shares).run(wanted)) == expected
        after = journals(folder)
        assert all(after[name].startswith(content) for name, content in before.items())
        assert len(b"".join(after.values()).splitlines()) == len(expected)


@examples(max_examples=40, deadline=None)
@given(st.floats(0, 1))
def test_a_journal_torn_anywhere_gives_the_same_samples(share):
    with tempfile.TemporaryDirectory() as folder:
        expected = samples(runner(FakeModel(), folder).run(runs(BUDGET)))
        (file,) = Path(folder).glob("*.jsonl")
        content = file.read_bytes()
        torn = content[: round(share * len(content))]
        file.write_bytes(torn)
        model = FakeModel()
        assert samples(runner(model, folder).run(runs(BUDGET))) == expected
        kept = torn[: torn.rfind(b"\n") + 1]
        assert file.read_bytes().startswith(kept)
        assert len(asked(model)) == len(QUESTIONS) - kept.count(b"\n")
        assert len(file.read_bytes().splitlines()) == len(QUESTIONS)
        runner(silent := FakeModel(), folder).run(runs(BUDGET))
        assert silent.batches == [], "no line is glued to a torn one"


class Weighing(Drawing):
    """Tells a mean logprob where one is wanted."""

    def work(self, jobs, done):
        wanted = {}

        def noted():
            for key, job in jobs:
                wanted[key] = isinstance(job, Planned) and job.wants_logprob
                yield key, job

        def weighed(key, result, seconds):
            return done(key, replace(result, mean_logprob=-0.5) if wanted[key] else result, seconds)

        super().work(noted(), weighed)


def test_samples_that_vote_are_stored_with_their_mean_logprob_and_no_others(tmp_path):
    found = runner(Weighing(), tmp_path, keeps_plans=True).run(runs(SAMPLED, BUDGET, REJECTION))
    told = {one.run.setting.method: {row.mean_logprob for row in one.samples} for one in found}
    assert told == {"majority": {-0.5}, "budget": {None}, "rejection": {None}}
    (served,) = runner(Weighing(), tmp_path / "served").run(runs(SAMPLED))
    assert {row.mean_logprob for row in served.samples} == {None}, "a server says none"


def test_samples_stored_without_a_mean_logprob_are_kept(tmp_path):
    few = replace(SAMPLED, num_samples=2)
    before = samples(runner(Drawing(), tmp_path, keeps_plans=True).run(runs(few)))
    after = samples(runner(Weighing(), tmp_path, keeps_plans=True).run(runs(SAMPLED)))
    assert [row for row in after if row.sample < 2] == before
    assert {(row.sample, row.mean_logprob) for row in after} == {(0, None), (1, None), (2, -0.5)}


@pytest.mark.parametrize("line", ["", "{}", "[]", "null", '{"seconds": 1, "sample": {}}', "\x00"])
def test_a_line_that_is_no_sample_is_answered_again(tmp_path, line):
    expected = samples(runner(FakeModel(), tmp_path).run(runs(BUDGET)))
    (file,) = tmp_path.glob("*.jsonl")
    first, *others = file.read_text().splitlines()
    file.write_text("\n".join([line, *others]) + "\n")
    model = FakeModel()
    assert samples(runner(model, tmp_path).run(runs(BUDGET))) == expected
    assert model.batches and json.loads(file.read_text().splitlines()[-1]) == json.loads(first)


@pytest.mark.parametrize(
    "changes",
    [
        {"setting": replace(EXTENDED, extends=1)},
        {"setting": replace(EXTENDED, extend_with="Hmm")},
        {"setting": replace(EXTENDED, max=19)},
        {"setting": replace(EXTENDED, min=1)},
        {"setting": replace(EXTENDED, method="budget")},
        {"setting": replace(EXTENDED, temperature=0.1)},
        {"setting": replace(EXTENDED, tries=2)},
        {"setting": replace(EXTENDED, control="tokens", limit=9)},
        {"seed": 1},
        {"identity": {"model": "other"}},
        {"benchmark": "others"},
        {"is_alone": True},
    ],
)
def test_what_is_changed_never_meets_old_samples(tmp_path, changes):
    def num_asked(setting=EXTENDED, benchmark="sums", is_alone=False, **others):
        model = Drawing()
        runner(model, tmp_path, **others).run([Run(setting, benchmark, QUESTIONS, is_alone)])
        return len(asked(model))

    assert (num_asked(), num_asked()) == (len(QUESTIONS), 0)
    assert (num_asked(**changes), num_asked(**changes)) == (len(QUESTIONS), 0)
    assert num_asked() == 0, "the old samples are still there"


# Questions without room


def test_a_question_without_room_is_refused_by_name(tmp_path):
    wanted = runs(BUDGET, questions=(*QUESTIONS, LONG))
    message = f"budget 20, question {LONG.id} of sums: no room .* --too_long wrong"
    with pytest.raises(UserError, match=message):
        runner(FakeModel(), tmp_path).check(wanted, refuses=True)
    assert not journals(tmp_path)


def test_or_it_counts_as_wrong_without_being_asked(tmp_path):
    model = FakeModel()
    one, wanted = runner(model, tmp_path), runs(BUDGET, SAMPLED, questions=(LONG, *QUESTIONS))
    assert one.check(wanted, refuses=False) == 1 + SAMPLED.num_samples
    rows = samples(one.run(wanted))
    empty = [row for row in rows if row.question_id == LONG.id]
    assert {(row.answer, row.end, row.finish_reason, row.output_tokens) for row in empty} == {
        ("", "length", "length", 0)
    }
    assert len(empty) == 4 and len(rows) == 6 * 4
    assert asked(model) == {one.question for one in QUESTIONS}


def test_an_extend_string_that_ends_thinking_is_no_question_without_room(tmp_path):
    wanted = runs(replace(EXTENDED, extend_with=chat.TURN_END))
    with pytest.raises(UserError, match="leave control tokens out"):
        runner(FakeModel(), tmp_path).check(wanted, refuses=False)


# The check of what was shared


class Liar(FakeModel):
    """Keeps a plan as it should, and answers a request by itself with another last word."""

    def work(self, jobs, done):
        queue = list(jobs)
        while queue:
            key, job = queue.pop(0)
            if isinstance(job, Planned):
                (result,) = loop.drive([loop.machine(job.prompt_ids, job.plan)], self)
            else:
                result = changed(self.complete([job])[0])
            queue += done(key, result, 1.0)


class Unsteady(FakeModel):
    """A completion cut shorter is no prefix of the longer one, as at a server of any batch."""

    def complete(self, requests):
        salted = [replace(r, prompt_ids=(r.max_tokens % 251, *r.prompt_ids)) for r in requests]
        return super().complete(salted)


def changed(completion):
    if not completion.token_ids:
        return completion
    *ids, last = completion.token_ids
    return Completion(token_ids=(*ids, (last + 1) % 4), finish_reason=completion.finish_reason)


def config(**changes):
    values = {
        "model": "m", "benchmark": ("sums",), "out": "o", "budgets": [0, 2, 20],
        "extends": [0, 1], "control_arms": [], "max": 20, "votes": [1, 2], "workers": 1,
    }  # fmt: skip
    return EvaluateConfig(**{**values, **changes})


def sweep(worker, folder, keeps_plans=True, shares=True, questions=QUESTIONS, **changes):
    source = Opened(
        answerer=answering(worker, keeps_plans=keeps_plans, shares=shares),
        identity={"model": "m"},
        facts=dict,
        shares=shares,
        is_limited=changes.pop("is_limited", False),
    )
    return Sweep(config(**changes), source, {"sums": questions}, Path(folder)).measure()


def ungraded(measured):
    return [
        replace(row, extracted=None, is_correct=False, graded_by="rules")
        for one in measured
        for row in one.samples
    ]


@pytest.mark.parametrize("keeps_plans", [True, False])
def test_a_worker_that_does_not_lie_is_believed(tmp_path, keeps_plans):
    measured, told = sweep(FakeModel(), tmp_path / "a", keeps_plans)
    assert told["shortcuts"]["differing"] == 0 and told["shortcuts"]["checked"] >= 5
    assert told["shortcuts"]["shared"] == 5 * len(QUESTIONS)
    found, _ = sweep(FakeModel(), tmp_path / "b", keeps_plans, shares=False)
    assert ungraded(measured) == ungraded(found)


@pytest.mark.parametrize(("worker", "keeps_plans"), [(Liar, True), (Unsteady, False)])
def test_a_worker_whose_shared_answers_differ_is_asked_for_each_alone(
    tmp_path, worker, keeps_plans
):
    many = {"questions": tuple(question(f"What is {n} + {n}?") for n in range(60))}
    measured, told = sweep(worker(), tmp_path / "shared", keeps_plans, **many)
    assert told["shortcuts"]["differing"] > 0
    honest, none = sweep(worker(), tmp_path / "alone", keeps_plans, shares=False, **many)
    assert none["shortcuts"] is None
    assert ungraded(measured) == ungraded(honest)
    model = worker()
    again, _ = sweep(model, tmp_path / "shared", keeps_plans, **many)
    assert ungraded(again) == ungraded(measured) and model.batches == []


def test_shared_answers_on_disk_are_not_those_of_a_run_that_shares_nothing(tmp_path):
    sweep(Liar(), tmp_path)
    measured, _ = sweep(Liar(), tmp_path, shares=False)
    honest, _ = sweep(Liar(), tmp_path / "fresh", shares=False)
    assert ungraded(measured) == ungraded(honest)


def test_one_answer_in_twenty_is_checked_and_at_least_one_of_a_run(tmp_path):
    many = tuple(question(f"What is {n} * {n}?") for n in range(400))
    one, model = runner(FakeModel(), tmp_path / "a"), FakeModel()
    wanted = [Setting(method="budget", max=most) for most in (0, 2)]
    found = one.run(runs(*wanted, questions=many))
    checked, wrong = one.differing(found)
    assert wrong == {} and 20 <= checked <= 60
    grown = runner(model, tmp_path / "b")
    few = [replace(each, run=replace(each.run, questions=many[:3])) for each in found]
    assert grown.differing(few)[0] >= 2
    known = runner(model := FakeModel(), tmp_path / "a")
    assert known.differing(found) == (checked, {}) and model.batches == []


@pytest.mark.parametrize("is_limited", [True, False])
def test_a_method_that_cannot_be_had_is_left_out_only_where_the_server_is_the_reason(
    tmp_path, is_limited
):
    wanted = {"methods": ("none", "steps+budget"), "is_limited": is_limited}
    if not is_limited:
        with pytest.raises(UserError, match=r"method steps\+budget cannot be measured here"):
            sweep(FakeModel(), tmp_path, **wanted)
        return
    measured, told = sweep(FakeModel(), tmp_path, **wanted)
    assert [one.setting.method for one in measured] == ["none"]
    assert [one["method"] for one in told["skipped"]] == ["steps+budget"]
    with pytest.raises(UserError, match=r"steps\+budget: .* forces a countdown"):
        sweep(FakeModel(), tmp_path, **wanted | {"methods": ("steps+budget",)})


def test_every_method_runs_on_one_queue(tmp_path):
    changes = {
        "methods": tuple(method for method in METHODS if method != "steps+budget"),
        "class_limit": 6, "token_limits": [4], "step_limits": [4], "rejection_budgets": [3],
    }  # fmt: skip
    measured, _ = sweep(Drawing(), tmp_path, **changes)
    assert [one.setting for one in measured] == settings(config(**changes))
    assert all(one.is_enforced for one in measured)
    long = [one for one in measured if one.setting.label == "classes+budget long"]
    assert all(row.thinking_tokens >= 6 for row in long[0].samples)
