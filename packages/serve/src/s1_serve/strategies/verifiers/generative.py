"""A generative reward model: principles, critique, then scores from 1 to 10 (arXiv 2504.02495).

Several responses stand in one call, in an order drawn anew for every vote. Any language model can
do it; one trained for it does it better. There is no meta reward model that filters votes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from s1_serve.strategies.calls import Call
from s1_serve.strategies.known import Known
from s1_serve.strategies.parameters import check_counts
from s1_serve.strategies.verifiers import prompts
from s1_serve.strategies.verifiers.judge import Judge


@dataclass(frozen=True, kw_only=True)
class Generative:
    """Rates `together` candidates a call; a score is its mean over the votes, 1..10 as 0..1."""

    judge: Judge = field(default_factory=lambda: Judge(temperature=1.0))
    together: int = 4
    """Most responses in one call; 1 rates each by itself."""

    def __post_init__(self) -> None:
        check_counts(most=32, together=self.together)

    @property
    def scores_steps(self) -> bool:
        return False

    def calls(self, known: Known, target: str, votes: int = 1) -> tuple[Call, ...]:
        return self.calls_together(known, [target], votes)

    def verdicts(self, known: Known, target: str, votes: int = 1) -> list[float | None]:
        return self.verdicts_together(known, [target], votes)[target]

    def steps(self, known: Known, target: str) -> tuple[float, ...] | None:
        return None

    def calls_together(
        self, known: Known, targets: Sequence[str], votes: int = 1
    ) -> tuple[Call, ...]:
        groups = [(vote, g) for vote in range(votes) for g in self._groups(known, targets, vote)]
        return tuple(
            self.judge.chat(_name(group, vote), vote, self._under(known, group))
            for vote, group in groups
        )

    def verdicts_together(
        self, known: Known, targets: Sequence[str], votes: int = 1
    ) -> dict[str, list[float | None]]:
        found: dict[str, list[float | None]] = {target: [None] * votes for target in targets}
        for vote in range(votes):
            for group in self._groups(known, targets, vote):
                reply = known.samples.get(_name(group, vote))
                scores = prompts.said_scores(reply, len(group))
                for target, score in zip(group, scores or (), strict=scores is not None):
                    found[target][vote] = score
        return found

    def comparisons(self, known: Known, one: str, other: str, votes: int) -> tuple[Call, ...]:
        return self.judge.comparisons(known, one, other, votes)

    def preferences(self, known: Known, one: str, other: str, votes: int) -> list[bool | None]:
        return self.judge.preferences(known, one, other, votes)

    def _groups(self, known: Known, targets: Sequence[str], vote: int) -> list[list[str]]:
        """Part the answered targets into groups of like size, in an order of this vote's own."""
        order = [t for t in targets if t in known and known[t].has_answered]
        random.Random(f"{known.seed}/rate/{vote}").shuffle(order)
        count = -(-len(order) // self.together)
        return [order[number::count] for number in range(count)]

    def _under(self, known: Known, group: Sequence[str]) -> str:
        texts = [self.judge.shown(known[target]) for target in group]
        return prompts.RATING.format(
            responses=prompts.numbered(texts, "Response"),
            count=len(texts),
            example=", ".join(str(9 - 2 * (n % 4)) for n in range(len(texts))),
        )


def _name(group: Sequence[str], vote: int) -> str:
    return f"{'+'.join(group)}/g{vote}"
