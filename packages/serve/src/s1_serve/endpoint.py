"""An OpenAI-compatible server as a Completer, one request after the other.

Needs what vLLM's server offers: prompts of token ids, `return_token_ids`, `min_tokens`,
`stop_token_ids` and /tokenize. Refuses servers that answer without token ids.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Sequence
from typing import Any

import httpx

from s1_core import chat
from s1_core.errors import UserError
from s1_serve.completions import Completion, CompletionRequest
from s1_serve.contract.tts import NO_ANSWER

TIMEOUT_S = 600.0
STRATEGY_TIMEOUT_S = 3600.0
"""of all samples of a strategy, which wait for others; where the service tells nothing else"""
BUSY = (429, 502, 503, 504)


class Unavailable(UserError):
    """The server is busy, starting or gone: the same request may work later."""


class Fruitless(UserError):
    """A strategy ran and came to no answer, and would again; `tts` is what is said of it."""

    def __init__(self, said: str, tts: Any) -> None:
        super().__init__(said)
        self.tts = tts


class Endpoint:
    """A Completer, Streamer and Codec over HTTP; `url` is the server's root or ends in /v1."""

    def __init__(self, url: str, api_key: str | None = None, model: str | None = None) -> None:
        """Reach the server and find `model`, or the first that it lists.

        Raises:
            UserError: it is not there, not an API server, or does not have the model.
        """
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.url = url.rstrip("/").removesuffix("/v1")
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.Client(
            base_url=self.url, headers=headers, timeout=TIMEOUT_S, limits=limits
        )
        card = self._card(model)
        self.model: str = card["id"]
        self.context: int | None = card.get("max_model_len")
        self.thinking: dict[str, Any] | None = card.get("thinking")
        """What a service of ours says of its model; None at any other server."""
        self.tts: dict[str, Any] = card.get("tts") or {}
        """what it says of its strategies"""

    @property
    def keeps_budgets(self) -> bool:
        """Say whether it is a service of ours: a budget is a field of the request."""
        return self.thinking is not None

    @property
    def strategy_timeout_s(self) -> float:
        """Tell how long a strategy may take that does not stream."""
        return float(self.tts.get("timeout_s") or STRATEGY_TIMEOUT_S)

    def _card(self, model: str | None) -> dict[str, Any]:
        listed = self.call("GET", "/v1/models")
        try:
            cards: dict[str, dict[str, Any]] = {card["id"]: card for card in listed["data"]}
        except (TypeError, KeyError) as error:
            raise UserError(
                f"{self.url}/v1/models lists no models: is it an API server?"
            ) from error
        if not cards or (model is not None and model not in cards):
            raise UserError(f"{self.url} has no model {model or ''}; it has {', '.join(cards)}")
        return cards[model] if model else next(iter(cards.values()))

    @property
    def takes_tokens(self) -> bool:
        """Say whether it completes token ids and returns them, so that the loop can use it."""
        try:
            request = CompletionRequest(prompt_ids=self.encode("1"), max_tokens=1, stop_ids=())
            self._complete(request)
        except Unavailable:
            raise
        except (UserError, KeyError, TypeError, IndexError):
            return False
        return True

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """Answer the requests in order, sequentially."""
        return [self._complete(request) for request in requests]

    def stream(self, request: CompletionRequest) -> Generator[tuple[int, ...], None, Completion]:
        """Answer one request, yielding tokens as the server sends them."""
        tokens: tuple[int, ...] = ()
        for event in self.events("/v1/completions", completion_body(request, self.model)):
            for choice in event["choices"]:
                piece = _token_ids(choice, self.url)
                tokens += piece
                if choice.get("finish_reason") == "stop":
                    piece = piece[:-1]
                if piece:
                    yield piece
                if choice.get("finish_reason"):
                    return _completion(tokens, choice["finish_reason"], self.url)
        raise UserError(f"{self.url} closed the stream before the end; is the server still up?")

    def events(self, path: str, body: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
        """Post a request that streams; give its events.

        Raises:
            UserError: the server refuses it, fails, or is not there.
        """
        try:
            with self._client.stream("POST", path, json=body | {"stream": True}) as response:
                if response.is_error:
                    response.read()
                    raise self._refusal(response)
                yield from _events(response)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def encode(self, text: str) -> tuple[int, ...]:
        body = {"model": self.model, "prompt": text, "add_special_tokens": False}
        return tuple(self.call("POST", "/tokenize", body)["tokens"])

    def decode(self, ids: Sequence[int]) -> str:
        body = {"model": self.model, "tokens": list(ids)}
        return str(self.call("POST", "/detokenize", body)["prompt"])

    def stop_ids(self) -> tuple[int, ...]:
        """Return what ends an answer: the turn end and the end of text."""
        ends = [self.encode(mark) for mark in (chat.TURN_END, chat.END_OF_TEXT)]
        return tuple(ids[0] for ids in ends if len(ids) == 1)

    def _complete(self, request: CompletionRequest) -> Completion:
        body = completion_body(request, self.model)
        choice = self.call("POST", "/v1/completions", body)["choices"][0]
        return _completion(_token_ids(choice, self.url), choice["finish_reason"], self.url)

    def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, Any]:
        """Send one request and read its JSON.

        Raises:
            Unavailable: the server is busy or gone.
            Fruitless: it ran a strategy that came to no answer.
            UserError: it refuses, or answers no JSON.
        """
        try:
            response = self._client.request(method, path, json=body, timeout=timeout_s)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise self._refusal(response)
        try:
            answer: dict[str, Any] = response.json()
        except ValueError as error:
            raise UserError(f"{self.url}{path} answers no JSON: is it an API server?") from error
        return answer

    def _unreachable(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(f"no answer from {self.url} ({type(error).__name__}): start it first")

    def _refusal(self, response: httpx.Response) -> UserError:
        said, error, tts = response.text, None, None
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            body = response.json()
            said, error, tts = body["error"]["message"], body["error"].get("type"), body.get("tts")
        line = f"{response.url} answers {response.status_code}: {' '.join(said.split())[:300]}"
        if error == NO_ANSWER:
            return Fruitless(line, tts)
        return Unavailable(line) if response.status_code in BUSY else UserError(line)


def completion_body(request: CompletionRequest, model: str) -> dict[str, Any]:
    """Write a request for token ids as vLLM's completions API reads it."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "prompt": list(request.prompt_ids),
        "max_tokens": request.max_tokens,
        "min_tokens": min(request.min_tokens, request.max_tokens),
        "stop_token_ids": list(request.stop_ids),
        "ignore_eos": True,
        "return_token_ids": True,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
    }
    if sampling.seed is not None and not sampling.is_greedy:
        body["seed"] = sampling.seed
    return body


def _events(response: httpx.Response) -> Generator[dict[str, Any], None, None]:
    for line in lines(response):
        if line.startswith(b"data: ") and line != b"data: [DONE]":
            event = json.loads(line.removeprefix(b"data: "))
            if "choices" not in event:
                raise UserError(f"{response.url} answers {line[:300].decode(errors='replace')}")
            yield event


def lines(response: httpx.Response) -> Generator[bytes, None, None]:
    """Part lines at newlines alone; httpx parts them at U+2028 too, within a JSON string."""
    pending = b""
    for piece in response.iter_bytes():
        *whole, pending = (pending + piece).split(b"\n")
        yield from whole
    yield pending


def _token_ids(choice: dict[str, Any], url: str) -> tuple[int, ...]:
    ids = choice.get("token_ids")
    if ids is None:
        raise UserError(
            f"{url} returns no token ids (return_token_ids): budgets cannot be counted; use vLLM"
        )
    return tuple(ids)


def _completion(tokens: tuple[int, ...], reason: str, url: str) -> Completion:
    if reason == "stop":
        return Completion(token_ids=tokens[:-1], finish_reason="stop")
    if reason != "length":
        raise UserError(f"{url} ended a completion with {reason!r}, wanted stop or length")
    return Completion(token_ids=tokens, finish_reason="length")
