"""From stored samples to curves: accuracy of each rule with its interval, and what it costs.

Pure. Accuracies are in percent, tokens are means a question.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from s1_core import metrics
from s1_core.errors import UserError
from s1_serve.evaluate import votes
from s1_serve.evaluate.replay.config import ReplayConfig
from s1_serve.evaluate.replay.stored import Stored
from s1_serve.evaluate.votes import Outcome, Pool, Rule

if TYPE_CHECKING:
    from s1_serve.evaluate.replay.stored import Answered

FAMILIES = ("maj@{k}", "pass@{k}", "shortest-1@{k}", "shortest-3@{k}", "longest-1@{k}")
Row = dict[str, Any]


def rules(method: Sequence[str], num_samples: int) -> list[Rule]:
    """List the rules named, or those of whole curves up to all samples.

    Raises UserError for a rule that wants more samples than there are.
    """
    if not method:
        sizes = [1 << at for at in range(num_samples.bit_length()) if 1 << at < num_samples]
        named = [(text, k) for text in FAMILIES for k in (*sizes, num_samples)]
        return [Rule.parse(text.format(k=k)) for text, k in named if "-3@" not in text or k >= 3]
    found = [Rule.parse(text) for text in method]
    for rule in found:
        if rule.k > num_samples:
            raise UserError(
                f"{rule.name} wants {rule.k} samples of each question, a question here has "
                f"{num_samples}: give a smaller k"
            )
    return found


def row(stored: Stored, rule: Rule, outcomes: Sequence[Outcome], seed: int) -> Row:
    """Give accuracy, interval over questions and mean tokens of a rule."""
    credits = [outcome.credit for outcome in outcomes]
    return {
        "benchmark": stored.benchmark,
        "method": rule.name,
        "family": rule.family,
        "k": rule.k,
        "accuracy": 100.0 * fmean(credits),
        "interval": list(metrics.interval(credits, seed=seed)),
        "mean_total_tokens": fmean(outcome.total_tokens for outcome in outcomes),
        "mean_sequential_tokens": fmean(outcome.sequential_tokens for outcome in outcomes),
    }


def replayed(
    questions: Iterable[tuple[int, Answered]], wanted: Sequence[Rule], config: ReplayConfig
) -> list[list[Outcome]]:
    """Apply every rule to every (number, question); a list of outcomes for each rule."""
    found = []
    for number, question in questions:
        pool = Pool(question.answers, question.right, question.lengths)
        chosen = {k: _subsets(pool, k, number, config) for k in {rule.k for rule in wanted}}
        found.append([votes.choose(pool, rule, chosen[rule.k], config.tie) for rule in wanted])
    return [list(outcomes) for outcomes in zip(*found, strict=True)]


def _subsets(pool: Pool, k: int, number: int, config: ReplayConfig) -> Any:
    return votes.subsets(len(pool), k, config.order, config.num_subsets, (config.seed, number))
