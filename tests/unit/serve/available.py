"""What a deployment of the tests has, and small parameters for every strategy."""

from typing import Any

from s1_serve.strategies.catalogue import Available
from s1_serve.strategies.verifiers.exact import Exact
from s1_serve.strategies.verifiers.generative import Generative
from s1_serve.strategies.verifiers.judge import Judge
from s1_serve.strategies.verifiers.process import Process
from s1_serve.strategies.verifiers.reward import RewardModel

AVAILABLE = Available(
    verifiers={
        "judge": Judge(),
        "generative": Generative(),
        "process": Process(),
        "reward": RewardModel(name="reward"),
        "exact": Exact(reference="12"),
    },
    models=("other",),
)
SMALL: dict[str, dict[str, Any]] = {
    "ab-mcts": {"trials": 4},
    "adaptive": {"n_max": 16},
    "beam": {"n": 4, "width": 2, "depth": 4},
    "deepconf": {"n": 8, "warmup": 2, "window": 4},
    "dvts": {"n": 4, "width": 2, "depth": 4},
    "particles": {"n": 4, "depth": 4},
    "rebase": {"n": 4, "depth": 4},
    "scrutinise": {"n": 4, "votes": 2, "tie_votes": 2},
}
"""Small enough for many examples; what is not here takes its defaults."""
