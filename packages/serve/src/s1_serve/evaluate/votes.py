"""Which of a question's samples decide, who wins their vote, and what that costs in tokens.

Pure. Answers count by their normal form; None has no vote. `vote` is the rule in plain Python,
`choose` the same over many choices of k samples at once.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s1_core import metrics
from s1_core.answers import normalise
from s1_core.errors import UserError
from s1_serve.evaluate.config import TIES
from s1_serve.evaluate.samples import Sample
from s1_serve.strategies import ballots

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAJORITY, PASS, COVERAGE, SHORTEST, LONGEST = "maj", "pass", "coverage", "shortest", "longest"
KINDS = (MAJORITY, PASS, COVERAGE, SHORTEST, LONGEST)
RULES = ("maj@k", "pass@k", "coverage@k", "shortest-m@k", "longest-m@k")
_RULE = re.compile(r"(maj|pass|coverage)@(\d+)|(shortest|longest)-(\d+)@(\d+)")


@dataclass(frozen=True)
class Rule:
    """A way to answer a question by k samples; `num_voters` of the shortest or longest vote."""

    kind: str
    k: int
    num_voters: int = 0

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read maj@8, pass@8, coverage@8, shortest-3@8 or longest-3@8; else a UserError."""
        found = _RULE.fullmatch(text)
        if not found:
            raise UserError(f"unknown method {text!r}; valid are {', '.join(RULES)}")
        kind, k, end, voters, of = found.groups()
        rule = cls(kind, int(k)) if kind else cls(end, int(of), int(voters))
        if rule.k < 1 or (end and not 1 <= rule.num_voters <= rule.k):
            raise UserError(f"{text!r} can choose nothing: wanted 1 <= m <= k")
        return rule

    @property
    def family(self) -> str:
        """Name the curve over k that this rule is a point of."""
        return f"{self.kind}-{self.num_voters}@k" if self.num_voters else f"{self.kind}@k"

    @property
    def name(self) -> str:
        """Spell the rule as `parse` reads it."""
        return f"{self.family[:-1]}{self.k}"


@dataclass(frozen=True)
class Outcome:
    """What a rule gives on one question, as means over the choices of k samples."""

    credit: float
    total_tokens: float
    """of all k traces; one still unfinished when the vote is held is charged to that moment"""
    sequential_tokens: float
    """generated one after another until the vote is held"""
    num_samples: float
    """how many were asked for"""


def vote(
    answers: Sequence[str | None], right: Sequence[bool], lengths: Sequence[int], tie: str
) -> float:
    """Give the credit of a majority vote over the samples of one question, 0 where none votes.

    `tie` is fractional (the leaders share the credit), or one of a served vote (ballots.rank).
    Where two spellings of one answer were graded apart, it earns the share of its votes that were
    called right.
    """
    assert tie in TIES, tie
    groups: dict[str, list[int]] = {}
    for at, answer in enumerate(answers):
        if answer is not None:
            groups.setdefault(normalise(answer), []).append(at)
    if not groups:
        return 0.0
    most = max(map(len, groups.values()))
    leaders = [places for places in groups.values() if len(places) == most]
    if tie in ballots.TIES:
        leaders = [min(leaders, key=lambda own: ballots.rank(most, _members(own, lengths), tie))]
    return sum(right[at] for places in leaders for at in places) / (most * len(leaders))


def as_served(tie: str) -> str:
    """Give the rule by which a served vote decides; shared credit is nothing an answer can have."""
    return tie if tie in ballots.TIES else ballots.TIES[0]


def _members(places: Sequence[int], lengths: Sequence[int]) -> list[tuple[float, int]]:
    return [(lengths[at], at) for at in places]


def credit(samples: Sequence[Sample], tie: str) -> float:
    """Give the credit of a vote over samples of one question; one alone is right or wrong."""
    if len(samples) == 1:
        return float(samples[0].is_correct)
    return vote(
        [sample.extracted for sample in samples],
        [sample.is_correct for sample in samples],
        [sample.output_tokens for sample in samples],
        tie,
    )


def outcome(samples: Sequence[Sample], tie: str) -> Outcome:
    """Give what a vote over samples of one question comes to, all of them waited for.

    Stop tokens are charged to all alike: strategies are stored with theirs, samples without.
    """
    stops = [not sample.strategy and sample.finish_reason == "stop" for sample in samples]
    chains = [s.sequential_tokens + stop for s, stop in zip(samples, stops, strict=True)]
    return Outcome(
        credit=credit(samples, tie),
        total_tokens=float(sum(sample.total_tokens for sample in samples) + sum(stops)),
        sequential_tokens=float(max(chains)),
        num_samples=float(sum(sample.num_started for sample in samples)),
    )


class Pool:
    """The samples of one question as arrays, shortest trace first; of equal ones the first."""

    def __init__(
        self, answers: Sequence[str | None], right: Sequence[bool], lengths: Sequence[int]
    ) -> None:
        import numpy as np

        forms = [None if answer is None else normalise(answer) for answer in answers]
        codes = {form: code for code, form in enumerate(dict.fromkeys([*forms, None]))}
        self.order = np.argsort(np.asarray(lengths), kind="stable")
        self.lengths = np.asarray(lengths, dtype=np.int64)[self.order]
        self.right = np.asarray(right, dtype=bool)[self.order]
        self.codes = np.array([codes[form] for form in forms])[self.order]
        self.is_valid = self.codes != codes[None]
        self.ballots = np.eye(len(codes), dtype=np.float32)[self.codes]

    def __len__(self) -> int:
        return len(self.lengths)


def subsets(size: int, k: int, order: str, num: int, seed: Sequence[int]) -> NDArray[np.bool_]:
    """Give choices of k of `size` samples, a row each: the first k, all if few, else `num` drawn.

    With one seed the choices of fewer samples lie within those of more.
    """
    import numpy as np

    if order == "first":
        return np.arange(size)[None] < k
    if math.comb(size, k) <= num:
        rows = np.array(list(itertools.combinations(range(size), k)))
        return np.asarray((rows[:, :, None] == np.arange(size)).any(1))
    return np.random.default_rng(seed).random((num, size)).argsort(1) < k


def choose(pool: Pool, rule: Rule, chosen: NDArray[np.bool_], tie: str) -> Outcome:
    """Apply a rule to choices of samples (rows of `subsets`) and average.

    The shortest vote as soon as `num_voters` traces with an answer are complete, and all that are
    complete by then vote; where too few have one, all are waited for. pass@k is the unbiased
    estimate from the whole pool; the other rules know only the k samples.
    """
    import numpy as np

    chosen = chosen[:, pool.order]
    ends = np.where(chosen, pool.lengths, 0).max(1)
    voters = chosen & pool.is_valid
    if rule.kind == SHORTEST:
        ends = _cutoffs(pool, voters, rule.num_voters, ends)
        voters &= pool.lengths <= ends[:, None]
    if rule.kind == LONGEST:
        voters &= pool.lengths >= _cutoffs(pool, voters, -rule.num_voters, 0 * ends)[:, None]
    if rule.kind == PASS:
        credit = metrics.pass_at_k(len(pool), int(pool.right.sum()), rule.k)
    elif rule.kind == COVERAGE:
        credit = float((chosen & pool.right).any(1).mean())
    else:
        credit = float(_credits(pool, voters, tie).mean())
    charged = np.minimum(pool.lengths, ends[:, None])
    total = float(np.where(chosen, charged, 0).sum(1).mean())
    return Outcome(credit, total, float(ends.mean()), float(rule.k))


def _cutoffs(
    pool: Pool, voters: NDArray[np.bool_], nth: int, otherwise: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Give the nth length among the voters of each row, from the long end below 0."""
    import numpy as np

    step = 1 if nth > 0 else -1
    reached = voters[:, ::step].cumsum(1) >= abs(nth)
    return np.where(reached[:, -1], pool.lengths[::step][reached.argmax(1)], otherwise)


def _credits(pool: Pool, voters: NDArray[np.bool_], tie: str) -> NDArray[np.float64]:
    """Give the credit of each row's vote: the share right among the votes for its winners."""
    import numpy as np

    votes = voters.astype(np.float32)
    counts = votes @ pool.ballots
    winners = (counts == counts.max(1, keepdims=True)) & (counts > 0)
    if tie != "fractional":
        # Columns lie by length: the first leading voter has the shortest trace.
        seen = np.arange(len(pool)) if tie == "shortest" else np.argsort(pool.order)
        leads = (voters & np.take(winners, pool.codes, axis=1))[:, seen]
        one = pool.codes[seen[leads.argmax(1)]]
        winners &= np.arange(counts.shape[1]) == one[:, None]
    rights = votes @ (pool.ballots * pool.right[:, None])
    earned = (rights * winners).sum(1, dtype=np.float64)
    credits: NDArray[np.float64] = earned / np.maximum((counts * winners).sum(1), 1)
    return credits
