"""What an evaluation measures. Refuses grids that measure nothing or contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from s1_core.errors import UserError
from s1_serve.config import EXTEND_WITH, ServeConfig
from s1_serve.evaluate import specs
from s1_serve.strategies.calibration import HOTTEST

NONE, BUDGET, EXTENDS, MAJORITY, REJECTION = "none", "budget", "extends", "majority", "rejection"
TOKENS, STEPS, CLASSES = "tokens", "steps", "classes"
FORCED = "+budget"
"""behind a control by prompt: its limit is also forced"""
METHODS = (
    NONE, BUDGET, EXTENDS,
    TOKENS, TOKENS + FORCED, STEPS, STEPS + FORCED, CLASSES, CLASSES + FORCED,
    REJECTION, MAJORITY,
)  # fmt: skip
DIRECT = "direct"
"""the run of `direct_model`, which no one asks for by name"""
STRATEGY = "strategy"
"""the runs of `strategies`, which have a field of their own"""
TOO_LONG = ("refuse", "wrong")
_COUNTS = ("budgets", "extends", "votes", "token_limits", "step_limits", "rejection_budgets")
TIES = ("fractional", "first", "shortest")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Measure a model on benchmarks over budgets, extends and votes, and write a report."""

    RUN_ONLY: ClassVar[tuple[str, ...]] = (
        "model", "endpoint", "benchmark", "out", "s1k", "direct_model", "gates", "judge", "workers",
        "concurrency", "reward", "other_model", "calibration",
    )  # fmt: skip

    benchmark: tuple[str, ...]
    """Questions artifacts with answers, `a` or `a,b` (`just benchmark --name NAME` writes one)."""
    out: str
    """Where the report goes; finished samples wait beside it in cache/."""
    model: str | None = None
    """A model artifact, or embedded."""
    endpoint: str | None = None
    """Instead of a model, a server: ours, one that takes token ids, or one that chats; S1_API_KEY
    holds its key."""
    served_model: str | None = None
    """The model's name at the endpoint; None takes the first it lists."""
    format: str = "s1"
    """The text format of an endpoint's model."""
    s1k: str | None = None
    """The training data, for its rate of planted slips."""
    direct_model: str | None = None
    """The model before fine-tuning; it gives the line of direct answering."""
    gates: str | None = None
    """The gate config that the report is for; its hash goes into the report's manifest."""
    methods: tuple[str, ...] = (NONE, BUDGET, EXTENDS, MAJORITY)
    """Of none, budget, extends, tokens, steps, classes (these three also as tokens+budget ...),
    rejection, majority; may be empty where there are strategies."""
    strategies: tuple[str, ...] = ()
    """Test-time strategies as they are served, one run each: majority:n=8, shortest:k=1,n=8 ..."""
    reward: str | None = None
    """A reward model (`just reward`), for strategies that need a verifier; without it the model
    judges itself, and a strategy may say verifier=judge, generative or process."""
    other_model: str | None = None
    """A second model, for cascades."""
    calibration: str | None = None
    """What `just calibrate` wrote, for auto."""
    budgets: list[int] = field(default_factory=lambda: [0, 8, 16, 32, 64, 128, 256])
    """Maximum thinking tokens of `budget`, one run each."""
    max: int = -1
    """Maximum of the runs with extends and of the samples; -1 leaves what fits."""
    extends: list[int] = field(default_factory=lambda: [0, 1, 2, 4, 6])
    """Forced extends, one run each; they need 0, to which the others are compared."""
    extend_with: str = EXTEND_WITH
    """The extend string under test."""
    control_arms: list[str] = field(default_factory=lambda: ["", "Alternatively", "Hmm"])
    """Other extend strings at the same counts: is it the string or the length?"""
    token_limits: list[int] = field(default_factory=lambda: [1024, 2048, 4096, 8192, 16384])
    """What the prompts of `tokens` name, one run each."""
    step_limits: list[int] = field(default_factory=lambda: [16, 32, 64, 128, 256])
    """What the prompts of `steps` name, one run each."""
    class_limit: int | None = None
    """Of `classes+budget`: most thinking tokens of the short class, fewest of the long one."""
    rejection_budgets: list[int] = field(default_factory=lambda: [32, 64, 128])
    """Maximum of `rejection`: an answer that thinks longer is drawn again; one run each."""
    tries: int = 8
    """How often `rejection` draws; what is still too long then counts as wrong."""
    votes: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    """Sizes of the majority votes, over the first samples."""
    tie: str = TIES[0]
    """Who wins a tied vote: fractional shares the credit; first, shortest."""
    temperature: float = 0.7
    """Of the sampled traces; every other run is greedy."""
    answer_tokens: int = 48
    """Most tokens of an answer that was cut into."""
    num_questions: int | None = None
    """Take the first questions of each benchmark only."""
    too_long: str = TOO_LONG[0]
    """A question that leaves a run no room: refuse the evaluation, or count its answer as wrong."""
    seed: int = 0
    """Of the samples and of the bootstrap."""
    shortcuts: bool = True
    """Let greedy runs share what is equal; one answer in twenty is made alone and compared."""
    judge: str | None = None
    """A chat endpoint that is asked where the rules call an answer wrong; S1_JUDGE_API_KEY."""
    judge_model: str | None = None
    """The judge's name; None takes the first that the endpoint lists."""
    concurrency: int = 32
    """Requests in flight at an endpoint."""
    workers: int = 2
    """Processes that grade answers."""
    serve: ServeConfig = field(default_factory=ServeConfig)

    @property
    def specs(self) -> tuple[str, ...]:
        """List the strategies, put together where the command line cut them at a comma."""
        return specs.joined(self.strategies)

    def __post_init__(self) -> None:
        self._check_source()
        self._check_methods()
        if self.max < -1:
            raise UserError(f"max is {self.max}: give -1 (what fits) or a count from 0")
        self._check_grids()
        self._check_strategies()
        if self.class_limit is not None and self.class_limit < 1:
            raise UserError(f"class_limit is {self.class_limit}: give a count from 1")
        if min(self.answer_tokens, self.workers, self.concurrency, self.tries) < 1:
            raise UserError("answer_tokens, workers, concurrency and tries must be at least 1")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}: give one from 0")
        if self.num_questions is not None and self.num_questions < 1:
            raise UserError(f"num_questions is {self.num_questions}: give a count from 1")

    def _check_source(self) -> None:
        if (self.model is None) == (self.endpoint is None):
            raise UserError("give either --model (an artifact, or embedded) or --endpoint URL")
        if self.endpoint and self.direct_model:
            raise UserError("direct_model is run in this process: leave it out with an endpoint")
        if self.endpoint and (self.reward or self.other_model or self.calibration):
            raise UserError(
                "reward, other_model and calibration are of a model in this process: an endpoint "
                "has its own"
            )
        if not self.benchmark:
            raise UserError("no benchmark: give --benchmark DIR (`just benchmark` writes one)")

    def _check_methods(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise UserError(f"unknown method {method!r}; valid are {', '.join(METHODS)}")
        if not self.methods and not self.strategies:
            raise UserError(f"no method: give some of {', '.join(METHODS)}")
        if CLASSES + FORCED in self.methods and self.class_limit is None:
            raise UserError("classes+budget forces a length: give --class_limit, in tokens")
        for name, known in (("tie", TIES), ("too_long", TOO_LONG)):
            if (value := getattr(self, name)) not in known:
                raise UserError(f"{name} is {value!r}: give one of {', '.join(known)}")

    def _check_grids(self) -> None:
        for name in _COUNTS:
            values, least = getattr(self, name), 0 if name in ("budgets", "extends") else 1
            if not values or min(values) < least:
                raise UserError(f"{name} are {values}: give counts from {least}")
        if 0 not in self.extends:
            raise UserError(f"extends are {self.extends}: give counts from 0, 0 among them")
        is_sampled = self.strategies or {MAJORITY, REJECTION} & {*self.methods}
        if is_sampled and self.temperature <= 0:
            raise UserError(f"temperature is {self.temperature}: equal samples cannot vote")
        if not 0 <= self.temperature <= HOTTEST:  # nan is not, either
            raise UserError(f"temperature is {self.temperature}: give one from 0 to {HOTTEST:g}")
        if self.extend_with in self.control_arms:
            raise UserError(f"{self.extend_with!r} is extend_with and a control arm: keep one")
        for name in ("benchmark", "methods", "control_arms", *_COUNTS):
            values = getattr(self, name)
            if len({*values}) < len(values):
                raise UserError(f"{name} are {list(values)}: give every value once")

    def _check_strategies(self) -> None:
        if len({*self.specs}) < len(self.specs):
            raise UserError(f"strategies are {', '.join(self.specs)}: give every one once")
        for spec in self.specs:
            specs.known(spec)
            if any(self._is_beyond(budget) for budget in specs.budgets(spec)):
                raise UserError(
                    f"{spec} has budgets beyond max, which is {self.max}: lower them or raise max"
                )

    def _is_beyond(self, budget: float) -> bool:
        return self.max != -1 and (budget == -1 or budget > self.max)
