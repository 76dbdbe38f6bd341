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
from s1_serve.evaluate.replay.playing import Deck, Play
from s1_serve.evaluate.replay.stored import Answered, Stored
from s1_serve.evaluate.specs import SIZES
from s1_serve.evaluate.votes import KINDS, Outcome, Pool, Rule
from s1_serve.strategies import catalogue

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAMILIES = ("maj@{k}", "pass@{k}", "shortest-1@{k}", "shortest-3@{k}", "longest-1@{k}")
Row = dict[str, Any]
Way = Rule | Play
"""a rule over many choices of samples at once, or a policy that is played through"""


def ways(method: Sequence[str], num_samples: int, available: catalogue.Available) -> list[Way]:
    """List what is named, or the rules of whole curves up to all samples.

    Raises UserError for what wants more samples than there are.
    """
    if not method:
        sizes = curve_sizes(num_samples)
        named = [(text, k) for text in FAMILIES for k in sizes]
        return [Rule.parse(text.format(k=k)) for text, k in named if "-3@" not in text or k >= 3]
    found = [_way(text, available) for text in method]
    for way in found:
        if way.k > num_samples:
            size = "k" if isinstance(way, Rule) else " or ".join(SIZES)
            raise UserError(
                f"{way.name} wants {way.k} samples of each question, a question here has "
                f"{num_samples}: give a smaller {size}"
            )
    return found


def curve_sizes(num_samples: int) -> list[int]:
    """List the powers of two below the count of samples, and that count."""
    sizes = [1 << at for at in range(num_samples.bit_length()) if 1 << at < num_samples]
    return [*sizes, num_samples]


def _way(text: str, available: catalogue.Available) -> Way:
    name = text.partition(":")[0].partition("@")[0]
    if name in catalogue.POLICIES:
        return Play.parse(text, available)
    try:
        return Rule.parse(text)
    except UserError as error:
        if ":" in text or not text.startswith(KINDS):
            raise UserError(f"{error}, or a strategy: {', '.join(catalogue.POLICIES)}") from error
        raise


def row(stored: Stored, way: Way, outcomes: Sequence[Outcome], seed: int) -> Row:
    """Give accuracy, interval over questions and mean tokens of a rule or policy."""
    credits = [outcome.credit for outcome in outcomes]
    return {
        "benchmark": stored.benchmark,
        "method": way.name,
        "family": way.family,
        "k": way.k,
        "accuracy": 100.0 * fmean(credits),
        "interval": list(metrics.interval(credits, seed=seed)),
        "mean_total_tokens": fmean(outcome.total_tokens for outcome in outcomes),
        "mean_sequential_tokens": fmean(outcome.sequential_tokens for outcome in outcomes),
        "mean_samples": fmean(outcome.num_samples for outcome in outcomes),
    }


def replayed(
    questions: Iterable[tuple[int, Answered]],
    wanted: Sequence[Way],
    config: ReplayConfig,
    tie: str | None = None,
) -> list[list[Outcome]]:
    """Apply everything wanted to every (number, question); a list of outcomes for each.

    `tie` is that of the rules where it is not the configuration's; a policy has its own.
    """
    found = []
    rules = [way for way in wanted if isinstance(way, Rule)]
    for number, question in questions:
        pool = Pool(question.answers, question.right, question.lengths)
        chosen = {k: _subsets(pool, k, number, config) for k in {rule.k for rule in rules}}
        orders = _orders(len(pool), number, config) if len(rules) < len(wanted) else []
        deck = Deck(question, orders, config.seed + number)
        found.append(
            [
                votes.choose(pool, way, chosen[way.k], tie or config.tie)
                if isinstance(way, Rule)
                else deck.play(way.policy)
                for way in wanted
            ]
        )
    return [list(outcomes) for outcomes in zip(*found, strict=True)]


def _subsets(pool: Pool, k: int, number: int, config: ReplayConfig) -> NDArray[Any]:
    return votes.subsets(len(pool), k, config.order, config.num_subsets, (config.seed, number))


def _orders(size: int, number: int, config: ReplayConfig) -> list[list[int]]:
    """Give the orders in which a policy gets the samples: as stored, or shuffled some times."""
    import numpy as np

    if config.order == "first":
        return [[*range(size)]]
    rng = np.random.default_rng((config.seed, number))
    return [rng.permutation(size).tolist() for _ in range(config.num_orders)]
