"""What is known of a run: its samples and how each event changes them.

Pure. Events that were heard before, or of samples that have ended, change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from s1_serve.strategies.calls import Call, Step, is_verifier

State = Literal["waiting", "running", "thought", "finished", "aborted", "failed"]
"""thought: its thinking has ended and the answer is being written"""
LIVE = ("waiting", "running", "thought")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a call came to."""

    thinking: str = ""
    """Of a step: this step's alone."""
    answer: str = ""
    token_ids: tuple[int, ...] = ()
    """Of a step: what the next one continues from, this step's alone."""
    tokens: int = 0
    """All that were generated: thinking, delimiters, answer, a verifier's words."""
    thinking_tokens: int = 0
    end: str = "natural"
    """How thinking ended (budget.plan.End); of a step that goes on: open."""
    extends: int = 0
    """How often an end was turned into more thinking; of a step: in this step alone."""
    finish_reason: str = "stop"
    vote: str | None = None
    """The form in which the answer votes (ballots.form); None has no vote."""
    mean_logprob: float | None = None
    scores: tuple[float, ...] = ()
    """Of a reward call: P(right) of each step, 0 to 1."""
    message: Mapping[str, Any] = field(default_factory=dict)
    """The chat message as it came, tool calls and all; empty elsewhere."""
    choice: Mapping[str, Any] = field(default_factory=dict)
    """The whole choice of the reply, for who passes it on."""
    prompt_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A call and what became of it so far."""

    call: Call
    state: State = "waiting"
    base: int = 0
    """Tokens generated one after another before it could be asked for."""
    tokens: int = 0
    thinking_tokens: int = 0
    confidences: tuple[float, ...] = ()
    """Of every token so far: minus the mean of its top logprobs; empty unless asked for."""
    result: Result = field(default_factory=Result)
    failure: str = ""

    @property
    def id(self) -> str:
        return self.call.id

    @property
    def is_live(self) -> bool:
        """Say whether it may still cost tokens."""
        return self.state in LIVE

    @property
    def is_finished(self) -> bool:
        return self.state == "finished"

    @property
    def is_candidate(self) -> bool:
        """Say whether it is an answer or on its way to one, not a verdict."""
        return not is_verifier(self.call)

    @property
    def has_answered(self) -> bool:
        """Say whether it is finished and holds an answer; a step that goes on does not."""
        return self.is_finished and self.is_candidate and self.result.end != "open"

    @property
    def reply(self) -> str:
        """Give what it said where it came to its end; a verdict that was cut may become another."""
        is_whole = self.is_finished and self.result.finish_reason != "length"
        return self.result.answer if is_whole else ""

    @property
    def sequential(self) -> int:
        """Count the tokens one after another from the request to the last of this sample."""
        return self.base + self.tokens


@dataclass(frozen=True)
class Started:
    """The engine has begun."""

    id: str


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A running sample has come so far; counts are totals, `confidences` the newest tokens'."""

    id: str
    tokens: int
    thinking_tokens: int
    has_thought: bool = False
    confidences: tuple[float, ...] = ()


@dataclass(frozen=True)
class Finished:
    """It is done."""

    id: str
    result: Result


@dataclass(frozen=True)
class Aborted:
    """It was stopped before its end."""

    id: str
    tokens: int


@dataclass(frozen=True)
class Failed:
    """Nothing came of it: the engine or the verifier failed."""

    id: str
    why: str
    tokens: int = 0


Event = Started | Heard | Finished | Aborted | Failed


@dataclass(frozen=True, kw_only=True)
class Known:
    """All samples in the order in which they were asked for, and who ended in which order."""

    samples: Mapping[str, Sample] = field(default_factory=dict)
    ended: tuple[str, ...] = ()
    question: str = ""
    """The last thing the client said, for whoever writes a prompt about it."""
    seed: int = 0
    """Of the policy's own draws; the request's seed where it has one."""
    is_closed: bool = False
    """No further call will be started: time or tokens have run out. Decide with what there is."""

    def __getitem__(self, name: str) -> Sample:
        return self.samples[name]

    def __contains__(self, name: object) -> bool:
        return name in self.samples

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples.values())

    @property
    def answered(self) -> list[Sample]:
        """List the finished candidates in the order in which they were asked for."""
        return [sample for sample in self if sample.has_answered]

    @property
    def live(self) -> list[Sample]:
        """List those that may still cost tokens."""
        return [sample for sample in self if sample.is_live]

    def path(self, name: str) -> list[Sample]:
        """List a step and all before it, the first one first; of another call just itself."""
        found = [self[name]]
        while isinstance(call := found[0].call, Step) and call.parent is not None:
            found.insert(0, self[call.parent])
        return found

    def asked(self, call: Call, base: int) -> Known:
        """Add a call; one that is known stays what it is."""
        return self.all_asked([call], base)

    def all_asked(self, calls: Iterable[Call], base: int) -> Known:
        """Add calls, with one copy of the table however many they are."""
        fresh = {c.id: Sample(call=c, base=base) for c in calls if c.id not in self.samples}
        return _with(self, samples={**self.samples, **fresh}) if fresh else self


def _with(old: T, **changes: Any) -> T:
    """Copy a record with changes: dataclasses.replace is many times slower at every event."""
    new = object.__new__(type(old))
    new.__dict__.update(old.__dict__, **changes)
    return new


def heard(known: Known, event: Event) -> Known:
    """Take an event in."""
    sample = known.samples.get(event.id)
    if sample is None or not (sample.is_live or _corrects(sample, event)):
        return known
    changed = _changed(sample, event)
    if changed is sample:
        return known
    samples = {**known.samples, event.id: changed}
    has_ended = sample.is_live and not changed.is_live
    ended = (*known.ended, event.id) if has_ended else known.ended
    return _with(known, samples=samples, ended=ended)


def _corrects(sample: Sample, event: Event) -> bool:
    """Say whether a stopped sample turns out to have cost more than was heard of."""
    if sample.state != "aborted" or not isinstance(event, Aborted):
        return False
    return event.tokens > sample.tokens


def _changed(sample: Sample, event: Event) -> Sample:
    if isinstance(event, Started):
        return _with(sample, state="running") if sample.state == "waiting" else sample
    if isinstance(event, Finished):
        result = event.result
        return _with(
            sample,
            state="finished",
            tokens=result.tokens,
            thinking_tokens=result.thinking_tokens,
            result=result,
        )
    tokens = max(sample.tokens, event.tokens)
    match event:
        case Aborted():
            return _with(sample, state="aborted", tokens=tokens)
        case Failed():
            return _with(sample, state="failed", tokens=tokens, failure=event.why)
    return _with(
        sample,
        state="thought" if event.has_thought or sample.state == "thought" else "running",
        tokens=tokens,
        thinking_tokens=max(sample.thinking_tokens, event.thinking_tokens),
        confidences=sample.confidences + event.confidences,
    )
