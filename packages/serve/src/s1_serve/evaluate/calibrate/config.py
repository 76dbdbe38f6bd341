"""What a calibration measures, and of which model. Refuses what cannot tell a family."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from s1_core.errors import UserError
from s1_serve.config import ServeConfig
from s1_serve.evaluate.calibrate.horizon import LEAST_TRACES
from s1_serve.evaluate.config import MAJORITY, EvaluateConfig
from s1_serve.strategies.calibration import HOTTEST


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig:
    """Find out whether a model is right when it thinks briefly or long, and how hot to draw it."""

    RUN_ONLY: ClassVar[tuple[str, ...]] = (
        "samples", "model", "endpoint", "benchmark", "out", "workers", "concurrency",
    )  # fmt: skip

    out: str = "artifacts/calibration"
    """Where calibration.json goes; finished samples wait beside it in cache/."""
    model: str | None = None
    """A model artifact, or embedded."""
    endpoint: str | None = None
    """Instead of a model, a server: ours, one that takes token ids, or one that chats; S1_API_KEY
    holds its key."""
    samples: str | None = None
    """Instead of both, stored samples: a report, its samples.parquet, or a JSONL as `just replay`
    reads it; these tell no temperature."""
    benchmark: tuple[str, ...] = ()
    """Questions artifacts with answers (`just benchmark --name NAME` writes one)."""
    run: str | None = None
    """Which sampled run of a report, where it holds several."""
    served_model: str | None = None
    """The model's name at the endpoint; None takes the first it lists."""
    format: str = "s1"
    """The text format of an endpoint's model."""
    num_traces: int = LEAST_TRACES
    """Traces of each question; the paper's 8 are the least."""
    num_questions: int | None = None
    """Take the first questions of each benchmark only."""
    temperature: float = 0.6
    """Of the traces; the paper's."""
    max: int = -1
    """Most thinking tokens of a trace; -1 leaves what fits."""
    answer_tokens: int = 48
    """Most tokens of an answer that was cut into."""
    thinks: bool = True
    """False for a model that was not made to think: its family is that, whatever its traces say."""
    turn: bool = True
    """Look for the temperature at which entropy turns (TURN); wants logprobs."""
    temperatures: list[float] = field(
        default_factory=lambda: [round(0.1 * step, 1) for step in range(1, 15)]
    )
    """Those that TURN tries, in rising order."""
    turn_questions: int = 32
    """Prompts at each of them, one sample each."""
    turn_tokens: int = 512
    """Most tokens of such a sample."""
    seed: int = 0
    """Of the traces and of the bootstrap."""
    concurrency: int = 32
    """Requests in flight at an endpoint."""
    workers: int = 2
    """Processes that grade answers."""
    serve: ServeConfig = field(default_factory=ServeConfig)

    def __post_init__(self) -> None:
        given = [name for name in ("model", "endpoint", "samples") if getattr(self, name)]
        if len(given) != 1:
            raise UserError("give one of --model (an artifact, or embedded), --endpoint, --samples")
        if self.samples is None and not self.benchmark:
            raise UserError("no benchmark: give --benchmark DIR (`just benchmark` writes one)")
        if self.samples and self.benchmark:
            raise UserError("stored samples have their questions: leave out --benchmark")
        if self.num_traces < LEAST_TRACES:
            raise UserError(f"num_traces is {self.num_traces}: give at least {LEAST_TRACES}")
        rising = all(a < b for a, b in zip(self.temperatures, self.temperatures[1:], strict=False))
        heats = self.temperatures
        if len(heats) < 3 or not (rising and heats[0] > 0 and heats[-1] <= HOTTEST):
            raise UserError(
                f"temperatures: give three or more above 0, up to {HOTTEST:g}, in rising order"
            )
        if min(self.turn_questions, self.turn_tokens, self.workers, self.concurrency) < 1:
            raise UserError(
                "turn_questions, turn_tokens, workers and concurrency must be at least 1"
            )
        if self.samples is None:
            self.evaluation()

    def evaluation(self) -> EvaluateConfig:
        """Give the evaluation whose samples are the traces."""
        return EvaluateConfig(
            model=self.model,
            endpoint=self.endpoint,
            served_model=self.served_model,
            format=self.format,
            benchmark=self.benchmark,
            out=self.out,
            methods=(MAJORITY,),
            votes=[self.num_traces],
            num_questions=self.num_questions,
            max=self.max,
            answer_tokens=self.answer_tokens,
            temperature=self.temperature,
            too_long="wrong",
            seed=self.seed,
            concurrency=self.concurrency,
            workers=self.workers,
            serve=self.serve,
        )
