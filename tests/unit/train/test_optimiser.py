"""The schedule is the paper's, Muon takes the hidden matrices alone, and both resume."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s1_train.config import OptimiserConfig
from s1_train.net import optimiser

PAPER = OptimiserConfig()


def test_the_papers_schedule() -> None:
    factors = [optimiser.lr_factor(step, 315, PAPER) for step in range(315)]
    assert factors[0] == 0 and factors[8] == 0.5 and factors[16] == 1.0
    assert factors[16 + 150] == pytest.approx(0.5 * (1 + math.cos(math.pi * 150 / 299)))
    assert factors[314] < 1e-4


@given(
    num_steps=st.integers(1, 500),
    warmup=st.floats(0, 0.9),
    final=st.floats(0, 1),
    schedule=st.sampled_from(["cosine", "linear", "constant"]),
)
def test_the_rate_stays_in_bounds_and_falls_behind_the_warm_up(
    num_steps: int, warmup: float, final: float, schedule: str
) -> None:
    config = OptimiserConfig(schedule=schedule, warmup_fraction=warmup, final_fraction=final)  # type: ignore[arg-type]
    factors = [optimiser.lr_factor(step, num_steps, config) for step in range(num_steps)]
    assert all(0 <= factor <= 1 + 1e-12 for factor in factors)
    start = math.ceil(warmup * num_steps)
    falling = factors[start:]
    assert falling == sorted(falling, reverse=True)
    assert all(factor >= final - 1e-12 for factor in falling)


def network() -> torch.nn.ModuleDict:
    torch.manual_seed(0)
    layers = torch.nn.ModuleList([torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)])
    return torch.nn.ModuleDict(
        {"model": torch.nn.ModuleDict({"embed": torch.nn.Embedding(5, 4), "layers": layers})}
    )


def take_step(net: torch.nn.ModuleDict, opt: torch.optim.Optimizer) -> None:
    inner: torch.nn.ModuleDict = net["model"]  # type: ignore[assignment]
    hidden = inner["embed"](torch.tensor([0, 3, 1]))
    for layer in inner["layers"]:  # type: ignore[union-attr]
        hidden = layer(hidden).tanh()
    hidden.square().sum().backward()
    opt.step()
    opt.zero_grad()


def test_muon_takes_hidden_matrices_and_adamw_the_rest() -> None:
    net = network()
    config = OptimiserConfig(name="muon", lr=0.1, muon_lr=0.2)
    opt = optimiser.build(net.named_parameters(), config)
    muon, adamw = opt.param_groups
    assert [p.shape for p in muon["params"]] == [(4, 4), (4, 4)]
    assert [p.shape for p in adamw["params"]] == [(5, 4), (4,), (4,)]
    optimiser.set_lr(opt, 0.5)
    assert (muon["lr"], adamw["lr"]) == (0.1, 0.05)
    before = [p.detach().clone() for p in net.parameters()]
    take_step(net, opt)
    assert all(not torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))


def test_muon_goes_on_from_its_state() -> None:
    config = OptimiserConfig(name="muon", lr=0.1, muon_lr=0.2)
    net = network()
    opt = optimiser.build(net.named_parameters(), config)
    take_step(net, opt)
    twin = copy.deepcopy(net)
    opt_twin = optimiser.build(twin.named_parameters(), config)
    opt_twin.load_state_dict(copy.deepcopy(opt.state_dict()))
    for one, optimizer in ((net, opt), (twin, opt_twin)):
        optimiser.set_lr(optimizer, 0.3)
        take_step(one, optimizer)
    for left, right in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(left, right)
