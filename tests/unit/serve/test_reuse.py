"""Known completions: the loop sees exactly what the model would have said, and fewer are made."""

from hypothesis import given, settings
from hypothesis import strategies as st

from s1_serve.budget import loop
from s1_serve.completions import Completion, CompletionRequest, Sampling
from s1_serve.evaluate.reuse import Memo
from unit.serve.fake_model import FakeModel
from unit.serve.test_loop import a_plan, plans, prompts


@settings(max_examples=200, deadline=None)
@given(st.lists(prompts, min_size=1, max_size=3), st.lists(plans(), min_size=1, max_size=8))
def test_settings_one_after_the_other_equal_each_alone(questions, settings_in_turn):
    memo = Memo(FakeModel())
    for plan in settings_in_turn:
        reused = loop.drive([loop.machine(prompt, plan) for prompt in questions], memo)
        assert reused == [
            loop.drive([loop.machine(prompt, plan)], FakeModel())[0] for prompt in questions
        ]


def test_shorter_budgets_and_further_extends_make_only_what_is_new():
    def tokens(completer, model):
        for plan in (a_plan(maximum=60, room=90), a_plan(maximum=20, room=50)):
            loop.drive([loop.machine([n], plan) for n in range(50)], completer)
        for extends in (1, 2, 4):
            plan = a_plan(maximum=60, extends=extends, room=90)
            loop.drive([loop.machine([n], plan) for n in range(50)], completer)
        return model.num_generated

    alone, reused = FakeModel(), FakeModel()
    assert tokens(Memo(reused), reused) < 0.6 * tokens(alone, alone)


def request(max_tokens, **changes):
    return CompletionRequest(prompt_ids=(1, 2), max_tokens=max_tokens, stop_ids=(5,), **changes)


class Counted:
    def __init__(self, completion):
        self.completion, self.asked = completion, 0

    def complete(self, requests):
        self.asked += len(requests)
        return [self.completion for _ in requests]


def test_a_stop_needs_room_for_its_own_token():
    memo = Memo(Counted(Completion(token_ids=(7, 8), finish_reason="stop")))
    memo.complete([request(9)])
    assert memo.complete([request(3)])[0].finish_reason == "stop"
    assert memo.complete([request(2)])[0] == Completion(token_ids=(7, 8), finish_reason="length")
    assert memo.complete([request(1)])[0] == Completion(token_ids=(7,), finish_reason="length")


def test_a_cut_completion_does_not_answer_a_longer_request():
    counted = Counted(Completion(token_ids=(7, 8), finish_reason="length"))
    memo = Memo(counted)
    for max_tokens in (2, 1, 3):
        memo.complete([request(max_tokens)])
    assert counted.asked == 2


def test_samples_and_masked_requests_are_never_mixed_up():
    counted = Counted(Completion(token_ids=(7,), finish_reason="stop"))
    memo = Memo(counted)
    drawn = request(9, sampling=Sampling(temperature=1.0, seed=1))
    for one in (request(9), request(9, min_tokens=1), drawn, drawn):
        memo.complete([one])
    assert counted.asked == 4
