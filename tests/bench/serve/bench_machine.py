"""What the machine costs inside the engine: the same number of tokens with and without it.

A random model of 157M parameters with Qwen's vocabulary of 151,936: a step is mostly the model.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from s1_core import chat
from s1_serve.budget.plan import Limits, Plan, delimiters, resolve
from s1_serve.completions import CompletionRequest, Sampling
from s1_serve.config import ServeConfig, ThinkingBudget
from s1_serve.engine import Engine
from s1_serve.model import open_model
from s1_serve.options import quiet

TITLE = "a maximum of 40 thinking tokens and 16 more, 16 at a time (CPU, float32, 157M parameters)"
PEER = "greedy, no forcing"
REPEATS = 3
_SIZES = {
    "vocab_size": 151_936, "hidden_size": 640, "intermediate_size": 2560, "num_hidden_layers": 9,
    "num_attention_heads": 10, "num_key_value_heads": 2,
}  # fmt: skip
_NUM, _MAXIMUM, _ROOM = 16, 40, 64


def arms() -> dict[str, Callable[[], object]]:
    """Every arm generates 16 x 64 tokens: random weights hardly ever end by themselves."""
    quiet()
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from integration.serve import tiny

    folder = tempfile.mkdtemp(prefix="s1-bench-")
    model = open_model(str(tiny.build(Path(folder) / "model", **_SIZES)))
    engine = Engine(model, ServeConfig(kv_cache_gib=0.2, max_num_seqs=_NUM))
    marks = delimiters(model.format, model.text.encode, ())
    ids = [model.text.encode(chat.generation_prompt(model.format, f"{n}?")) for n in range(_NUM)]
    samplings = {
        "greedy": Sampling(),
        "sampled": Sampling(temperature=0.8, seed=1),
        "top-p": Sampling(temperature=0.8, top_p=0.95, seed=1),
    }

    def plan(prompt: tuple[int, ...], sampling: Sampling) -> Plan:
        limits = Limits(
            prompt_tokens=len(prompt), max_tokens=_ROOM, context=None, answer_reserve=16
        )
        budget = ThinkingBudget(max=_MAXIMUM)
        return resolve(budget, limits, marks, model.text.encode, sampling)

    def forced(sampling: Sampling) -> object:
        outcomes = engine.answer(ids, [plan(prompt, sampling) for prompt in ids])
        assert all(len(outcome.output_ids) == _ROOM for outcome in outcomes)
        return outcomes

    def plain(sampling: Sampling) -> object:
        return engine.complete(
            [
                CompletionRequest(
                    prompt_ids=prompt, max_tokens=_ROOM, stop_ids=(), sampling=sampling
                )
                for prompt in ids
            ]
        )

    found: dict[str, Callable[[], object]] = {}
    for name, sampling in samplings.items():
        found[f"{name}, forced"] = lambda sampling=sampling: forced(sampling)
        found[f"{name}, no forcing"] = lambda sampling=sampling: plain(sampling)
    return found
