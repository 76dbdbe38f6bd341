"""Best-of-infinity with a stop (arXiv 2509.21091): draw until the leader is the majority, likely.

The posterior over answers is a Dirichlet with one more count for each, and an unseen answer that
counts alpha0 (+ 1, as in the released code). Drawing ends when the Bayes factor for "the leader is
the mode" reaches the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import ClassVar

from s1_serve.strategies import ballots
from s1_serve.strategies.calls import Chat
from s1_serve.strategies.known import Known
from s1_serve.strategies.parameters import check_counts, check_shares
from s1_serve.strategies.policy import WAIT, Choice, Decision

LOOKS = (1, 2, 4, 8, 16, 24, 32, 40, 60, 80, 100)
"""Numbers of samples at which the released code decides where its cap is large; then every 20."""
_DRAWS = 1000
_LEAST_GAP = 1e-4
_HOPELESS = 8
"""samples without one answer after which more of them are not worth their tokens"""


@dataclass(frozen=True, kw_only=True)
class Adaptive:
    """Draw samples until one answer is the majority by a Bayes factor, then let them vote."""

    name: ClassVar[str] = "adaptive"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    n_max: int = 100
    """Most samples."""
    threshold: float = 10.0
    """The Bayes factor that is enough; the paper tries 2 to 300."""
    alpha0: float = 0.3
    """How much an answer counts that no sample has given yet."""
    batch: int = 0
    """Samples between two decisions; 1 is the paper's for caps up to 100, 0 grows as it does for
    larger ones: decisions at 1, 2, 4, 8, 16, 24, 32, 40, 60, 80, 100 samples, then every 20."""
    tie: str = ballots.TIES[0]
    """Who wins a tied vote: shortest (the leader with the shortest sample) or first."""

    def __post_init__(self) -> None:
        check_counts(n_max=self.n_max)
        check_counts(least=0, batch=self.batch)
        check_shares(least=1.0, most=1e9, threshold=self.threshold)
        check_shares(most=100.0, alpha0=self.alpha0)
        ballots.check_tie(self.tie)

    def decide(self, known: Known) -> Decision:
        if known.live:
            return WAIT
        num = len(known.samples)
        why = self._why_no_more(known) if num else ""
        if why:
            return Decision(answer=ballots.elect(known.answered, why, tie=self.tie))
        until = min(self.n_max, next(look for look in self._looks() if look > num))
        return Decision(start=tuple(Chat(id=str(i), index=i) for i in range(num, until)))

    def best(self, known: Known) -> Choice | None:
        return ballots.elect(known.answered, f"{len(known.answered)} samples voted", tie=self.tie)

    def _looks(self) -> Iterator[int]:
        """Give the numbers of samples at which it decides."""
        if not self.batch:
            yield from LOOKS
        step = self.batch or 20
        yield from range(step if self.batch else LOOKS[-1] + step, self.n_max + step, step)

    def _why_no_more(self, known: Known) -> str:
        """Say why drawing ends here; empty where it goes on."""
        num = len(known.samples)
        counts = [len(ballot.members) for ballot in ballots.tally(known.answered)]
        factor = bayes_factor([*counts, self.alpha0], Random(f"{known.seed}/{num}"))
        found = f"Bayes factor {factor:.3g} (enough is {self.threshold:g}) after {num} samples"
        if factor >= self.threshold or num >= self.n_max:
            return found
        return ballots.NO_ANSWER if num >= _HOPELESS and not counts else ""


def bayes_factor(counts: Sequence[float], random: Random, draws: int = _DRAWS) -> float:
    """Weigh "the most frequent answer is the mode" against "it is not"; 0 with fewer than two.

    `counts` are those of the answers and that of the unseen one. Where every draw is for the
    leader, Hoeffding's bound stands for the share that is not (the released code).
    """
    return _factor(tuple(counts), draws, random.getrandbits(64)) if len(counts) > 1 else 0.0


@lru_cache(maxsize=1 << 14)
def _factor(counts: tuple[float, ...], draws: int, seed: int) -> float:
    """Weigh; remembered, as a replay asks for the same at every threshold."""
    import numpy as np

    rng = np.random.default_rng(seed)
    leader = int(np.argmax(counts[:-1]))  # never the unseen one, whatever alpha0 is
    modes = rng.dirichlet(np.asarray(counts) + 1.0, draws).argmax(1)
    share = float((modes == leader).mean())
    if share < 1.0:
        return len(counts) * share / (1.0 - share)
    most, second = counts[leader], max(n for at, n in enumerate(counts) if at != leader)
    gap = max((most - second) / sum(counts), _LEAST_GAP)
    return len(counts) * math.exp(most * gap**2 / 2)
