"""DeepConf: stop traces that grow unsure, and let sure ones weigh more (arXiv 2508.15260).

Online: `warmup` traces run to their end, and the percentile 100 - eta of their least sure groups
is the threshold. Any later trace is stopped where a group falls below it. Traces at or above it
vote with their least confidence; sampling ends early where one answer has `consensus` of the
weight. The other modes stop nothing: they keep the surest eta percent of `n` traces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

from s1_serve.strategies import ballots
from s1_serve.strategies.calls import Chat
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.parameters import check_counts, check_one_of, check_shares
from s1_serve.strategies.policy import WAIT, Choice, Decision
from s1_serve.strategies.rounds import drawn
from s1_serve.strategies.verified import confidence

ONLINE = "online"
MODES = (ONLINE, "tail", "bottom")
MUTE = "the engine gave no confidences"
_NEWS = 64
"""tokens that one event may bring and still have each of its groups looked at"""
Measure = Callable[[Sequence[float], int], float | None]


@dataclass(frozen=True)
class _Standing:
    """What may be said of the finished traces so far."""

    threshold: float | None
    """The least confidence that may vote; None where no trace has any."""
    weights: Mapping[str, float]
    """The confidence of every finished trace that has one."""
    voters: list[Sample]
    """Those that are sure enough."""


@dataclass(frozen=True, kw_only=True)
class DeepConf:
    """Draw up to `n` traces and weigh them by the confidence of their tokens."""

    name: ClassVar[str] = "deepconf"
    watches: ClassVar[bool] = True
    ignores_order: ClassVar[bool] = False

    n: int = 16
    """Most traces; the paper draws 256 or 512."""
    warmup: int = 4
    """Traces that set the threshold and are never stopped; the paper's are 16."""
    eta: float = 90.0
    """Percent of the warm-up that lies above the threshold: 90 is gentle, 10 stops most traces."""
    window: int = 2048
    """Tokens in a group; make it shorter than the model's traces, or nothing is stopped."""
    consensus: float = 0.95
    """Share of the weight at which one answer ends the sampling; above 1 never."""
    mode: str = ONLINE
    """online; tail or bottom: all traces run, and are measured by their last group or by their
    least sure tenth."""
    top_logprobs: int = 20
    """Logprobs of each token that its confidence is the mean of."""

    def __post_init__(self) -> None:
        check_counts(n=self.n)
        check_counts(warmup=self.warmup)
        check_counts(most=8192, window=self.window)
        check_counts(least=2, most=20, top_logprobs=self.top_logprobs)
        check_shares(most=100.0, eta=self.eta)
        check_shares(most=2.0, consensus=self.consensus)
        check_one_of(MODES, mode=self.mode)

    def decide(self, known: Known) -> Decision:
        if self.mode != ONLINE:
            waiting = drawn(known, self.n, top_logprobs=self.top_logprobs)
            return waiting or Decision(answer=self.best(known))
        warmup = [sample for sample in known if self._is_warmup(sample)]
        if not warmup:
            return Decision(start=self._chats(0, min(self.warmup, self.n)))
        if any(sample.is_live for sample in warmup):
            return WAIT
        is_whole, standing = len(known.samples) == self.n, self._standing(known)
        if (is_whole and not known.live) or self._is_settled(standing):
            return Decision(answer=self.best(known))
        return Decision(
            start=() if is_whole else self._chats(self.warmup, self.n),
            abort=tuple(self._unsure(known, standing.threshold)),
        )

    def best(self, known: Known) -> Choice | None:
        standing = self._standing(known)
        if standing.threshold is None:
            return ballots.fallback(known.answered, MUTE)
        voters, weights = standing.voters, standing.weights
        if not any(sample.result.vote is not None for sample in voters):
            return ballots.fallback(known.answered, "no sure trace has an answer")
        why = f"{len(voters)} of {len(known.samples)} traces were sure enough"
        return ballots.elect(voters, why, weight=lambda sample: weights[sample.id])

    def _chats(self, first: int, end: int) -> tuple[Chat, ...]:
        return tuple(
            Chat(id=str(index), index=index, top_logprobs=self.top_logprobs)
            for index in range(first, end)
        )

    def _is_warmup(self, sample: Sample) -> bool:
        return sample.call.index < self.warmup if isinstance(sample.call, Chat) else False

    def _standing(self, known: Known) -> _Standing:
        """Measure all finished traces and say which of them may vote."""
        answered = known.answered
        measured = [(sample, self._measured(sample)) for sample in answered]
        weights = {sample.id: value for sample, value in measured if value is not None}
        setting = [
            weights[sample.id]
            for sample in answered
            if sample.id in weights and (self.mode != ONLINE or self._is_warmup(sample))
        ]
        if not setting:
            return _Standing(None, weights, [])
        threshold = confidence.percentile(setting, 100 - self.eta)
        sure = {n for n, value in weights.items() if not confidence.is_below(value, threshold)}
        return _Standing(threshold, weights, [s for s in answered if s.id in sure])

    def _is_settled(self, standing: _Standing) -> bool:
        """Say whether one answer has enough of the weight."""
        found = ballots.tally(standing.voters, lambda sample: standing.weights[sample.id])
        total = sum(ballot.weight for ballot in found)
        return total > 0 and found[0].weight >= self.consensus * total

    def _unsure(self, known: Known, threshold: float | None) -> list[str]:
        """Name the live traces of which a group has just fallen below the threshold."""
        if threshold is None:
            return []
        newest = partial(confidence.newest, news=_NEWS)
        values = {sample.id: self._remembered(sample, newest) for sample in known.live}
        return [
            name
            for name, value in values.items()
            if value is not None and confidence.is_below(value, threshold)
        ]

    def _measured(self, sample: Sample) -> float | None:
        """Measure a finished trace as its mode has it."""
        measures = {"tail": confidence.tail, "bottom": confidence.bottom}
        return self._remembered(sample, measures.get(self.mode, confidence.least))

    def _remembered(self, sample: Sample, measure: Measure) -> float | None:
        """Measure a trace once for what it has: every event asks for all of them."""
        key = (sample.id, sample.is_live)
        found = self._memory.get(key)
        if found is None or found[0] is not sample.confidences:
            value = measure(sample.confidences, self.window)
            found = self._memory[key] = (sample.confidences, value)
        return found[1]

    @cached_property
    def _memory(self) -> dict[tuple[str, bool], tuple[tuple[float, ...], float | None]]:
        """Hold measures beside the very tuple they were taken of; nothing depends on it."""
        return {}
