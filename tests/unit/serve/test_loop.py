"""The rules and promises of budget forcing, against a deterministic language model."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_core.errors import UserError
from s1_serve.budget import loop
from s1_serve.budget.plan import Plan
from s1_serve.completions import Completion, CompletionRequest, Sampling
from unit.serve.fake_model import END_OPENS, MARKS, TURN_ENDS, FakeModel, next_id

WAIT = (3, 3)


def a_plan(**changes):
    given_values = {"maximum": 12, "minimum": 0, "extends": 0, "room": 64, "delimiters": MARKS}
    return Plan(**{"extend_with": (WAIT,), **given_values, **changes})


def run(prompt, plan, completer=None):
    return loop.drive([loop.machine(prompt, plan)], completer or FakeModel())[0]


def by_position(prompt, plan):
    """The rules one position at a time, as written: the second implementation to agree with."""
    marks, thinking, used, is_masked_here = plan.delimiters, [], 0, False
    while True:
        t, prefix = len(thinking), [*prompt, *plan.delimiters.header, *thinking]
        if t == plan.maximum:
            end = "budget"
            break
        is_masked = t == 0 or is_masked_here
        token = next_id(prefix, marks.attempt_ids if is_masked else ())
        is_masked_here = False
        if token in marks.attempt_ids:
            extend = plan.extend_with[min(used, len(plan.extend_with) - 1)]
            if (used < plan.extends or t < plan.minimum) and t + len(extend) + 1 <= plan.maximum:
                thinking += extend
                used += 1
                is_masked_here = True
            elif t < plan.minimum:
                is_masked_here = True
            else:
                end = "natural"
                break
        else:
            thinking.append(token)
    ending = marks.end if end == "natural" else marks.cut
    answer, prefix = [], [*prompt, *marks.header, *thinking, *ending]
    while len(marks.header) + len(thinking) + len(ending) + len(answer) < plan.room:
        token = next_id([*prefix, *answer])
        if token in marks.stop_ids:
            return tuple(thinking), end, used, tuple(answer), "stop"
        answer.append(token)
    return tuple(thinking), end, used, tuple(answer), "length"


prompts = st.lists(st.integers(0, 5), min_size=1, max_size=6)
extend_lists = st.lists(
    st.lists(st.integers(0, 3), max_size=3).map(tuple), min_size=1, max_size=3
).map(tuple)


@st.composite
def plans(draw):
    maximum = draw(st.integers(0, 30))
    header = draw(st.sampled_from([(), (2, 1)]))
    return a_plan(
        maximum=maximum,
        minimum=draw(st.integers(0, maximum)),
        extends=draw(st.integers(0, 5)),
        extend_with=draw(extend_lists),
        room=maximum + len(header) + len(MARKS.cut) + draw(st.integers(1, 20)),
        delimiters=replace(MARKS, header=header),
    )


@settings(max_examples=500, deadline=None)
@given(prompts, plans())
def test_the_loop_equals_the_rules_position_by_position(prompt, plan):
    out = run(prompt, plan)
    found = (out.thinking_ids, out.end, out.extends, out.answer_ids, out.finish_reason)
    assert found == by_position(prompt, plan)


@settings(max_examples=300, deadline=None)
@given(prompts, plans())
def test_thinking_stays_within_its_bounds_and_the_ending_is_exact(prompt, plan):
    out = run(prompt, plan)
    assert plan.minimum <= len(out.thinking_ids) <= plan.maximum
    assert out.ending_ids == (MARKS.end if out.end == "natural" else MARKS.cut)
    assert (out.end == "budget") == (len(out.thinking_ids) == plan.maximum)
    assert len(out.output_ids) <= plan.room
    assert out.output_ids[: len(plan.delimiters.header)] == plan.delimiters.header
    assert out.finish_reason == "stop" or len(out.output_ids) == plan.room


@settings(max_examples=300, deadline=None)
@given(prompts, plans(), st.integers(0, 30))
def test_when_the_context_runs_out_the_end_says_so_and_nothing_is_forced(prompt, plan, spare):
    out = run(prompt, plan, FakeModel(context=len(prompt) + len(plan.delimiters.header) + spare))
    if len(out.thinking_ids) < plan.minimum:
        assert out.end == "length"
    if out.end == "length":
        assert (out.ending_ids, out.answer_ids, out.finish_reason) == ((), (), "length")
        assert len(out.thinking_ids) >= spare


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(prompts, plans()), max_size=6))
def test_a_batch_gives_what_each_gives_alone(pairs):
    together = loop.drive([loop.machine(prompt, plan) for prompt, plan in pairs], FakeModel())
    assert together == [run(prompt, plan) for prompt, plan in pairs]


@settings(max_examples=200, deadline=None)
@given(prompts, plans())
def test_streaming_shows_every_token_once_and_marks_the_forced_ones(prompt, plan):
    pieces, stream = [], loop.stream(prompt, plan, FakeModel())
    try:
        while True:
            pieces.append(next(stream))
    except StopIteration as stop:
        out = stop.value
    assert out == run(prompt, plan)
    assert tuple(token for piece in pieces for token in piece.ids) == out.output_ids
    num_forced = sum(len(piece.ids) for piece in pieces if piece.is_forced)
    extends = sum(len(plan.extend_ids(used)) for used in range(out.extends))
    assert num_forced == len(out.header_ids) + extends + len(out.ending_ids)


class Script:
    """A Completer that thinks in fixed rounds; tells the loop's requests."""

    def __init__(self, *rounds):
        self.rounds, self.requests = list(rounds), []

    def complete(self, requests):
        (request,) = requests
        self.requests.append(request)
        tokens, reason = self.rounds.pop(0)
        return [Completion(token_ids=tuple(tokens), finish_reason=reason)]


ANSWER = ([1, 2], "stop")


def test_budget_zero_cuts_at_once():
    script = Script(ANSWER)
    out = run([0], a_plan(maximum=0), script)
    assert (out.thinking_ids, out.ending_ids, out.end) == ((), MARKS.cut, "budget")
    assert script.requests[0].prompt_ids == (0, *MARKS.cut)


def test_the_maximum_comes_before_the_model_s_end():
    # A model that would stop right at t = M is cut, not ended: rule 1 before rule 3.
    out = run([0], a_plan(maximum=3, extends=2), Script(([1, 1, 1], "length"), ANSWER))
    assert (out.end, out.extends, out.ending_ids) == ("budget", 0, MARKS.cut)


def test_an_extend_without_room_for_one_more_thought_is_not_forced():
    fits = run(
        [0], a_plan(maximum=6, extends=1), Script(([1] * 3, "stop"), ([1], "length"), ANSWER)
    )
    assert (fits.extends, fits.end, len(fits.thinking_ids)) == (1, "budget", 6)
    tight = run([0], a_plan(maximum=5, extends=1), Script(([1] * 3, "stop"), ANSWER))
    assert (tight.extends, tight.end, len(tight.thinking_ids)) == (0, "natural", 3)


def test_below_the_minimum_an_extend_without_room_masks_the_attempt():
    script = Script(([1] * 3, "stop"), ([2], "stop"), ANSWER)
    out = run([0], a_plan(maximum=5, minimum=4), script)
    assert (out.thinking_ids, out.extends, out.end) == ((1, 1, 1, 2), 0, "natural")
    assert script.requests[1].prompt_ids == (0, 1, 1, 1)
    assert script.requests[1].min_tokens == 1


def test_the_minimum_may_take_more_extends_than_asked_for():
    script = Script(([1], "stop"), ([1], "stop"), ([1], "stop"), ANSWER)
    out = run([0], a_plan(minimum=7), script)
    assert (out.extends, len(out.thinking_ids)) == (2, 7)


def test_extend_strings_are_used_in_turn_and_the_last_repeats():
    script = Script(*[([1], "stop")] * 4, ANSWER)
    out = run([0], a_plan(extends=3, extend_with=((2,), (3,))), script)
    assert out.thinking_ids == (1, 2, 1, 3, 1, 3, 1)


def test_the_empty_extend_string_counts_and_adds_nothing():
    script = Script(([1], "stop"), ([2], "stop"), ANSWER)
    out = run([0], a_plan(extends=1, extend_with=((),)), script)
    assert (out.thinking_ids, out.extends) == ((1, 2), 1)


def test_attempts_are_masked_at_the_start_and_after_an_extend_and_stops_end_the_answer():
    script = Script(([1], "stop"), ([1], "stop"), ANSWER)
    run([0], a_plan(extends=1), script)
    *thinking, answer = script.requests
    assert {(r.min_tokens, r.stop_ids) for r in thinking} == {(1, (END_OPENS, TURN_ENDS))}
    assert (answer.min_tokens, answer.stop_ids) == (0, (TURN_ENDS,))


def test_the_answer_gets_all_that_is_left():
    script = Script(([1, 1], "stop"), ([1] * 8, "length"))
    out = run([0], a_plan(maximum=4, room=12), script)
    assert script.requests[-1].max_tokens == 12 - 2 - len(MARKS.end)
    assert out.finish_reason == "length"


def test_the_rounds_of_one_answer_are_drawn_with_seeds_of_their_own():
    def seeds(seed):
        script = Script(([1], "stop"), ([1], "stop"), ANSWER)
        run([0], a_plan(extends=1, sampling=Sampling(temperature=1.0, seed=seed)), script)
        return [request.sampling.seed for request in script.requests]

    assert seeds(7) == seeds(7)
    assert len({*seeds(7), *seeds(8)}) == 6


@pytest.mark.parametrize("tokens, reason", [([], "stop"), ([1] * 13, "length")])
def test_an_engine_that_ignores_the_budget_is_refused(tokens, reason):
    with pytest.raises(UserError, match="does not honour min_tokens and max_tokens"):
        run([0], a_plan(maximum=12), Script((tokens, reason)))


def test_finished_machines_are_reported_round_by_round():
    model, seen = FakeModel(), []
    loop.drive([loop.machine([n], a_plan()) for n in range(5)], model, seen.append)
    assert sum(seen) == 5 and len(seen) == len(model.batches)


def test_requests_hold_what_an_engine_needs():
    request = CompletionRequest(prompt_ids=(1,), max_tokens=2, stop_ids=(5,))
    assert request.sampling.is_greedy and request.min_tokens == 0
