"""A language model that judges step by step (process evaluator, arXiv 2503.19877).

A chat's thinking is parted by core.steps into at most `most_steps` pieces, one verdict each; on a
path of steps each step is judged once, whoever continues it. The outcome is judged beside them,
but not of a path: a search is led by the steps and compares paths that go on with finished ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from s1_core import steps as core_steps
from s1_serve.strategies.calls import Call, Step
from s1_serve.strategies.known import Known
from s1_serve.strategies.parameters import check_counts, check_one_of, check_shares
from s1_serve.strategies.verifiers import prompts
from s1_serve.strategies.verifiers.judge import Judge, yes_no
from s1_serve.strategies.verifiers.verifier import Verifier

PROCESSES = ("min", "mean")


@dataclass(frozen=True, kw_only=True)
class Process:
    """alpha * outcome + (1 - alpha) * process; a part of which nothing was said is left out."""

    judge: Judge = field(default_factory=Judge)
    process: str = PROCESSES[0]
    """What the verdicts on the steps come to: min or mean."""
    alpha: float = 0.5
    """Share of the verdict on the outcome."""
    most_steps: int = 16
    """Most verdicts on the thinking of one answer; neighbours are judged as one step beyond."""

    def __post_init__(self) -> None:
        check_one_of(PROCESSES, process=self.process)
        check_shares(alpha=self.alpha)
        check_counts(most=256, most_steps=self.most_steps)

    @property
    def scores_steps(self) -> bool:
        return self.alpha < 1

    @property
    def most_calls(self) -> int:
        """Count the calls of one verdict on a whole answer, at most."""
        return (self.most_steps if self.alpha < 1 else 0) + (self.alpha > 0)

    def calls(self, known: Known, target: str, votes: int = 1) -> tuple[Call, ...]:
        pieces = self._pieces(known, target)
        asked: list[Call] = []
        for vote in range(votes):
            for number, (name, texts) in enumerate(pieces):
                before = "".join("".join(texts) for _, texts in pieces[:number]).strip()
                under = prompts.STEP.format(
                    before=prompts.material(before), step=prompts.material("".join(texts).strip())
                )
                asked.append(self.judge.chat(f"{name}/v{vote}", vote, under))
        return (*asked, *self._outcome_calls(known, target, votes))

    def verdicts(self, known: Known, target: str, votes: int = 1) -> list[float | None]:
        return [self._verdict(known, target, vote) for vote in range(votes)]

    def steps(self, known: Known, target: str) -> tuple[float, ...] | None:
        pieces = self._pieces(known, target)
        said = [(yes_no(known, f"{name}/v0"), len(texts)) for name, texts in pieces]
        scores = [score for score, count in said if score is not None for _ in range(count)]
        return tuple(scores) if scores and all(s is not None for s, _ in said) else None

    def comparisons(self, known: Known, one: str, other: str, votes: int) -> tuple[Call, ...]:
        return self.judge.comparisons(known, one, other, votes)

    def preferences(self, known: Known, one: str, other: str, votes: int) -> list[bool | None]:
        return self.judge.preferences(known, one, other, votes)

    def _outcome_calls(self, known: Known, target: str, votes: int) -> tuple[Call, ...]:
        if target not in known or not known[target].has_answered or self.alpha == 0:
            return ()
        if isinstance(known[target].call, Step):
            return ()
        under = prompts.POINTWISE.format(answer=self.judge.shown(known[target]))
        return tuple(self.judge.chat(_outcome(target, vote), vote, under) for vote in range(votes))

    def _verdict(self, known: Known, target: str, vote: int) -> float | None:
        names = [name for name, _ in self._pieces(known, target)]
        said = [s for s in (yes_no(known, f"{name}/v{vote}") for name in names) if s is not None]
        process = None
        if said:
            process = min(said) if self.process == "min" else sum(said) / len(said)
        outcome = yes_no(known, _outcome(target, vote))
        if process is None or outcome is None:
            return process if outcome is None else outcome
        return self.alpha * outcome + (1 - self.alpha) * process

    def _pieces(self, known: Known, target: str) -> list[tuple[str, list[str]]]:
        """List what is judged as one: the id that its verdicts go by, and its steps' texts."""
        if target not in known or not known[target].is_finished or self.alpha == 1:
            return []
        if isinstance(known[target].call, Step):
            path = [step for step in known.path(target) if step.result.thinking.strip()]
            return [(f"{step.id}/step", [step.result.thinking]) for step in path]
        parts = core_steps.parted(known[target].result.thinking)
        count = min(len(parts), self.most_steps)
        bounds = [number * len(parts) // count for number in range(count + 1)] if count else []
        spans = pairwise(bounds)
        return [(f"{target}/s{n}", parts[a:b]) for n, (a, b) in enumerate(spans)]


def counted(name: str, num: int, votes: int, verifier: Verifier) -> dict[str, int]:
    """Count the calls of `num` answers and `votes` verdicts on each, in words and in number.

    For check_counts: a run that came to its limit would have paid for answers nobody judges.
    """
    each = verifier.most_calls if isinstance(verifier, Process) else 1
    asked = "votes" if each == 1 else f"{each} * votes"
    return {f"{name} * ({asked} + 1)": num * (each * votes + 1)}


def _outcome(target: str, vote: int) -> str:
    return f"{target}/o{vote}"
