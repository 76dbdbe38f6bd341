"""The machine inside a real vLLM is the loop of requests around it, token for token."""

import random

import pytest

from integration.serve.test_engine import planned, prompts
from s1_serve import engine as module
from s1_serve.budget import loop
from s1_serve.completions import Sampling
from s1_serve.config import ServeConfig, ThinkingBudget
from s1_serve.model import open_model

pytestmark = pytest.mark.engine
CRAMPED_GIB = 0.001


def both(engine, asked, plans):
    machines = [loop.machine(prompt, plan) for prompt, plan in zip(asked, plans, strict=True)]
    return engine.answer(asked, plans), loop.drive(machines, engine)


@pytest.mark.parametrize("extends", [0, 1, 2, 4])
@pytest.mark.parametrize("maximum", [16, 60, 200])
def test_greedy_tokens_are_those_of_the_loop(engine, extends, maximum):
    asked = prompts(engine, 64)
    plans = [planned(engine, p, ThinkingBudget(max=maximum, extends=extends)) for p in asked]
    inside, around = both(engine, asked, plans)
    assert inside == around


def test_mixed_budgets_in_one_batch(engine):
    rng, asked = random.Random(5), prompts(engine, 48)
    plans = []
    for prompt in asked:
        maximum = rng.choice([0, 1, 7, 40, 120])
        budget = ThinkingBudget(
            max=maximum,
            min=rng.randint(0, maximum),
            extends=rng.randint(0, 3),
            extend_with=rng.choice(["Wait", "", ["Wait", "So 3."]]),
        )
        plans.append(planned(engine, prompt, budget))
    inside, around = both(engine, asked, plans)
    assert inside == around
    assert {outcome.end for outcome in inside} == {"natural", "budget"}
    assert max(outcome.extends for outcome in inside) > 3, "a minimum that asks for more"


def test_a_seed_gives_the_same_answer_whatever_the_batch(engine):
    asked = prompts(engine, 12)
    sampling = [Sampling(temperature=0.8, top_p=0.9, seed=7 + n) for n in range(12)]
    plans = [
        planned(engine, p, ThinkingBudget(max=40, extends=1), s)
        for p, s in zip(asked, sampling, strict=True)
    ]
    together = engine.answer(asked, plans)
    alone = [engine.answer([p], [plan])[0] for p, plan in zip(asked, plans, strict=True)]
    assert together == alone


@pytest.fixture(scope="session")
def cramped(model_folder, engine):
    """An engine with a cache for some of its requests, which reads prompts in parts of 64 tokens.

    It lives as long as the session: vLLM takes the groups of all engines down with the first.
    """
    plain = module.engine_options

    def chunked(model, config):
        parts = {"enable_chunked_prefill": True, "max_num_batched_tokens": 64}
        return plain(model, config) | parts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "engine_options", chunked)
        config = ServeConfig(kv_cache_gib=CRAMPED_GIB, max_num_seqs=48)
        return module.Engine(open_model(str(model_folder)), config)


def test_preemption_and_chunked_prefill_change_nothing(cramped, engine, monkeypatch):
    asked = prompts(engine, 48)
    plans = [planned(engine, p, ThinkingBudget(max=200, extends=2)) for p in asked]
    scheduler = type(cramped._vllm.engine_core.engine_core.scheduler)
    plainly, preempted = scheduler._preempt_request, []

    def counted(self, request, *rest, **options):
        preempted.append(request.request_id)
        return plainly(self, request, *rest, **options)

    monkeypatch.setattr(scheduler, "_preempt_request", counted)
    inside = cramped.answer(asked, plans)
    assert len(preempted) > 5
    assert inside == loop.drive(
        [loop.machine(prompt, plan) for prompt, plan in zip(asked, plans, strict=True)], engine
    )
