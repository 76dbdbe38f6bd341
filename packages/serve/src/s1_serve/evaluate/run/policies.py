"""The methods: what each asks for one sample of one question, answer by answer.

A policy is a generator over (answers so far): it yields the next ask, and returns what it takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass, replace

from s1_core.records import Question
from s1_serve.completions import Sampling
from s1_serve.evaluate.config import MAJORITY, REJECTION
from s1_serve.evaluate.run.asks import Answered, Ask
from s1_serve.evaluate.settings import Setting


@dataclass(frozen=True, kw_only=True)
class Taken:
    """The answer of a method, and what all of its tries cost."""

    answered: Answered
    tries: int
    total_tokens: int
    seconds: float


Policy = Generator[Ask, Answered, Taken]


def policy(setting: Setting, question: Question, seed: int) -> Policy:
    """Ask until the method takes an answer: at once, but for rejection sampling (spec 4.4).

    That one draws again while thinking reached its maximum, at most `setting.tries` times; the
    last try then stands, with its end.
    """
    ask, total, seconds = first(setting, question, seed), 0, 0.0
    for number in range(1, setting.tries + 1):
        answered = yield ask
        seconds += answered.seconds
        total += answered.spent.total_tokens if answered.spent else answered.output_tokens
        if setting.method != REJECTION or answered.end == "natural":
            break
        ask = replace(ask, sampling=replace(ask.sampling, seed=seeded(seed, f"try {number}")))
    return Taken(answered=answered, tries=number, total_tokens=total, seconds=seconds)


def first(setting: Setting, question: Question, seed: int) -> Ask:
    """Give what a method asks first."""
    return Ask(
        question=setting.prompted(question.question),
        budget=setting.budget,
        sampling=Sampling(temperature=setting.temperature, seed=seed),
        max_steps=setting.limit if setting.counts_steps else None,
        wants_logprob=setting.method == MAJORITY and setting.temperature > 0,
        strategy=setting.strategy,
    )


def seeded(*parts: int | str) -> int:
    """Make a seed of 31 bits from anything that has a name."""
    digest = hashlib.blake2b(":".join(map(str, parts)).encode(), digest_size=4)
    return int.from_bytes(digest.digest(), "big") >> 1
