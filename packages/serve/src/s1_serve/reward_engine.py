"""A process reward model in this process: questions and thinking in, P(right) of each step out.

The model is the one that `just reward` serves, on the same vLLM runner. Refuses a model that
answers instead of scoring. Importing this module loads neither torch nor vLLM.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

from s1_core import chat
from s1_core.steps import parted, passages
from s1_serve.config import ServeConfig
from s1_serve.engine import started
from s1_serve.model import Model, check_fit, open_model
from s1_serve.options import engine_options, quiet

if TYPE_CHECKING:
    from vllm.v1.engine.llm_engine import LLMEngine

KIND = "reward"
RIGHT = 1
"""which of a step's two probabilities is that of being right"""


def open_reward(path: str) -> Model:
    """Read a reward model's artifact without starting an engine.

    Raises:
        UserError: no artifact, an altered file, or a model that answers.
    """
    return open_model(path, kind=KIND)


def pooling_options(model: Model, config: ServeConfig) -> dict[str, Any]:
    """Give the settings of a vLLM engine that scores every token, by vLLM's names of them."""
    from vllm.config import PoolerConfig

    return engine_options(model, config) | {
        "runner": "pooling",
        "pooler_config": PoolerConfig(tok_pooling_type="ALL"),
        "enable_prefix_caching": False,  # rows of a cached prefix would be missing
    }


class RewardEngine:
    """Scores on one vLLM engine, which starts with the first of them."""

    def __init__(self, path: str, config: ServeConfig | None = None) -> None:
        """Read the folder.

        Raises:
            UserError: it is no reward model, or its keys and values do not fit.
        """
        self._model, self._config = open_reward(path), config or ServeConfig()
        self.sha256 = self._model.artifact.sha256
        self.context = self._config.context or self._model.context
        check_fit(self._model, self._config)

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[list[float] | None]:
        """Give P(right) of each step of `parted(thinking)`, for (question, thinking) pairs.

        None where the pair is longer than the context; a thinking without steps has no scores.
        """
        prompts = [chat.generation_prompt(self._model.format, question) for question, _ in pairs]
        return self.score_steps(
            [(prompt, parted(pair[1])) for prompt, pair in zip(prompts, pairs, strict=True)]
        )

    def score_steps(self, pairs: Sequence[tuple[str, Sequence[str]]]) -> list[list[float] | None]:
        """Do the same for (generation prompt, steps) pairs."""
        found: dict[str, list[float] | None] = {}
        ends: dict[str, list[int]] = {}
        for number, (prompt, steps) in enumerate(pairs):
            ids = [self._model.text.encode(passage) for passage in passages(prompt, steps)]
            name = str(number)
            ends[name] = list(accumulate(map(len, ids)))
            if steps and ends[name][-1] <= self.context:
                self._ask(name, ids)
            else:
                found[name] = None if steps else []
        while self._vllm.has_unfinished_requests():
            for output in self._vllm.step():
                last = [end - 1 for end in ends[output.request_id]]
                scores: Any = output.outputs  # of a pooling runner
                found[output.request_id] = scores.data[last, RIGHT].tolist()
        return [found[str(number)] for number in range(len(pairs))]

    def _ask(self, name: str, ids: Sequence[Sequence[int]]) -> None:
        from vllm import PoolingParams

        params = PoolingParams(task="token_classify")
        self._vllm.add_request(name, {"prompt_token_ids": list(chain(*ids))}, params)

    @cached_property
    def _vllm(self) -> LLMEngine:
        quiet()
        options = pooling_options(self._model, self._config)
        return started(self._model, self._config, options)
