"""A client that never tries again and never reuses a connection: what it loses was lost.

A connection of its own for every request is what new clients have, and what a restart can refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from s1_core.errors import UserError
from s1_serve import endpoint
from s1_serve.contract.api import Dialect
from s1_serve.release.gates.endpoint.dialects import Broken, Json, Said, streamed, whole

_SHOWN = 200
_FRESH = httpx.Limits(max_connections=None, max_keepalive_connections=0)


class Asker:
    """Asks one endpoint, from any number of threads."""

    def __init__(self, url: str, api_key: str | None, timeout_s: float) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        root = url.rstrip("/").removesuffix("/v1")
        try:
            self._client = httpx.Client(
                base_url=root, headers=headers, timeout=timeout_s, limits=_FRESH
            )
        except httpx.InvalidURL as error:
            raise UserError(f"{url} is no URL ({error}): give http://HOST:PORT") from error

    def card(self) -> Json:
        """Give what the endpoint says of its first model; Broken where it lists none of ours."""
        listed = self._json("GET", "/v1/models", None)
        cards = listed.get("data") or []
        if not cards or not isinstance(cards[0].get("thinking"), dict):
            raise Broken("it lists no model that keeps budgets: is it the service?")
        return dict(cards[0])

    def num_tokens(self, model: str, text: str) -> int:
        """Count the tokens of a text."""
        body = {"model": model, "prompt": text, "add_special_tokens": False}
        return len(self._json("POST", "/tokenize", body)["tokens"])

    def whole(self, dialect: Dialect, body: Json) -> Said:
        """Ask for a reply in one piece."""
        return whole(dialect, self._json("POST", dialect.value, body))

    def stream(
        self, dialect: Dialect, body: Json, opened: Callable[[], None] = lambda: None
    ) -> Said:
        """Ask for a stream and read it to its end; `opened` is called at its first bytes."""
        body = body | {"stream": True}
        if dialect in (Dialect.CHAT, Dialect.COMPLETIONS):
            body |= {"stream_options": {"include_usage": True}}
        try:
            with self._client.stream("POST", dialect.value, json=body) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    raise _refused(response)
                opened()
                return streamed(dialect, endpoint.lines(response))
        except httpx.HTTPError as error:
            raise _broke(error) from error

    def _json(self, method: str, path: str, body: Json | None) -> Any:
        try:
            response = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise _broke(error) from error
        if response.status_code != httpx.codes.OK:
            raise _refused(response)
        try:
            return response.json()
        except ValueError as error:
            raise Broken(f"{path} answers no JSON") from error


def _broke(error: httpx.HTTPError) -> Broken:
    return Broken(f"the connection broke ({type(error).__name__})")


def _refused(response: httpx.Response) -> Broken:
    said = " ".join(response.text.split())[:_SHOWN]
    return Broken(f"HTTP {response.status_code}: {said}")
