"""Which steps of a thinking about a bank problem are right, by working the problem out again.

A step is right while all that its line says so far is true, as in PRM800K and Math-Shepherd: behind
the first wrong one all are wrong. A line that takes back what stands above it begins anew.
"""

from __future__ import annotations

import re

from s1_core.records import Question
from s1_core.steps import parted
from s1_data import bank
from s1_data.families import Problem
from s1_data.worked import CORRECTION, walk

_RESULT = re.compile(r"\D*=(\d+)\.?")
_OPENING = re.compile(r"[^\d=]*(?=Steps)")


def problem_of(question: Question) -> Problem:
    """Read the problem behind a question of the bank."""
    # Private there, because the bytes of bank.py identify what the embedded base was trained on.
    return bank._problem(question)


def judged(problem: Problem, thinking: str) -> list[bool]:
    """Say of each step of `parted(thinking)` whether it is right.

    A last step that was cut short is right if a right one begins so.
    """
    wanted, steps = parted(walk(problem)), parted(thinking)
    verdicts: list[bool] = []
    is_right, place, begins_line = True, 0, True
    for number, step in enumerate(steps, 1):
        text = step.strip("\n")
        if begins_line:
            place, is_right = 0, is_right or text.startswith(CORRECTION)
            text = _OPENING.sub("", text, count=1)
        here = wanted[place] if place < len(wanted) else None
        is_right = is_right and _holds(text, here, problem.answer(), is_last=number == len(steps))
        verdicts.append(is_right)
        place, begins_line = place + 1, step.endswith("\n")
    return verdicts


def _holds(text: str, wanted: str | None, answer: int, *, is_last: bool) -> bool:
    result = _RESULT.fullmatch(text)
    if result and not text.startswith((" ", "Steps")):
        return int(result[1]) == answer
    if wanted is None:
        return False
    says_nothing = wanted.startswith("Steps") and "=" not in text
    return text == wanted or (is_last and (says_nothing or wanted.startswith(text)))
