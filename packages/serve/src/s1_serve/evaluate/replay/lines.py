"""The methods that a replay compares at equal tokens, each as a line of settings.

Votes of every size come from all choices of samples at once; what weighs by likelihood is played
through at every size, and the adaptive vote at every threshold of its paper; auto is the line of
whatever it would take.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from s1_core import cli
from s1_serve.evaluate import votes
from s1_serve.evaluate.calibrate import horizon
from s1_serve.evaluate.replay import curves
from s1_serve.evaluate.replay.config import ReplayConfig
from s1_serve.evaluate.replay.curves import Way
from s1_serve.evaluate.replay.equal import AGAINST, Point
from s1_serve.evaluate.replay.playing import Play
from s1_serve.evaluate.replay.stored import Stored
from s1_serve.evaluate.votes import Outcome, Rule
from s1_serve.strategies import calibration, catalogue
from s1_serve.strategies.catalogue import Available
from s1_serve.strategies.parallel.auto import HIGH, LOW, Auto
from s1_serve.strategies.parallel.likelihood import Likelihood
from s1_serve.strategies.parallel.longest import Longest
from s1_serve.strategies.parallel.majority import Majority
from s1_serve.strategies.parallel.shortest import Shortest
from s1_serve.strategies.parallel.weighted import Weighted

VOTES = {
    AGAINST: "maj@{k}",
    "shortest-1": "shortest-1@{k}",
    "shortest-3": "shortest-3@{k}",
    "longest-1": "longest-1@{k}",
    "longest-3": "longest-3@{k}",
}
THRESHOLDS = (2, 5, 10, 30, 100, 300)
"""Bayes factors of arXiv 2509.21091, Section 5"""
ADAPTIVE = {"adaptive-1": 1, "adaptive": 0}
"""samples between two decisions: one as in the paper, and the growing rounds of the default"""
LIKELY = (Weighted.name, Likelihood.name)
"""have lines where every sample was stored with its mean logprob"""
COMPUTE = (LOW, HIGH)


def available(one: Stored, config: ReplayConfig) -> Available:
    """Give auto its calibration: the one named, else what these samples themselves show.

    None where they do not say how long they are: that tells no horizon.
    """
    if config.calibration:
        return Available(calibration=calibration.read(config.calibration))
    grid = horizon.measured(one.questions, config.seed)
    tokens = fmean(length for each in one.questions for length in each.lengths)
    return Available(calibration=horizon.calibration(grid, tokens) if tokens else None)


def lines(one: Stored, config: ReplayConfig) -> dict[str, list[Point]]:
    """Play every method at every setting; a line is from its cheapest setting to its dearest.

    A method that wants more samples than there are has no line, nor one that wants what was not
    stored.
    """
    has = available(one, config)
    wanted: dict[str, list[Way]] = {
        name: [Rule.parse(form.format(k=k)) for k in _sizes(one, least=3 if "3" in name else 1)]
        for name, form in VOTES.items()
    }
    wanted |= {name: _likely(one, name, has) for name in LIKELY}
    wanted |= {name: _adaptive(one, batch, has) for name, batch in ADAPTIVE.items()}
    wanted |= {f"auto ({each})": _auto(one, each, has) for each in COMPUTE}
    every = {way.name: way for ways in wanted.values() for way in ways}
    name = f"{one.benchmark}: equal tokens"
    walk = cli.progress(enumerate(one.questions), name, total=len(one.questions))
    outcomes = curves.replayed(walk, [*every.values()], config, votes.as_served(config.tie))
    found: Mapping[str, list[Outcome]] = dict(zip(every, outcomes, strict=True))
    return {
        name: [Point(way.name, found[way.name]) for way in ways]
        for name, ways in wanted.items()
        if ways
    }


def rule_of(policy: Majority | Shortest | Longest) -> Rule:
    """Give the rule that says of many choices at once what a policy says of one."""
    if isinstance(policy, Majority):
        return Rule.parse(f"maj@{policy.n}")
    return Rule.parse(f"{policy.name}-{policy.k}@{policy.n}")


def _sizes(one: Stored, least: int) -> list[int]:
    sizes = {least, *curves.curve_sizes(one.num_samples)}
    return sorted(k for k in sizes if least <= k <= one.num_samples)


def _likely(one: Stored, name: str, has: Available) -> list[Way]:
    """Give the line of sizes; one sample alone is chosen without a weight."""
    if any(None in question.logprobs for question in one.questions):
        return []
    sizes = [k for k in _sizes(one, least=1) if k > 1]
    return [Rule.parse("maj@1"), *(Play.parse(f"{name}@{k}", has) for k in sizes)]


def _adaptive(one: Stored, batch: int, has: Available) -> list[Way]:
    """Give the line of thresholds, and before it the one sample that no threshold can undercut."""
    spec = f"adaptive:n_max={one.num_samples},batch={batch},threshold="
    return [Rule.parse("maj@1"), *(Play.parse(f"{spec}{factor}", has) for factor in THRESHOLDS)]


def _auto(one: Stored, compute: str, has: Available) -> list[Way]:
    """Give the line of what auto comes to at each size."""
    found: dict[str, Way] = {}
    for k in curves.curve_sizes(one.num_samples):
        policy = catalogue.build("auto", {"n": k, "compute": compute}, has)
        assert isinstance(policy, Auto)
        rule = rule_of(policy.resolved())
        found[rule.name] = rule
    return [*found.values()]
