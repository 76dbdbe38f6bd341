"""Configuration of the serve verbs, torch-free. Refuses values that contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from s1_core.errors import UserError
from s1_serve.strategies.verifiers.config import VerifierConfig

EXTEND_WITH = "Wait"
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class ThinkingBudget:
    """How long to think, in tokens after the thinking header."""

    max: int | None = None
    """Most thinking tokens; None or -1 leaves what fits before the answer; 0 answers at once."""
    min: int = 0
    """Fewest thinking tokens; ends before it are extended."""
    extends: int = 0
    """How often an attempt to end is turned into more thinking."""
    extend_with: str | list[str] = EXTEND_WITH
    """What replaces the end; a list is used in turn, its last item repeats."""

    def __post_init__(self) -> None:
        if self.max is not None and self.max < -1:
            raise UserError(f"max is {self.max}: give -1 (what fits) or a count from 0")
        for name in ("min", "extends"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}: give a count from 0")
        if self.max not in (None, -1) and self.min > (self.max or 0):
            raise UserError(
                f"min is {self.min} and max is {self.max}: give a minimum not above the maximum"
            )
        if not self.extend_with and not isinstance(self.extend_with, str):
            raise UserError("extend_with is an empty list: give a string or a list of strings")


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """The engine. On CPU it is eager and computes in float32 unless told otherwise."""

    RUN_ONLY: ClassVar[tuple[str, ...]] = ("kv_cache_gib", "max_num_seqs")

    dtype: str = "auto"
    """Auto is float32 on CPU and the checkpoint's type elsewhere."""
    context: int | None = None
    """Most tokens of prompt and output together; None takes the model's own."""
    kv_cache_gib: float = 0.5
    """Memory for keys and values; prompts and outputs of a batch live there."""
    max_num_seqs: int = 256
    """Requests generated at the same time."""
    answer_reserve: int = 64
    """Tokens kept for the answer when no maximum is given."""
    seed: int = 0
    """Of the engine; sampled requests carry their own."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UserError(f"dtype {self.dtype!r} is unknown: give one of {', '.join(DTYPES)}")
        if self.context is not None and self.context < 1:
            raise UserError(f"context is {self.context}: give a count of tokens from 1")
        if self.kv_cache_gib <= 0:
            raise UserError(f"kv_cache_gib is {self.kv_cache_gib}: give more than 0")
        if self.max_num_seqs < 1 or self.answer_reserve < 1:
            raise UserError("max_num_seqs and answer_reserve must be at least 1")


@dataclass(frozen=True, kw_only=True)
class AttemptsConfig:
    """Answer every question once, without forcing."""

    RUN_ONLY: ClassVar[tuple[str, ...]] = ("questions", "out", "model")

    questions: str
    """A questions artifact."""
    out: str
    """Where the attempts artifact goes."""
    model: str = "embedded"
    """A model artifact, or embedded."""
    think: bool = False
    """Open the answer with the thinking header; off, the model answers as it likes."""
    max_tokens: int = 256
    """Most tokens of one attempt."""
    temperature: float = 0.0
    """0 is greedy."""
    seed: int = 0
    """Of the sampled attempts."""
    serve: ServeConfig = field(default_factory=ServeConfig)

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.temperature < 0:
            raise UserError("max_tokens must be at least 1 and temperature at least 0")


@dataclass(frozen=True, kw_only=True)
class AskConfig:
    """Ask one question and watch the thinking."""

    POSITIONAL: ClassVar[str] = "question"

    question: str
    """The question, as the first argument."""
    model: str = "artifacts/demo/model"
    """A model artifact, or embedded."""
    endpoint: str | None = None
    """Instead of a model, a server: ours, or one that takes token ids; S1_API_KEY holds its key."""
    format: str = "s1"
    """The text format of the endpoint's model."""
    budget: int = -1
    """Most thinking tokens; -1 leaves what fits before the answer."""
    min: int = 0
    """Fewest thinking tokens."""
    extends: int = 0
    """How often an attempt to end is turned into more thinking."""
    extend_with: str | list[str] = EXTEND_WITH
    """What replaces the end."""
    max_tokens: int | None = None
    """Most tokens of thinking and answer together."""
    temperature: float | None = None
    """0 is greedy; None is 0, and 1 with a strategy: its samples are to differ."""
    seed: int = 0
    """Of a sampled answer."""
    strategy: str | None = None
    """How many samples are one answer: name or name:key=value,key=value, as in majority:n=8."""
    total_tokens: int | None = None
    """Most tokens of all samples of a strategy together."""
    deadline_s: float | None = None
    """When a strategy answers with the best it has by then."""
    serve: ServeConfig = field(default_factory=ServeConfig)

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise UserError('the question is empty: just ask "How many r in raspberry?"')
        for name in ("total_tokens", "deadline_s"):
            if (found := getattr(self, name)) is not None and (found <= 0 or not self.strategy):
                raise UserError(f"{name} is {found}: give more than 0, with a --strategy")
        _ = self.thinking

    @property
    def heat(self) -> float:
        """The temperature that samples are drawn with."""
        return float(self.strategy is not None) if self.temperature is None else self.temperature

    @property
    def thinking(self) -> ThinkingBudget:
        return ThinkingBudget(
            max=self.budget, min=self.min, extends=self.extends, extend_with=self.extend_with
        )


@dataclass(frozen=True, kw_only=True)
class ListenConfig:
    """Where a server listens, under which name, and who may ask."""

    model: str = "artifacts/demo/model"
    """A model artifact, or embedded."""
    host: str = "127.0.0.1"
    """Address to listen on; beyond loopback the server wants API keys."""
    port: int = 8000
    """Port to listen on."""
    name: str | None = None
    """The model's name in the API; None takes the artifact's folder name."""
    api_keys_file: str | None = None
    """A file of API keys, one a line; keys also come from the variable S1_API_KEYS."""
    open: bool = False
    """Answer beyond loopback without keys: whoever reaches the port may ask."""

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise UserError(f"port is {self.port}: give one from 1 to 65535")


@dataclass(frozen=True, kw_only=True)
class ServiceConfig(ListenConfig):
    """Serve a model behind the OpenAI and Anthropic APIs, with budgets, and a page at /ui."""

    max_body_mib: float = 4.0
    """Largest request body."""
    max_answers: int = 256
    """Answers in flight or waiting, above which requests are told to come again (429)."""
    drain_s: float = 60.0
    """How long running answers may take to end after SIGTERM."""
    request_timeout_s: int = 3600
    """How long an answer that does not stream may take."""
    tool_parser: str | None = "hermes"
    """vLLM's parser of tool calls; None switches automatic tool calls off."""
    reasoning_content: bool = True
    """Repeat `reasoning` as `reasoning_content`, the name older clients read."""
    logs_prompts: bool = False
    """Write requests into the log as they came."""
    strategy_slots: int | None = None
    """Samples of strategies in flight, all requests together; None is 64, and 4 without a GPU,
    where 16 made plain requests wait three times as long for their first token."""
    strategy_requests: int = 64
    """Strategies at work or waiting, above which they are told to come again (429)."""
    verifiers: list[VerifierConfig] = field(default_factory=lambda: [VerifierConfig(kind="judge")])
    """Who may judge candidates; the first is taken where a request names none."""
    models: dict[str, str] = field(default_factory=dict)
    """URLs of other models by the names that requests use; their key is S1_API_KEY[_NAME]."""
    calibration: str | None = None
    """What `just calibrate` wrote about the model, for the strategy auto."""
    serve: ServeConfig = field(default_factory=ServeConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = ("max_answers", "strategy_slots", "strategy_requests")
        for name in ("max_body_mib", "drain_s", "request_timeout_s", *counts):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise UserError(f"{name} is {getattr(self, name)}: give more than 0")
        self._check_names()

    def _check_names(self) -> None:
        names = [verifier.name for verifier in self.verifiers]
        if twice := {name for name in names if names.count(name) + (name in self.models) > 1}:
            raise UserError(f"two models or verifiers are called {min(twice)}: rename one")
        for name, url in self.models.items():
            if not url.startswith(("http://", "https://")):
                raise UserError(f"models.{name} is {url!r}: give http://HOST:PORT")
        for verifier in self.verifiers:
            if verifier.kind == "reward" and verifier.url is None:
                raise UserError(f"verifier {verifier.name} is a reward model: give its url")
            if verifier.url is None and verifier.model not in (None, *self.models):
                known = ", ".join(self.models) or "none"
                raise UserError(
                    f"verifier {verifier.name} asks model {verifier.model!r}: models has {known}"
                )


@dataclass(frozen=True, kw_only=True)
class RewardConfig(ListenConfig):
    """Serve a process reward model: vLLM's /pooling gives P(wrong), P(right) behind each step."""

    model: str = "artifacts/prm/model"
    """A reward artifact: what `just export` makes of a run on steps."""
    port: int = 8001
    """Port to listen on."""
    serve: ServeConfig = field(default_factory=ServeConfig)
