"""Sampled inside the engine and sampled by the loop are one law, also under top-k, top-p, min-p."""

from collections import Counter
from dataclasses import replace

import pytest

from integration.serve.test_engine import planned, prompts
from s1_serve.budget import loop
from s1_serve.completions import Sampling
from s1_serve.config import ThinkingBudget

pytestmark = [pytest.mark.engine, pytest.mark.slow]
NUM_ANSWERS = 2500
BUDGET = ThinkingBudget(max=12, min=3, extends=1)
LAWS = {
    "temperature 1": Sampling(temperature=1.0),
    "temperature 0.8, top-p 0.9": Sampling(temperature=0.8, top_p=0.9),
    "top-k 8": Sampling(temperature=1.0, top_k=8),
    "min-p 0.1": Sampling(temperature=1.0, min_p=0.1),
}


def short(engine, prompt, sampling):
    """Plan a budget whose answers are cut soon: they are drawn by the engine either way."""
    plan = planned(engine, prompt, BUDGET, sampling)
    return replace(plan, room=BUDGET.max + len(plan.delimiters.cut) + 1)


def cells(outcomes, common):
    """Tell answers apart by how they begin, how long they think and how they end."""
    return Counter(
        (
            outcome.thinking_ids[0] if outcome.thinking_ids[0] in common else "other",
            len(outcome.thinking_ids) // 4,
            outcome.end,
            outcome.extends,
        )
        for outcome in outcomes
    )


def two_sample(ours, theirs):
    """Give the chi-square statistic of two samples of one size and its degrees of freedom."""
    pooled = {"rare": [0, 0]}
    for cell in ours.keys() | theirs.keys():
        pair = [ours[cell], theirs[cell]]
        if sum(pair) >= 16:
            pooled[cell] = pair
        else:
            pooled["rare"] = [a + b for a, b in zip(pooled["rare"], pair, strict=True)]
    pairs = [pair for pair in pooled.values() if sum(pair)]
    return sum((a - b) ** 2 / (a + b) for a, b in pairs), len(pairs) - 1


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("with_seeds", [True, False])
def test_inside_and_around_are_one_law(engine, name, with_seeds):
    (prompt,) = prompts(engine, 1)
    sampling = [replace(LAWS[name], seed=1000 + n) for n in range(NUM_ANSWERS)]
    around = loop.drive([loop.machine(prompt, short(engine, prompt, s)) for s in sampling], engine)
    inner = sampling if with_seeds else [LAWS[name]] * NUM_ANSWERS
    plans = [short(engine, prompt, s) for s in inner]
    inside = engine.answer([prompt] * NUM_ANSWERS, plans)
    firsts = Counter(outcome.thinking_ids[0] for outcome in [*inside, *around])
    common = {token for token, _ in firsts.most_common(12)}  # of both: one's own may differ
    statistic, freedom = two_sample(cells(inside, common), cells(around, common))
    assert freedom >= 8
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5, (statistic, freedom)
