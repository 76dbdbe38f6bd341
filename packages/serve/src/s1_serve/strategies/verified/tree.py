"""AB-MCTS-A by the package treequest, asked as a pure function of the scores that were told.

treequest draws from numpy's global generator: every question seeds it by the search's own seed
and puts it back as it was. Trees are remembered, so a search that goes on is not grown anew.
"""

from __future__ import annotations

import copy
import importlib
import random
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from s1_core.errors import UserError

DISTRIBUTIONS = ("gaussian", "beta")
_ACTION = "answer"
_NUMPY = threading.Lock()
"""numpy's generator is one for all threads"""
Told = tuple[tuple[float | None, ...], ...]
"""the scores of each batch, by its trials; None where a trial came to nothing"""


@dataclass(frozen=True)
class Search:
    """What a search is known by."""

    seed: int
    distribution: str
    batch: int


def check_installed() -> None:
    """Refuse to go on without the package; imports it now, as that takes a second."""
    try:
        importlib.import_module("treequest")
    except ImportError as error:
        raise UserError(
            "ab-mcts needs the package treequest, which is not here: pip install 's1-serve[tree]'"
        ) from error


@lru_cache(maxsize=4096)
def parents(search: Search, told: Told) -> tuple[int | None, ...]:
    """Say what the next batch starts from: the number of a trial, or None for the question.

    Trials are numbered in the order of the batches. A trial without a score is not in the tree.
    """
    return tuple(trial.parent_state for trial in _grown(search, told)[1])


@lru_cache(maxsize=64)
def _grown(search: Search, told: Told) -> tuple[Any, list[Any]]:
    """Give the tree after `told`, and the trials asked of it."""
    from treequest import ABMCTSA

    algorithm: Any = ABMCTSA(dist_type=search.distribution)  # type: ignore[arg-type]
    if told:
        tree, trials = copy.deepcopy(_grown(search, told[:-1]))
        first = search.batch * (len(told) - 1)
        for number, (trial, score) in enumerate(zip(trials, told[-1], strict=False), start=first):
            if score is not None:
                tree = algorithm.tell(tree, trial.trial_id, (number, score))
    else:
        tree = algorithm.init_tree()
    with _NUMPY:
        before = np.random.get_state()
        np.random.seed(random.Random(f"{search.seed}/{len(told)}").getrandbits(32))
        try:
            return algorithm.ask_batch(tree, search.batch, [_ACTION])  # type: ignore[no-any-return]
        finally:
            np.random.set_state(before)
