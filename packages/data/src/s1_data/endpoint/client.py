"""One call to an OpenAI-compatible endpoint, and what its ending means.

A reply; a refusal of this one question; a setback, after which a second try makes sense; or the
user's fault, which every other question would share. Never shows the key.
"""

from __future__ import annotations

import asyncio
import os
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING

from s1_core.errors import UserError
from s1_data.endpoint import replies
from s1_data.endpoint.config import EndpointConfig
from s1_data.endpoint.replies import Reply, Unusable

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S = 30.0
LONGEST_RETRY_AFTER_S = 300.0
_PASSING = (408, 425, 429)
_FATAL = (401, 402, 403, 404)
_VERSION = re.compile(r"/v\d+\w*(/|$)")


class Refusal(Exception):
    """The server refuses this one question, for good and for free."""


class Setback(Exception):
    """A call that brought nothing and may be tried again.

    `usage` is what it cost, where the server said so; `was_begun` says whether it may have cost
    something at all; `wait_s` is how long the server asked to be left alone.
    """

    def __init__(
        self,
        complaint: str,
        *,
        was_begun: bool,
        usage: tuple[int, int] | None = None,
        wait_s: float = 0.0,
    ) -> None:
        super().__init__(complaint)
        self.was_begun, self.usage, self.wait_s = was_begun, usage, wait_s


class Client:
    """A pool of connections to one endpoint; an async context manager."""

    def __init__(self, config: EndpointConfig, role: str) -> None:
        import httpx

        assert config.url is not None
        self._config, self._role = config, role
        self._key = os.environ.get(config.api_key_env, "").strip()
        self._url = completions_url(config.url)
        num, timeout_s = config.concurrency, config.timeout_s
        headers = {"Content-Type": "application/json"}
        try:
            httpx.URL(self._url)
            self._http = httpx.AsyncClient(
                headers=headers | ({"Authorization": f"Bearer {self._key}"} if self._key else {}),
                timeout=httpx.Timeout(None, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
                limits=httpx.Limits(max_connections=num, max_keepalive_connections=num),
            )
        except httpx.InvalidURL as error:
            raise UserError(f"--{role}.url {config.url} is not a url: {error}") from error
        except UnicodeEncodeError as error:
            raise UserError(
                f"the key in {config.api_key_env} is not plain ASCII; set it again"
            ) from error

    async def __aenter__(self) -> Client:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, traceback)

    async def send(self, body: bytes) -> Reply:
        """Make one call; raises Refusal, Setback or UserError when it brings no reply."""
        response = await self._response(body)
        if not response.is_success:
            raise self._fault(response)
        try:
            return replies.read(response.content)
        except Unusable as error:
            complaint = self._without_key(str(error))
            raise Setback(complaint, was_begun=True, usage=error.usage) from error

    async def _response(self, body: bytes) -> httpx.Response:
        import httpx

        limit_s = self._config.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._http.post(self._url, content=body)
        except TimeoutError as error:
            raise Setback(f"no reply within {limit_s:g} s", was_begun=True) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Setback(f"no connection to {self._url}: {error}", was_begun=False) from error
        except httpx.RequestError as error:
            complaint = f"the connection broke: {error or type(error).__name__}"
            raise Setback(complaint, was_begun=True) from error

    def _fault(self, response: httpx.Response) -> Exception:
        status = response.status_code
        said = f"HTTP {status}: {self._without_key(replies.quote(response.content))}"
        if status in _PASSING or status >= 500:
            wait_s = retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))
            return Setback(said, was_begun=False, wait_s=wait_s)
        if status in _FATAL or status < 400:
            state = "set" if self._key else "not set"
            return UserError(
                f"{self._url} answered {said}; check --{self._role}.url,"
                f" --{self._role}.model {self._config.model} and the key in"
                f" {self._config.api_key_env}, which is {state}"
            )
        return Refusal(said)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def completions_url(url: str) -> str:
    """Complete the root of an API, given with or without its version."""
    root = url.rstrip("/").removesuffix("/chat/completions")
    return f"{root}{'' if _VERSION.search(root) else '/v1'}/chat/completions"


def retry_after_s(header: str | None, now: datetime) -> float:
    """Read seconds or an HTTP date, at most LONGEST_RETRY_AFTER_S; 0 where it says nothing."""
    text = (header or "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return min(float(text), LONGEST_RETRY_AFTER_S)
    try:
        wait_s = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError):  # no date, or one without its zone
        return 0.0
    return min(max(wait_s, 0.0), LONGEST_RETRY_AFTER_S)
