"""Worked thinking for the bank's problems: walks, quick looks, corrections and checks.

Owns every phrase of the traces. A walk reads item after item, by index, and writes the running
number; a later line that begins with CORRECTION corrects or confirms what stands above it.
"""

from __future__ import annotations

import re
from random import Random

from s1_data.families import FAMILIES, MAX_ITEMS, MAX_STATE, Problem

CORRECTION = "Wait"
# As many words as in a guess and CORRECTION, so that every walk begins equally far from its items.
_OPENING = ("Read ", "it ", "from ", "the ", "end", ": ")
_WORDS = (*_OPENING, "Steps", " So", "Guess", "Still", CORRECTION)
_PIECE = re.compile(
    r" \d+:|=\d+|over \d|mod \d|[-+]\d|Read |it |from |the |end|: |Steps| So|Guess|Still|Wait|.",
    re.S,
)
# Shares of the pre-training documents: answered at once, worked to the end, worked but cut short.
_DIRECT, _WORKED = 0.5, 0.3
# Shares of the teacher's traces: looks that are wrong, other traces that begin with a wrong guess,
# traces that end with a check, checks that are followed by another. Small ones, because the
# selection prefers the longest traces, and a student stops where most traces do.
_LOOK_SLIPS, _SLIPS, _CHECKS, _MORE_CHECKS = 0.06, 0.08, 0.05, 0.4


def phrases() -> tuple[str, ...]:
    """List what a tokenizer of this text should hold as single tokens."""
    found = {*_WORDS}
    for family in FAMILIES:
        wording = family.wording.replace("{items}", "|").replace("{parameter}", "|")
        found.update(part for part in wording.split("|") if len(part) > 1)
    found.update(f" {index}:" for index in range(1, MAX_ITEMS + 2))
    found.update(f"={state}" for state in range(MAX_STATE + 1))
    found.update(f"{sign}{size}" for sign in "+-" for size in range(1, 10))
    found.update(f"{kind} {digit}" for kind in ("over", "mod") for digit in range(2, 10))
    return tuple(sorted(found))


def walk(problem: Problem) -> str:
    """Read the items one by one from the last, with the running number, up to the first."""
    mark = problem.family.mark or problem.parameter
    states = problem.states()
    steps = (
        f" {index}:{item}{mark}={state}"
        for index, (item, state) in enumerate(
            zip(reversed(problem.items), states[1:], strict=True), 1
        )
    )
    end = f" {len(problem.items) + 1}:?"
    return f"Steps={states[0]}{''.join(steps)}{end} So={states[-1]}."


def thinking(rng: Random, problem: Problem) -> tuple[str, bool]:
    """Think as the teacher does; also say whether a slip was planted.

    Families that need only a look get a quick look, nearly always right. The others get a walk,
    sometimes after a wrong guess. A correction takes back what was wrong; a check may follow.
    """
    only_looks = problem.family.needs_only_a_look
    slips = rng.random() < (_LOOK_SLIPS if only_looks else _SLIPS)
    if slips:
        lines = [_look(_wrong(rng, problem)), f"{CORRECTION}: {walk(problem)}"]
    elif only_looks:
        return _look(problem.answer()), False
    else:
        lines = ["".join(_OPENING) + walk(problem)]
    more = _CHECKS
    while rng.random() < more:
        lines += _checks(problem, 1)
        more = _MORE_CHECKS
    return "\n".join(lines), slips


def practice(rng: Random, problem: Problem) -> tuple[str, bool]:
    """Think as a pre-training document does; also say whether the thinking was cut short."""
    kind = rng.random()
    if kind < _DIRECT:
        return "", False
    text = _practice_lines(rng, problem)
    if kind < _DIRECT + _WORKED:
        return text, False
    pieces = _PIECE.findall(text)
    return "".join(pieces[: rng.randrange(len(pieces))]).strip(), True


def _practice_lines(rng: Random, problem: Problem) -> str:
    only_looks = problem.family.needs_only_a_look
    if only_looks and rng.random() < 0.5:
        return _look(problem.answer())
    if only_looks or rng.random() < 0.15:
        lines = [_look(_wrong(rng, problem)), f"{CORRECTION}: {walk(problem)}"]
    else:
        lines = ["".join(_OPENING) + walk(problem)]
    if rng.random() < 0.35:
        lines += _checks(problem, rng.randint(1, 8))
    return "\n".join(lines)


def _look(number: int) -> str:
    return f"Guess={number}."


def _checks(problem: Problem, count: int) -> list[str]:
    return [f"{CORRECTION}: Still={problem.answer()}."] * count


def _wrong(rng: Random, problem: Problem) -> int:
    answer = problem.answer()
    return rng.choice([n for n in range(max(0, answer - 2), answer + 3) if n != answer])
