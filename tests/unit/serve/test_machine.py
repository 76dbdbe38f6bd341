"""The machine in a batch decides as the loop of requests does, whatever the batch looks like."""

import hashlib
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_serve.budget import loop
from s1_serve.budget.draw import Filters, draw, uniform
from s1_serve.budget.machine import Machine
from s1_serve.budget.terms import Terms
from s1_serve.completions import Sampling
from unit.serve.fake_model import MARKS, VOCABULARY, FakeModel
from unit.serve.test_loop import a_plan, plans, prompts

CPU = torch.device("cpu")


def logits(prefix):
    """Give FakeModel's scores as logits; of two alike it takes the higher token."""
    digest = hashlib.blake2b(bytes(prefix), digest_size=len(VOCABULARY)).digest()
    return torch.tensor([float(s) for s in digest]) + torch.arange(len(VOCABULARY)) * 1e-3


class Engine:
    """Runs requests as vLLM does: rows in any order, steps repeated, discarded and interrupted."""

    def __init__(self, requests, seed, num_slots=16):
        self.rng, self.requests = random.Random(seed), requests
        self.machine = Machine(num_slots, MARKS.attempt_ids, CPU)
        self.slots = self.rng.sample(range(num_slots), len(requests))
        self.outputs = [[] for _ in requests]
        for slot, (_, plan) in zip(self.slots, requests, strict=True):
            self.machine.admit(slot, Terms.pack(plan))

    def is_done(self, number):
        plan = self.requests[number][1]
        output, marks = self.outputs[number], plan.delimiters
        stopped = output and output[-1] in marks.stop_ids
        return len(output) == plan.room or bool(stopped)

    def step(self):
        live = [n for n in range(len(self.requests)) if not self.is_done(n)]
        rows = self.rng.sample(live, self.rng.randint(1, len(live)))
        strangers = self.rng.randint(0, 2)
        batch = torch.stack(
            [logits([*self.requests[n][0], *self.outputs[n]]) for n in rows]
            + [logits([strangers, s]) for s in range(strangers)]
        )
        before = batch[len(rows) :].clone()
        slots = np.array([self.slots[n] for n in rows] + [-1] * strangers)
        position = torch.tensor([len(self.outputs[n]) for n in rows] + [3] * strangers)
        self.machine.apply(batch, slots, position)
        assert torch.equal(batch[len(rows) :], before), "rows without a budget are left alone"
        for row, number in enumerate(rows):
            if self.rng.random() < 0.2:
                continue  # the engine throws this token away: a part of a prompt, or preempted
            if self.outputs[number] and self.rng.random() < 0.05:
                self.outputs[number].pop()  # asynchronous scheduling takes one back
                continue
            self.outputs[number].append(int(batch[row].argmax()))

    def run(self):
        while not all(self.is_done(n) for n in range(len(self.requests))):
            self.step()
        return self.outputs


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(prompts, plans()), min_size=1, max_size=6), st.integers(0, 2**32))
def test_in_any_batch_it_is_the_loop(requests, seed):
    engine = Engine(requests, seed)
    outputs = engine.run()
    ends = engine.machine.decided(np.array(engine.slots)).tolist()
    for (prompt, plan), output, (used, kind, at, *_) in zip(requests, outputs, ends, strict=True):
        wanted = loop.drive([loop.machine(prompt, plan)], FakeModel())[0]
        stop = output[-1:] if output[-1] in MARKS.stop_ids else []
        if wanted.finish_reason == "stop":
            assert stop
        assert output == [*wanted.output_ids, *(stop if wanted.finish_reason == "stop" else [])]
        assert used == wanted.extends and (at >= 0) == (used > 0)
        extend = list(plan.extend_ids(used - 1)) if used else []
        assert output[at : at + len(extend)] == extend or not used
        assert {1: "natural", 2: "budget"}[kind] == wanted.end


def test_a_slot_forgets_the_request_before():
    machine = Machine(1, MARKS.attempt_ids, CPU)
    many = a_plan(maximum=200, minimum=200, extend_with=((),), room=250)
    for plan in (many, a_plan(maximum=9, extends=2)):
        machine.admit(0, Terms.pack(plan))
        output = []
        while len(output) < plan.room:
            batch = logits([1, *output])[None]
            machine.apply(batch, np.array([0]), torch.tensor([len(output)]))
            output.append(int(batch.argmax()))
        wanted = loop.drive([loop.machine([1], plan)], FakeModel())[0]
        assert output[: len(wanted.output_ids)] == list(wanted.output_ids)
        assert machine.decided(np.array([0]))[0, 0] == wanted.extends


def drawn(rows, sampling, plan=None, position=1, seeds=None):
    """Draw the token at a position of many like rows, each with a seed of its own."""
    machine = Machine(rows, MARKS.attempt_ids, CPU)
    plan = plan or a_plan(maximum=30, minimum=30)
    for slot in range(rows):
        own = replace(sampling, seed=seeds[slot] if seeds else slot)
        machine.admit(slot, Terms.pack(replace(plan, sampling=own)))
    batch = SCORES.repeat(rows, 1)
    machine.apply(batch, np.arange(rows), torch.full((rows,), position))
    return batch


SCORES = torch.tensor([0.3, 1.1, -0.4, 0.9, 1.3, 0.2])
SAMPLINGS = {
    "temperature": Sampling(temperature=0.7, seed=1),
    "top_k": Sampling(temperature=1.0, top_k=3, seed=1),
    "top_p": Sampling(temperature=1.0, top_p=0.6, seed=1),
    "min_p": Sampling(temperature=1.0, min_p=0.5, seed=1),
}


def law(scores, sampling):
    """The distribution of one token, written plainly."""
    probs = (scores / sampling.temperature).softmax(-1)
    probs[probs < sampling.min_p * probs.max()] = 0
    order = probs.argsort(descending=True)
    if sampling.top_k:
        probs[order[sampling.top_k :]] = 0
    probs = probs / probs.sum()
    kept, mass = torch.zeros_like(probs), 0.0
    for token in order:
        if mass < sampling.top_p:
            kept[token] = probs[token]
        mass += float(probs[token])
    return kept / kept.sum()


def chi_square(counts, probs):
    expected = probs * counts.sum()
    assert counts[probs == 0].sum() == 0, "a token outside the law was drawn"
    some = probs > 0
    statistic = float((((counts - expected) ** 2)[some] / expected[some]).sum())
    return statistic, int(some.sum()) - 1


@pytest.mark.parametrize("name", SAMPLINGS)
def test_draws_follow_the_law_of_the_loop(name):
    """Below the minimum an attempt is refused and drawn again from what is left."""
    sampling, rows = SAMPLINGS[name], 20_000
    masked = SCORES.clone()
    masked[list(MARKS.attempt_ids)] = -torch.inf
    free, held = law(SCORES, sampling), law(masked, sampling)
    attempts = free[list(MARKS.attempt_ids)].sum()
    wanted = free.clone()
    wanted[list(MARKS.attempt_ids)] = 0
    wanted += attempts * held
    counts = torch.bincount(
        drawn(rows, sampling, a_plan(maximum=30, minimum=30, extend_with=((3,) * 40,))).argmax(-1),
        minlength=6,
    )
    statistic, freedom = chi_square(counts.double(), wanted.double())
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5 + 5


def test_a_seed_gives_the_same_draw_whatever_the_batch():
    sampling = SAMPLINGS["top_p"]
    together = drawn(64, sampling).argmax(-1)
    alone = [int(drawn(1, sampling, seeds=[seed]).argmax(-1)[0]) for seed in range(64)]
    assert together.tolist() == alone and len(set(alone)) > 1


def test_uniform_numbers_are_uniform_and_apart():
    seeds, positions = torch.arange(200).repeat(200), torch.arange(200).repeat_interleave(200)
    first, second = (uniform(seeds, positions, salt) for salt in (0, 1))
    for numbers in (first, second):
        assert numbers.min() >= 0 and numbers.max() < 1 and numbers.unique().numel() == 40_000
        counts = torch.histc(numbers, 50, 0, 1)
        assert float(((counts - 800) ** 2 / 800).sum()) < 49 + 5 * 98**0.5
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.02


def test_top_k_of_one_and_a_tiny_nucleus_are_greedy():
    filters = {"temperature_R": torch.ones(8), "min_p_R": torch.zeros(8), "any_sorted": True}
    filters["any_min_p"] = False
    batch, numbers = SCORES.repeat(8, 1), torch.linspace(0, 0.999, 8).double()
    for top_k, top_p in ((1, 1.0), (0, 1e-6)):
        tight = Filters(top_k_R=torch.full((8,), top_k), top_p_R=torch.full((8,), top_p), **filters)
        assert draw(batch, tight, numbers).tolist() == [4] * 8


def test_the_answer_is_drawn_too_and_without_a_seed_never_alike():
    plan = a_plan(maximum=0)
    sampling, answers = Sampling(temperature=5.0), []
    for seed in (7, 7, None, None):
        machine = Machine(1, MARKS.attempt_ids, CPU)
        own = replace(plan, sampling=replace(sampling, seed=seed))
        machine.admit(0, Terms.pack(own))
        tokens = []
        for position in range(len(MARKS.cut) + 40):
            batch = SCORES[None].clone()
            machine.apply(batch, np.array([0]), torch.tensor([position]))
            tokens.append(int(batch.argmax()))
        answers.append(tuple(tokens))
    assert answers[0] == answers[1] and len(set(answers)) == 3


def plain(size, any_sorted=False):
    return Filters(
        temperature_R=torch.ones(size), top_p_R=torch.ones(size), min_p_R=torch.zeros(size),
        top_k_R=torch.zeros(size, dtype=torch.long), any_sorted=any_sorted, any_min_p=False,
    )  # fmt: skip


def test_a_large_vocabulary_is_drawn_from_by_its_law():
    """1,300 tokens are two blocks and a part; many are likely, some never."""
    torch.manual_seed(1)
    scores, rows = torch.randn(1300) * 2, 40_000
    scores[::7] = -torch.inf
    numbers = uniform(torch.arange(rows), torch.full((rows,), 3), salt=0)
    found = draw(scores.repeat(rows, 1), plain(rows), numbers)
    counts = torch.bincount(found, minlength=1300).double()
    probs = scores.double().softmax(-1)
    assert counts[probs == 0].sum() == 0
    few = probs < 5 / rows
    counts, probs = (torch.cat([x[~few], x[few].sum()[None]]) for x in (counts, probs))
    statistic, freedom = chi_square(counts, probs)
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5 + 5


@given(st.integers(1, 1100), st.integers(0, 2**32), st.sampled_from([0.0, 0.5, 1 - 2**-53]))
def test_a_token_without_mass_is_never_drawn(size, seed, number):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(size, generator=generator) * 20
    scores[torch.rand(size, generator=generator) < 0.7] = -torch.inf
    scores[int(torch.randint(size, (), generator=generator))] = 0.0
    found = int(draw(scores[None], plain(1), torch.tensor([number]).double())[0])
    assert scores[found] > -torch.inf
