"""Scores of a reward model behind vLLM's /pooling: `just reward`, or another server of the kind.

The server gives one row a token; a step has that of its last. So the text is tokenized there first,
with a mark behind each step, which is then taken out: the model never reads one. Refuses whatever
is not one probability a step; no score is ever made up.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx

from s1_core import chat
from s1_core.errors import UserError
from s1_core.steps import marked, parted

_WANTED = "serve a reward model there with `just reward`"
RIGHT = 1
"""which of a row's two probabilities is that of a right step"""


class RewardError(UserError):
    """A reward model's server that cannot be reached, or whose answer is no use."""


async def score(
    client: httpx.AsyncClient,
    url: str,
    model: str | None,
    question_prompt: str,
    steps: Sequence[str],
) -> list[float]:
    """Give P(right) of each step behind a generation prompt, `model` as the server calls it.

    Raises:
        RewardError: nobody answers, or not with one probability a step.
    """
    if not steps:
        return []
    root, named = url.rstrip("/").removesuffix("/v1"), {} if model is None else {"model": model}
    text = {"prompt": marked(question_prompt, steps), "add_special_tokens": False} | named
    ids, ends = _ids(await _post(client, f"{root}/tokenize", text), len(steps), root)
    body = {"input": ids, "encoding_format": "float", "task": "token_classify"} | named
    return _checked(await _post(client, f"{root}/pooling", body), ids, ends, f"{root}/pooling")


async def _post(client: httpx.AsyncClient, place: str, body: dict[str, Any]) -> Any:
    """Send a request and read the JSON of its answer; None where it is none."""
    try:
        response = await client.post(place, json=body)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise RewardError(f"no reward model answers at {place} ({reason}): is it up?") from error
    if not response.is_success:
        said = " ".join(response.text.split())[:300]
        raise RewardError(f"{place} answers {response.status_code}: {said}")
    try:
        return response.json()
    except ValueError:
        return None


def scorer(
    client: httpx.AsyncClient, url: str, model: str | None, text_format: chat.Format
) -> Callable[[str, str], Awaitable[list[float]]]:
    """Make what scores the steps of (question, thinking) by a server."""

    async def scores(question: str, thinking: str) -> list[float]:
        prompt = chat.generation_prompt(text_format, question)
        return await score(client, url, model, prompt, parted(thinking))

    return scores


def _ids(answer: Any, count: int, root: str) -> tuple[list[int], list[int]]:
    """Take the marks out of the ids of a marked text; say where each of `count` steps ends."""
    try:
        tokens = [int(token) for token in answer["tokens"]]
    except (ValueError, TypeError, LookupError) as error:
        raise RewardError(f"{root}/tokenize gives no token ids: {_WANTED}") from error
    mark = tokens[-1] if tokens else None
    ids = [token for token in tokens if token != mark]
    places = [at for at, token in enumerate(tokens) if token == mark]
    if len(places) != count:
        raise RewardError(f"{root} does not know the mark {chat.STEP_END} as one token: {_WANTED}")
    return ids, [at - nth - 1 for nth, at in enumerate(places)]


def _checked(answer: Any, ids: Sequence[int], ends: Sequence[int], place: str) -> list[float]:
    try:
        rows = answer["data"][0]["data"]
        found = len(rows)
        scores = [float(rows[end][RIGHT]) for end in ends] if found == len(ids) else []
    except (ValueError, TypeError, LookupError) as error:
        raise RewardError(f"{place} does not answer as a reward model: {_WANTED}") from error
    if found != len(ids):
        raise RewardError(f"{place} gave {found} rows for {len(ids)} tokens: {_WANTED}")
    if not all(math.isfinite(one) and 0 <= one <= 1 for one in scores):
        raise RewardError(f"{place} gave scores that are no probabilities: {scores[:5]}")
    return scores
