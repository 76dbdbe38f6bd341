"""How a model behind an OpenAI-compatible endpoint is asked. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from s1_core.errors import require
from s1_data.endpoint.shard import Shard


@dataclass(frozen=True, kw_only=True)
class EndpointConfig:
    """One model behind one endpoint: how to decode, how hard to try, what it may cost."""

    RUN_ONLY: ClassVar[tuple[str, ...]] = (
        "url", "api_key_env", "max_tokens_field", "concurrency", "timeout_s", "max_retries",
        "backoff_s",
        "usd_per_million_input", "usd_per_million_output", "max_cost_usd", "max_tokens_total",
    )  # fmt: skip

    url: str | None = None
    """root of the API, with or without /v1"""
    model: str = ""
    """the name that the API knows the model by"""
    api_key_env: str = "OPENAI_API_KEY"
    """environment variable that holds the key; no key is sent when it is unset"""
    system: str | None = None
    """system prompt; the paper's teacher gets the bare question"""
    temperature: float | None = None
    """null: the server's own default"""
    top_p: float | None = None
    """null: the server's own default"""
    max_tokens: int = 32768
    """of one reply, thinking included"""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """what the server calls it; some reasoning models know the second only"""
    seed: int | None = None
    """sent with every call when not null"""
    concurrency: int = 16
    """calls in flight at a time"""
    timeout_s: float = 1800.0
    """of one call; long thinking takes long"""
    max_retries: int = 8
    """tries after the first, on 429, 5xx, lost connections and unusable replies"""
    backoff_s: float = 1.0
    """longest wait before the second try; it doubles with every try, up to a minute"""
    usd_per_million_input: float = 0.0
    """price of prompt tokens"""
    usd_per_million_output: float = 0.0
    """price of completion tokens"""
    max_cost_usd: float | None = None
    """no call is started that could take the total beyond it; counts earlier runs too, and each
    of n shards may spend an n-th of it"""
    max_tokens_total: int | None = None
    """the same for prompt and completion tokens together"""

    def __post_init__(self) -> None:
        require(self.url is None or bool(self.model), "an endpoint with a url wants a model too")
        require(
            self.url is None or _is_url(self.url),
            f"the url of an endpoint is {self.url!r}, wanted http://HOST:PORT or https://HOST",
        )
        require(self.max_tokens > 0, "max_tokens must be at least 1")
        require(self.concurrency > 0, "concurrency must be at least 1")
        require(self.timeout_s > 0, "timeout_s must be more than 0")
        require(self.max_retries >= 0, "max_retries must not be negative")
        require(self.backoff_s >= 0, "backoff_s must not be negative")
        prices = (self.usd_per_million_input, self.usd_per_million_output)
        require(min(prices) >= 0, "usd_per_million_* must not be negative")
        caps = [cap for cap in (self.max_cost_usd, self.max_tokens_total) if cap is not None]
        require(all(cap > 0 for cap in caps), "max_cost_usd and max_tokens_total must be above 0")
        require(
            self.max_cost_usd is None or max(prices) > 0,
            "max_cost_usd wants usd_per_million_input and usd_per_million_output: without prices"
            " nothing costs anything",
        )


@dataclass(frozen=True, kw_only=True)
class TeacherConfig(EndpointConfig):
    """Who writes the traces."""

    kind: Literal["bank", "reference", "endpoint"] = "endpoint"
    """bank: generated; reference: the human solution; endpoint: the model at teacher.url"""


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(EndpointConfig):
    """The model that grades answers and names domains where it is asked to (spec 1.4)."""

    system: str | None = None
    """a grading prompt in place of ours; it must ask for a last line that is Yes or No"""
    temperature: float | None = 0.0
    """null: the server's own default"""
    max_tokens: int = 8192
    """of one verdict"""
    max_retries: int = 8
    """tries after the first, also for replies that end in no verdict"""


@dataclass(frozen=True, kw_only=True)
class AskConfig:
    """Everything `python -m s1_data.teacher` can be told."""

    questions: str
    """questions artifact to ask"""
    out: str
    """the artifact to write; with --shard it is OUT.shard-i-of-n"""
    task: Literal["traces", "attempts"] = "traces"
    """traces: thinking and answer to learn from; attempts: answers to grade for difficulty, as in
    the paper with --config attempts-7b and attempts-32b (temperature 0.05, 32768 tokens)"""
    shard: str | None = None
    """i/n: only the i-th of n parts (i from 0), for Indexed Jobs; `just merge` joins them"""
    teacher: EndpointConfig = field(default_factory=EndpointConfig)
    """the model asked"""
    dry_run: bool = False
    """say how many calls are left and what they may cost, and stop"""

    def __post_init__(self) -> None:
        require(self.teacher.url is not None, "wanted --teacher.url and --teacher.model")
        Shard.parse(self.shard)


@dataclass(frozen=True, kw_only=True)
class MergeConfig:
    """Everything `python -m s1_data.merge` can be told."""

    out: str
    """the artifact to write; its shards lie beside it as OUT.shard-i-of-n"""


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port out of range, a bracket left open
        return False
