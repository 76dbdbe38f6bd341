"""Known completions: whoever asks sees what the model would have said, and fewer are made."""

from hypothesis import given, settings
from hypothesis import strategies as st

from s1_serve.budget import loop
from s1_serve.budget.work import Planned
from s1_serve.completions import Completion, CompletionRequest, Sampling
from s1_serve.evaluate.run.sharing import Sharing
from unit.serve.fake_model import FakeModel
from unit.serve.test_loop import a_plan, plans, prompts


class Late(FakeModel):
    """Ends its jobs in the order that `ranks` gives, so that requests wait for each other."""

    def __init__(self, ranks):
        super().__init__()
        self.ranks = ranks

    def work(self, jobs, done):
        running = list(jobs)
        while running:
            key, job = running.pop(self.ranks[len(running) % len(self.ranks)] % len(running))
            (completion,) = self.complete([job])
            running += done(key, completion, 1.0)


def run(worker, machines):
    """Drive machines through a worker; give their outcomes in order."""
    outcomes = {}

    def done(index, completion, _seconds):
        try:
            return [(index, machines[index].send(completion))]
        except StopIteration as stop:
            outcomes[index] = stop.value
            return []

    worker.work([(index, next(steps)) for index, steps in enumerate(machines)], done)
    return [outcomes[index] for index in range(len(machines))]


def alone(prompt, plan):
    return loop.drive([loop.machine(prompt, plan)], FakeModel())[0]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(prompts, min_size=1, max_size=3),
    st.lists(plans(), min_size=1, max_size=8),
    st.lists(st.integers(0, 9), min_size=1, max_size=5),
)
def test_many_settings_at_once_equal_each_alone(questions, settings_at_once, ranks):
    pairs = [(prompt, plan) for plan in settings_at_once for prompt in questions]
    sharing = Sharing(Late(ranks))
    found = run(sharing, [loop.machine(*pair) for pair in pairs])
    assert found == [alone(*pair) for pair in pairs]
    assert run(sharing, [loop.machine(*pair) for pair in pairs]) == found


def test_shorter_budgets_and_further_extends_make_only_what_is_new():
    def tokens(worker, model):
        plans = [a_plan(maximum=60, room=90), a_plan(maximum=20, room=50)]
        plans += [a_plan(maximum=60, extends=extends, room=90) for extends in (1, 2, 4)]
        run(worker, [loop.machine([n], plan) for plan in plans for n in range(50)])
        return model.num_generated

    single, shared = FakeModel(), FakeModel()
    assert tokens(Sharing(shared), shared) < 0.6 * tokens(single, single)


def request(max_tokens, **changes):
    return CompletionRequest(prompt_ids=(1, 2), max_tokens=max_tokens, stop_ids=(5,), **changes)


class Counted:
    def __init__(self, completion):
        self.completion, self.asked = completion, 0

    def work(self, jobs, done):
        queue = list(jobs)
        while queue:
            self.asked += 1
            queue += done(queue.pop(0)[0], self.completion, 8.0)


def ask(sharing, *requests):
    found = {}
    sharing.work(
        enumerate(requests),
        lambda key, result, seconds: found.update({key: (result, seconds)}) or (),
    )
    return [found[index] for index in range(len(requests))]


def test_a_stop_needs_room_for_its_own_token():
    counted = Counted(Completion(token_ids=(7, 8), finish_reason="stop"))
    results = ask(Sharing(counted), request(9), request(3), request(2), request(1))
    assert [result.finish_reason for result, _ in results] == ["stop", "stop", "length", "length"]
    assert [result.token_ids for result, _ in results] == [(7, 8), (7, 8), (7, 8), (7,)]
    assert [seconds for _, seconds in results] == [8.0, 8.0, 8.0, 4.0]
    assert counted.asked == 1


def test_a_cut_completion_does_not_answer_a_longer_request():
    counted = Counted(Completion(token_ids=(7, 8), finish_reason="length"))
    sharing = Sharing(counted)
    for max_tokens in (2, 1, 3):
        ask(sharing, request(max_tokens))
    assert counted.asked == 2


def test_samples_plans_and_masked_requests_are_never_mixed_up():
    counted = Counted(Completion(token_ids=(7,), finish_reason="stop"))
    drawn = request(9, sampling=Sampling(temperature=1.0, seed=1))
    planned = Planned((1, 2), a_plan())
    ask(Sharing(counted), request(9), request(9, min_tokens=1), drawn, drawn, planned, planned)
    assert counted.asked == 6
