"""The V2 side of the processor against vLLM's documented contract; its runner needs a GPU.

A stand-in for the runner does what vllm/v1/worker/gpu does to a processor: slots recycled, rows
reordered each step, prompts in parts, preempted requests that come back elsewhere as new ones,
sampled tokens thrown away.
"""

import random
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from s1_core.errors import UserError
from s1_serve.budget import loop
from s1_serve.budget.outcome import Outcome
from s1_serve.budget.plan import Plan
from s1_serve.budget.request import KEY, Board, Ticket
from s1_serve.budget.terms import Terms
from s1_serve.completions import Completion
from unit.serve.fake_model import MARKS, VOCABULARY, FakeModel
from unit.serve.test_loop import a_plan
from unit.serve.test_machine import logits

pytestmark = pytest.mark.engine
NUM_SLOTS = 8


@dataclass
class Request:
    prompt: list[int]
    plan: Plan
    ticket: Ticket
    output: list[int] = field(default_factory=list)
    slot: int | None = None
    seen: int = 0
    """tokens the model has read since the request came (back)"""

    @property
    def tokens(self):
        return [*self.prompt, *self.output]

    @property
    def params(self):
        return SimpleNamespace(
            extra_args=self.ticket.extra_args(Terms.pack(self.plan)), temperature=0.0,
            top_p=1.0, top_k=-1, min_p=0.0,
        )  # fmt: skip

    @property
    def is_done(self):
        stopped = bool(self.output) and self.output[-1] in MARKS.stop_ids
        return stopped or len(self.output) == self.plan.room


class Runner:
    """As much of vLLM's V2 runner as a processor can notice."""

    def __init__(self, path, seed):
        from s1_serve.budget.processor import BudgetProcessor

        self.rng = random.Random(seed)
        self.board = Board(path, NUM_SLOTS + 4)
        self.lengths = {
            name: SimpleNamespace(gpu=torch.zeros(NUM_SLOTS, dtype=torch.int32))
            for name in ("prompt_len", "prefill_len")
        }
        settings = {
            "num_slots": NUM_SLOTS + 4,
            "attempt_ids": list(MARKS.attempt_ids),
            "path": str(path),
        }
        self.processor = BudgetProcessor(
            SimpleNamespace(additional_config={KEY: settings}, speculative_config=None),
            SimpleNamespace(device=torch.device("cpu"), max_num_reqs=NUM_SLOTS, **self.lengths),
        )
        self.free = list(range(NUM_SLOTS))
        self.num_preempted = self.num_discarded = 0

    def begin(self, request):
        request.slot, request.seen = self.free.pop(self.rng.randrange(len(self.free))), 0
        self.lengths["prompt_len"].gpu[request.slot] = len(request.prompt)
        self.lengths["prefill_len"].gpu[request.slot] = len(request.tokens)
        assert self.processor.add_request(request.slot, request.params)

    def leave(self, request):
        self.free.append(request.slot)
        request.slot = None

    def step(self, running):
        chosen = self.rng.sample(running, self.rng.randint(1, len(running)))
        for request in chosen:
            left = len(request.tokens) - request.seen
            request.seen += 1 if left == 1 else self.rng.randint(1, left)
        slots = [request.slot for request in chosen]
        batch = torch.stack([logits(r.tokens[: r.seen]) for r in chosen])
        index = torch.tensor(slots)
        self.processor.apply(
            batch,
            SimpleNamespace(
                expanded_idx_mapping=index,
                idx_mapping=index,
                idx_mapping_np=np.array(slots),
                pos=torch.tensor([request.seen - 1 for request in chosen]),
            ),
        )
        for request, row in zip(chosen, batch, strict=True):
            if request.seen < len(request.tokens):
                continue  # a part of the prompt: what is sampled there counts for nothing
            if self.rng.random() < 0.1:
                self.num_discarded += 1
                request.seen -= 1
                continue
            request.output.append(int(row.argmax()))
        victim = self.rng.choice(running)
        if self.rng.random() < 0.1 and not victim.is_done:
            self.num_preempted += 1
            self.leave(victim)
        return [r for r in running if r.slot is None]


def random_plan(rng):
    maximum = rng.randint(0, 30)
    return a_plan(
        maximum=maximum, minimum=rng.randint(0, maximum), extends=rng.randint(0, 4),
        extend_with=tuple((3,) * rng.randint(0, 3) for _ in range(rng.randint(1, 3))),
        room=maximum + len(MARKS.cut) + rng.randint(1, 20),
    )  # fmt: skip


def test_a_random_schedule_ends_as_the_loop_does(tmp_path):
    runner, rng = Runner(tmp_path / "board", seed=11), random.Random(12)
    waiting = [
        ([rng.choice(VOCABULARY) for _ in range(rng.randint(1, 12))], random_plan(rng))
        for _ in range(150)
    ]
    running, preempted, num_done = [], [], 0
    while waiting or running or preempted:
        while runner.free and (preempted or waiting) and rng.random() < 0.7:
            if preempted:
                request = preempted.pop(0)
            else:
                prompt, plan = waiting.pop()
                request = Request(prompt, plan, runner.board.take())
            runner.begin(request)
            running.append(request)
        if not running:
            continue
        preempted += runner.step(running)
        running = [request for request in running if request.slot is not None]
        for request in [request for request in running if request.is_done]:
            check(request, runner.board)
            num_done += 1
            running.remove(request)
            runner.leave(request)
            runner.board.give_back(request.ticket)
    assert num_done == 150 and runner.num_preempted > 50 and runner.num_discarded > 100


def check(request, board):
    wanted = loop.drive([loop.machine(request.prompt, request.plan)], FakeModel())[0]
    ids, reason = tuple(request.output), "length"
    if wanted.finish_reason == "stop":
        assert ids[-1] in MARKS.stop_ids
        ids, reason = ids[:-1], "stop"
    found = Completion(token_ids=ids, finish_reason=reason)
    assert Outcome.read(found, request.plan, board.decided(request.ticket)) == wanted


def test_speculative_decoding_is_refused():
    from s1_serve.budget.processor import BudgetProcessor

    guesses = SimpleNamespace(additional_config={}, speculative_config=object())
    with pytest.raises(UserError, match="speculative decoding cannot keep a budget"):
        BudgetProcessor(guesses, torch.device("cpu"), False)
