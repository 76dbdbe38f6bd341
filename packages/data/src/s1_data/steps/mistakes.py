"""Thinking that goes wrong somewhere, as a small model's does, and consistently on from there.

Most mistakes are the teacher's own thinking about another problem: one with an item misread, lost
or read twice, or a number that slips. So a wrong walk looks like a right one, step by step.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from random import Random

from s1_data.families import MAX_ITEMS, MAX_STATE, Items, Problem
from s1_data.worked import practice, thinking

_NUMBER = re.compile(r"(?<==)\d+")
_SHARE_OF_PRACTICE = 0.5
_SHARE_OF_TYPOS = 0.25
_SLIPS = (-2, -1, -1, 1, 1, 2)


class _Slipping(str):
    """An item at which the number goes wrong by `slip`."""

    slip: int = 0


def right_thinking(rng: Random, problem: Problem) -> str:
    """Think as the teacher does, or as a whole pre-training document; slips there are corrected."""
    if rng.random() >= _SHARE_OF_PRACTICE:
        return thinking(rng, problem)[0]
    while True:
        text, is_cut = practice(rng, problem)
        if text and not is_cut:
            return text


def wrong_thinking(rng: Random, problem: Problem) -> str:
    """Think with a mistake planted somewhere; it may show nowhere, so judge what comes out."""
    if rng.random() < _SHARE_OF_TYPOS:
        return _with_typo(rng, right_thinking(rng, problem))
    while True:
        mistaken = rng.choice(_MISTAKES)(rng, problem)
        if len(mistaken.items) <= MAX_ITEMS and all(
            0 <= state <= MAX_STATE for state in mistaken.states()
        ):
            return right_thinking(rng, mistaken)


def _with_typo(rng: Random, text: str) -> str:
    """Change one number and nothing behind it."""
    place = rng.choice(list(_NUMBER.finditer(text)))
    number = max(0, int(place[0]) + rng.choice(_SLIPS))
    return f"{text[: place.start()]}{number}{text[place.end() :]}"


def _misread(rng: Random, problem: Problem) -> Problem:
    place = rng.randrange(len(problem.items))
    return _with_items(problem, place, rng.choice(problem.items))


def _lost(rng: Random, problem: Problem) -> Problem:
    return _with_items(problem, rng.randrange(len(problem.items)))


def _doubled(rng: Random, problem: Problem) -> Problem:
    place = rng.randrange(len(problem.items))
    return _with_items(problem, place, *[problem.items[place]] * 2)


def _slipped(rng: Random, problem: Problem) -> Problem:
    """Let the number go wrong behind one item."""
    update = problem.family.update
    family = replace(
        problem.family,
        update=lambda n, item, parameter: update(n, item, parameter) + getattr(item, "slip", 0),
    )
    place = rng.randrange(len(problem.items))
    item = _Slipping(problem.items[place])
    item.slip = rng.choice(_SLIPS)
    return _with_items(replace(problem, family=family), place, item)


def _with_items(problem: Problem, place: int, *items: str) -> Problem:
    """Put `items` in the place of one."""
    changed: Items = (*problem.items[:place], *items, *problem.items[place + 1 :])
    return replace(problem, items=changed)


_MISTAKES: tuple[Callable[[Random, Problem], Problem], ...] = (
    _misread, _lost, _doubled, _slipped, _slipped,
)  # fmt: skip
