"""AB-MCTS: treequest itself with the same seeds, and nothing else changed."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np
import pytest

from s1_core.errors import UserError
from s1_serve.strategies import catalogue
from s1_serve.strategies.session import Session
from s1_serve.strategies.verified import tree
from s1_serve.strategies.verified.ab_mcts import AbMcts
from s1_serve.strategies.verifiers.judge import Judge
from s1_serve.strategies.verifiers.reward import RewardModel
from unit.serve.finished import chosen, known, of, played, replied, result, rewarded, scripted

REWARD = RewardModel(name="prm")


def grown(seed: int, batch: int, scores: list[float | None], distribution: str) -> list[int | None]:
    """Run treequest itself with the same seeds; give the parents of all trials."""
    from treequest import ABMCTSA

    algorithm: Any = ABMCTSA(dist_type=distribution)  # type: ignore[arg-type]
    state, parents = algorithm.init_tree(), []
    for number in range(0, len(scores), batch):
        np.random.seed(random.Random(f"{seed}/{number // batch}").getrandbits(32))
        state, trials = algorithm.ask_batch(state, batch, ["answer"])
        trials = trials[: len(scores) - number]
        parents += [trial.parent_state for trial in trials]
        for index, trial in enumerate(trials, start=number):
            if scores[index] is not None:
                state = algorithm.tell(state, trial.trial_id, (index, scores[index]))
    return parents


def parents_of(session: Session, num: int) -> list[int | None]:
    """Read from the prompts whose answer each trial was to better; answers are unlike."""
    unders = [of(session.known[str(index)].call).under for index in range(num)]
    return [
        None if not under else next(i for i in range(num) if f"number {i}." in under)
        for under in unders
    ]


@pytest.mark.parametrize("distribution", tree.DISTRIBUTIONS)
@pytest.mark.parametrize(("seed", "batch"), [(0, 1), (1, 2), (2, 3), (3, 5)])
def test_ab_mcts_is_treequest(seed: int, batch: int, distribution: str) -> None:
    rng = random.Random(seed)
    scores: list[float | None] = [round(rng.random(), 3) for _ in range(11)]
    scores[4] = None
    candidates = [result(f"number {index}.") for index in range(11)]
    policy = AbMcts(trials=11, batch=batch, distribution=distribution, verifier=REWARD)
    session = played(policy, rewarded(scores, candidates), seed=seed)
    expected = grown(seed, batch, scores, distribution)
    assert parents_of(session, 11) == expected
    assert session.outcome is not None and session.outcome.choice is not None
    said = [score for score in scores if score is not None]
    assert scores[int(session.outcome.choice.id)] == max(said)
    assert session.outcome.is_degraded, "one trial has no score"


def test_ab_mcts_goes_deeper_and_wider() -> None:
    scores: list[float | None] = [0.2, 0.9, 0.3, 0.8, 0.9, 0.95, 0.9, 0.9]
    candidates = [result(f"number {index}.") for index in range(8)]
    found = set()
    for seed in range(4):
        policy = AbMcts(trials=8, batch=1, verifier=REWARD)
        found |= {
            p is None for p in parents_of(played(policy, rewarded(scores, candidates), seed), 8)[1:]
        }
    assert found == {True, False}


def test_asking_again_decides_the_same_and_leaves_numpy_alone() -> None:
    found = known(result("a"), result("b"))
    policy = AbMcts(trials=4, batch=2, verifier=Judge())
    found = replied(found, policy.decide(found).start, "Yes", "No")
    np.random.seed(7)
    before = np.random.get_state()[1].tolist()  # type: ignore[index]
    first = policy.decide(found)
    tree.parents.cache_clear()
    tree._grown.cache_clear()
    assert policy.decide(found) == first and [call.id for call in first.start] == ["2", "3"]
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]


def test_other_seeds_grow_other_trees() -> None:
    scores: list[float | None] = [0.5] * 8
    trees = {tuple(grown(seed, 1, scores, "gaussian")) for seed in range(6)}
    asked = set()
    for seed in range(6):
        session = played(
            AbMcts(trials=8, batch=1, verifier=REWARD),
            rewarded(scores, [result(f"number {index}.") for index in range(8)]),
            seed=seed,
        )
        asked.add(tuple(parents_of(session, 8)))
    assert asked == trees and len(trees) > 1


def test_a_dead_verifier_leaves_the_tree_a_majority() -> None:
    candidates = [result("13"), result("12"), result("12")]
    choice = chosen(AbMcts(trials=3, verifier=Judge()), scripted(candidates, {}))
    assert choice.id == "1" and choice.is_degraded


def test_without_treequest_ab_mcts_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "treequest", None)
    available = catalogue.Available(verifiers={"judge": Judge()})
    with pytest.raises(UserError, match=r"pip install 's1-serve\[tree\]'"):
        catalogue.build("ab-mcts", {}, available)
