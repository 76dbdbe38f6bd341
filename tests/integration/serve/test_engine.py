"""The in-process engine: completions over token ids, and budget forcing on real logits."""

import json
import random
import re
import shutil
import string

import pytest

from s1_core import chat
from s1_core.errors import UserError
from s1_serve.budget import loop
from s1_serve.budget.plan import Limits, delimiters, resolve
from s1_serve.completions import CompletionRequest, Sampling
from s1_serve.config import ServeConfig, ThinkingBudget
from s1_serve.engine import Engine
from s1_serve.model import open_model
from s1_serve.options import describe

pytestmark = pytest.mark.engine


def prompts(engine, count):
    text, fmt = engine.model.text, engine.model.format
    questions = [
        "".join(random.Random(n).choices(string.ascii_letters, k=30)) for n in range(count)
    ]
    return [text.encode(chat.generation_prompt(fmt, question)) for question in questions]


def forced(engine, asked, budget):
    plans = [planned(engine, prompt, budget) for prompt in asked]
    return [loop.machine(prompt, plan) for prompt, plan in zip(asked, plans, strict=True)]


def planned(engine, prompt, budget, sampling=None, max_tokens=None):
    encode = engine.model.text.encode
    marks = delimiters(engine.model.format, encode, engine.model.stop_ids)
    limits = Limits(
        prompt_tokens=len(prompt), max_tokens=max_tokens, context=engine.context, answer_reserve=16
    )
    return resolve(budget, limits, marks, encode, sampling)


def request(engine, prompt, **changes):
    return CompletionRequest(
        **{"prompt_ids": prompt, "max_tokens": 24, "stop_ids": engine.model.stop_ids, **changes}
    )


def test_what_the_engine_is(engine):
    found = describe(engine.model, ServeConfig())
    assert (found["name"], found["dtype"], found["device"]) == ("vllm", "float32", "cpu")
    assert engine.context == engine.model.context == 512


def test_batched_completions_equal_single_ones(engine):
    requests = [request(engine, prompt) for prompt in prompts(engine, 12)]
    together = engine.complete(requests)
    assert together == [engine.complete([one])[0] for one in requests]
    assert len({completion.token_ids for completion in together}) > 6


def test_streaming_equals_answering_and_marks_what_was_forced(engine):
    extends = 0
    for prompt in prompts(engine, 6):
        plan = planned(engine, prompt, ThinkingBudget(max=60, extends=3), max_tokens=90)
        pieces, stream = [], engine.stream(prompt, plan)
        try:
            while True:
                pieces.append(next(stream))
        except StopIteration as stop:
            assert stop.value == engine.answer([prompt], [plan])[0]
            assert sum((piece.ids for piece in pieces), ()) == stop.value.output_ids
            extends += stop.value.extends
    said = [engine.model.text.decode(piece.ids) for piece in pieces if piece.is_forced]
    assert extends > 0 and set(said) <= set("Wait") | {"Wa", "it", "Wait"}


def test_a_stream_left_early_frees_the_engine(engine):
    (prompt,) = prompts(engine, 1)
    stream = engine.stream(prompt, planned(engine, prompt, ThinkingBudget(max=200)))
    next(stream)
    stream.close()
    assert engine.complete([request(engine, prompt)])


def test_stop_ids_end_a_completion_and_min_tokens_masks_them(engine):
    (prompt,) = prompts(engine, 1)
    free = engine.complete([request(engine, prompt, stop_ids=())])[0].token_ids
    stopped = engine.complete([request(engine, prompt, stop_ids=(free[2],))])[0]
    assert stopped.finish_reason == "stop"
    assert stopped.token_ids == free[: free.index(free[2])]
    masked = engine.complete([request(engine, prompt, stop_ids=(free[0],), min_tokens=1)])[0]
    assert masked.token_ids[0] != free[0]


BUDGETS = [
    ThinkingBudget(max=0),
    ThinkingBudget(max=7),
    ThinkingBudget(max=40, min=20),
    ThinkingBudget(max=60, extends=2),
    ThinkingBudget(max=60, extends=4, extend_with=""),
]


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_budget_forcing_holds_on_real_logits(engine, budget):
    asked = prompts(engine, 8)
    outcomes = loop.drive(forced(engine, asked, budget), engine)
    attempts = planned(engine, asked[0], budget).delimiters.attempt_ids
    for prompt, out in zip(asked, outcomes, strict=True):
        assert budget.min <= len(out.thinking_ids) <= budget.max
        text = engine.model.text.decode(out.ending_ids)
        ending = chat.cut_string if out.end == "budget" else chat.end_string
        assert text == ending(engine.model.format)
        assert not {*out.thinking_ids} & {*attempts}
        assert [out] == loop.drive(forced(engine, [prompt], budget), engine)


def test_the_random_model_exercises_every_way_to_end(engine):
    machines = forced(engine, prompts(engine, 24), ThinkingBudget(max=60, extends=1))
    outcomes = loop.drive(machines, engine)
    assert {out.end for out in outcomes} == {"natural", "budget"}
    assert {out.extends for out in outcomes} >= {1}


def test_a_seed_gives_the_same_draw_whatever_the_batch(engine):
    def machines(order):
        budget, asked = ThinkingBudget(max=30, extends=1), prompts(engine, 12)
        return [
            loop.machine(
                asked[n],
                planned(engine, asked[n], budget, Sampling(temperature=1.0, top_p=0.9, seed=n)),
            )
            for n in order
        ]

    forwards = loop.drive(machines(range(12)), engine)
    backwards = loop.drive(machines(reversed(range(12))), engine)
    assert forwards == backwards[::-1]
    assert len({out.thinking_ids for out in forwards}) > 6


def test_many_long_seeded_prompts_survive_a_full_cache(engine):
    # vLLM 0.32 on CPU dies on seeded prompts that are prefilled in chunks. The 8,000 tokens of this
    # cache hold a fifth of what these need, so that some are preempted and prefilled again.
    sampling = Sampling(temperature=1.0, seed=1)
    long = [
        request(engine, (50 + n, *[40 + n] * 300), max_tokens=200, stop_ids=(), sampling=sampling)
        for n in range(64)
    ]
    completions = engine.complete(long)
    assert {len(completion.token_ids) for completion in completions} == {200}
    assert completions[:3] == engine.complete(long[:3])


def test_a_cache_too_small_or_too_large_is_one_line(model_folder):
    model = open_model(str(model_folder))
    for gib, message in ((1e-5, "a context of 512 tokens needs"), (1e6, "of memory are free")):
        with pytest.raises(UserError, match=f"no room for the KV cache.*{message}"):
            Engine(model, ServeConfig(kv_cache_gib=gib))


def test_a_context_longer_than_the_model_s_is_refused(model_folder):
    with pytest.raises(UserError, match="context is 4096"):
        Engine(open_model(str(model_folder)), ServeConfig(context=4096))


def test_an_altered_checkpoint_is_refused_by_name(model_folder, tmp_path):
    copy = shutil.copytree(model_folder, tmp_path / "model")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=re.escape(str(weights))):
        open_model(str(copy))


def test_a_model_without_stop_ids_is_refused(model_folder, tmp_path):
    copy = shutil.copytree(model_folder, tmp_path / "model")
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["config"]["stop_token_ids"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="names no format or stop_token_ids"):
        open_model(str(copy))
