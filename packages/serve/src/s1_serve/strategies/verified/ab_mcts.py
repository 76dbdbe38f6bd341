"""AB-MCTS: Thompson sampling between a new answer and a better one (arXiv 2503.04412).

At each node of a tree of answers the search draws whether to go wider, by one more answer from
here, or deeper, into an answer that is there. A child of an answer is a rewriting of it. Scores
are a verifier's. By the package treequest (AB-MCTS-A), which is optional.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s1_serve.strategies.calls import Chat
from s1_serve.strategies.known import Known
from s1_serve.strategies.parameters import MOST_CALLS, check_counts, check_one_of, given
from s1_serve.strategies.policy import WAIT, Choice, Decision
from s1_serve.strategies.verified import contest, tree
from s1_serve.strategies.verifiers import prompts
from s1_serve.strategies.verifiers.process import counted
from s1_serve.strategies.verifiers.verifier import Verifier, judged


@dataclass(frozen=True, kw_only=True)
class AbMcts:
    """Grow a tree of `trials` answers, `batch` at a time, and answer with the best one."""

    name: ClassVar[str] = "ab-mcts"
    watches: ClassVar[bool] = False
    ignores_order: ClassVar[bool] = True

    trials: int = 8
    """Answers, new and rewritten."""
    batch: int = 2
    """Answers drawn side by side between two looks at the tree; the more, the less it knows."""
    votes: int = 1
    """Independent verdicts on each; their mean is its score."""
    distribution: str = tree.DISTRIBUTIONS[0]
    """What scores are taken to follow: gaussian or beta."""
    verifier: Verifier = given()

    def __post_init__(self) -> None:
        tree.check_installed()
        check_counts(most=128, trials=self.trials)
        check_counts(most=5, batch=self.batch)
        check_counts(most=64, votes=self.votes)
        asked = counted("trials", self.trials, self.votes, self.verifier)
        check_counts(most=MOST_CALLS, **asked)
        check_one_of(tree.DISTRIBUTIONS, distribution=self.distribution)

    def decide(self, known: Known) -> Decision:
        if known.live:
            return WAIT
        search = tree.Search(known.seed, self.distribution, self.batch)
        told: tree.Told = ()
        for first in range(0, self.trials, self.batch):
            names = [str(n) for n in range(first, min(first + self.batch, self.trials))]
            if names[-1] not in known:
                return Decision(start=self._calls(known, first, tree.parents(search, told)))
            judging = judged(known, self.verifier, self._answered(known, names), self.votes)
            if judging.missing:
                return Decision(start=judging.missing)
            told = (*told, tuple(judging.mean(name) for name in names))
        return Decision(answer=self.best(known))

    def best(self, known: Known) -> Choice | None:
        found: dict[str, float] = {}
        for first in range(0, self.trials, self.batch):
            names = self._answered(known, [str(n) for n in range(first, first + self.batch)])
            found |= contest.scores(judged(known, self.verifier, names, self.votes))
        entered = contest.contestants(known)
        compared = contest.scored(entered, found)
        if not compared:
            return contest.unjudged(entered)
        winner = contest.best(compared, found)
        why = f"the best score of {len(compared)} answers in the tree, {found[winner.id]:.3g}"
        return contest.marked(Choice(id=winner.id, why=why), found, entered)

    def _calls(self, known: Known, first: int, parents: tuple[int | None, ...]) -> tuple[Chat, ...]:
        """Ask for a batch; the last one may be shorter."""
        return tuple(
            Chat(id=str(number), index=number, under=_under(known, parent))
            for number, parent in enumerate(parents[: self.trials - first], start=first)
        )

    @staticmethod
    def _answered(known: Known, names: list[str]) -> list[str]:
        return [name for name in names if name in known and known[name].has_answered]


def _under(known: Known, parent: int | None) -> str:
    if parent is None:
        return ""
    return prompts.REFINE.format(answer=prompts.shown(known[str(parent)]))
