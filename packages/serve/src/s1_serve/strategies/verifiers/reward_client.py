"""Scores of a reward model behind vLLM's /pooling: `just reward`, or another server of the kind.

One request scores all steps of a thinking: each ends with a mark, and the server gives one row a
mark. Refuses whatever is not one probability a step; no score is ever made up.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx

from s1_core import chat
from s1_core.errors import UserError
from s1_core.steps import marked, parted

RIGHT = 1
"""which of a row's two probabilities is that of a right step"""


class RewardError(UserError):
    """A reward model's server that cannot be reached, or whose answer is no use."""


async def score(
    client: httpx.AsyncClient, url: str, model: str | None, question_prompt: str, steps: Sequence[str]
) -> list[float]:
    """Give P(right) of each step behind a generation prompt, `model` as the server calls it.

    Raises:
        RewardError: nobody answers, or not with one probability a step.
    """
    if not steps:
        return []
    place = f"{url.rstrip('/').removesuffix('/v1')}/pooling"
    body: dict[str, Any] = {
        "input": marked(question_prompt, steps),
        "encoding_format": "float",
        "add_special_tokens": False,
    } | ({} if model is None else {"model": model})
    try:
        response = await client.post(place, json=body)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise RewardError(f"no reward model answers at {place} ({reason}): is it up?") from error
    if not response.is_success:
        said = " ".join(response.text.split())[:300]
        raise RewardError(f"{place} answers {response.status_code}: {said}")
    return _checked(response, len(steps), place)


def scorer(
    client: httpx.AsyncClient, url: str, model: str | None, text_format: chat.Format
) -> Callable[[str, str], Awaitable[list[float]]]:
    """Make what scores the steps of (question, thinking) by a server."""

    async def scores(question: str, thinking: str) -> list[float]:
        prompt = chat.generation_prompt(text_format, question)
        return await score(client, url, model, prompt, parted(thinking))

    return scores


def _checked(response: httpx.Response, count: int, place: str) -> list[float]:
    try:
        rows = response.json()["data"][0]["data"]
        scores = [float(row[RIGHT]) for row in rows]
    except (ValueError, TypeError, LookupError) as error:
        raise RewardError(
            f"{place} does not answer as a reward model ({type(error).__name__}): serve one there"
            " with `just reward`"
        ) from error
    if len(scores) != count:
        raise RewardError(
            f"{place} gave {len(scores)} scores for {count} steps: another model of steps?"
        )
    if not all(math.isfinite(one) and 0 <= one <= 1 for one in scores):
        raise RewardError(f"{place} gave scores that are no probabilities: {scores[:5]}")
    return scores
