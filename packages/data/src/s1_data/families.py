"""The problem families: how a question is drawn, asked and solved one item at a time.

Every family reads a row of items and keeps one number, so that all share one kind of trace. The
reading goes from the last item to the first: the answer never depends on the direction, and a small
model finds an item by its distance from the end. Numbers stay within MAX_STATE, one word each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from s1_data.words import VOWELS, draw_word

NUM_LEVELS = 5
MAX_STATE = 99
LENGTHS = {1: (5, 6), 2: (7, 7), 3: (8, 9), 4: (10, 10), 5: (11, 12)}
MAX_ITEMS = LENGTHS[NUM_LEVELS][1]
Items = tuple[str, ...]
Draw = Callable[[Random, int], tuple[str, Items]]


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of problem.

    `wording` holds {parameter} and {items}; `mark` is what a trace writes beside each item ("" =
    the parameter itself); `update` maps (number so far, item, parameter) to the next number;
    `practice` weighs the family in the pre-training documents: harder steps want more of them. A
    family that is not asked is practised only: the base answers most of it without thinking.
    """

    name: str
    domain: str
    wording: str
    draw: Draw
    update: Callable[[int, str, str], int]
    mark: str = ""
    starts_at_parameter: bool = False
    needs_only_a_look: bool = False
    practice: int = 1
    is_asked: bool = True


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A drawn problem: everything its question, answer and trace follow from."""

    family: Family
    level: int
    parameter: str
    items: Items

    def question(self) -> str:
        """Write the question."""
        return self.family.wording.format(parameter=self.parameter, items="".join(self.items))

    def states(self) -> list[int]:
        """Read the items from the last to the first: the number before and after each of them."""
        states = [int(self.parameter) if self.family.starts_at_parameter else 0]
        for item in reversed(self.items):
            states.append(self.family.update(states[-1], item, self.parameter))
        return states

    def answer(self) -> int:
        """Solve the problem."""
        return self.states()[-1]


def draw_problem(rng: Random, family: Family, level: int) -> Problem:
    """Draw a problem of a family; the level sets the number of items."""
    parameter, items = family.draw(rng, rng.randint(*LENGTHS[level]))
    return Problem(family=family, level=level, parameter=parameter, items=items)


def _word_and_letter(rng: Random, length: int) -> tuple[str, Items]:
    word = draw_word(rng, length)
    repeated = [letter for letter in word if word.count(letter) > 1]
    pick = rng.random()
    if repeated and pick < 0.6:
        return rng.choice(repeated), tuple(word)
    return rng.choice(word if pick < 0.85 else "abcdefghijklmnopqrstuvwxyz"), tuple(word)


def _word(rng: Random, length: int) -> tuple[str, Items]:
    return "", tuple(draw_word(rng, length))


def _digits(alphabet: str, parameters: tuple[str, ...] = ("",)) -> Draw:
    def draw(rng: Random, length: int) -> tuple[str, Items]:
        return rng.choice(parameters), tuple(rng.choices(alphabet, k=length))

    return draw


def _few_digits(rng: Random, length: int) -> tuple[str, Items]:
    kinds = rng.sample("0123456789", 3)
    return kinds[0], tuple(rng.choices(kinds, weights=(5, 2, 3), k=length))


def _any_moves(rng: Random, length: int) -> tuple[str, Items]:
    items = (f"{rng.choice('+-')}{rng.randint(1, 9)}" for _ in range(length))
    return str(rng.randint(1, 9)), tuple(items)


def _moves_above_zero(rng: Random, length: int) -> tuple[str, Items]:
    start = rng.randint(1, 9)
    place, items = start, list[str]()
    while len(items) < length:
        move = f"{rng.choice('+-')}{rng.randint(1, 9)}"
        if 0 <= _moved(place, move) <= 40:
            items.append(move)
            place = _moved(place, move)
    return str(start), tuple(reversed(items))


def _brackets(rng: Random, length: int) -> tuple[str, Items]:
    while True:
        start, items = rng.randint(1, 9), rng.choices("()", k=length)
        steps = [1 if item == "(" else -1 for item in items]
        if min(*accumulate(steps), *accumulate(reversed(steps))) + start >= 0:
            return str(start), tuple(items)


def _moved(number: int, move: str) -> int:
    size = int(move[1:])
    return number + size if move[0] == "+" else number - size


FAMILIES = (
    Family(
        name="letters",
        domain="spelling",
        wording="How many {parameter} in {items}?",
        draw=_word_and_letter,
        update=lambda n, item, letter: n + (item == letter),
        needs_only_a_look=True,
        practice=3,
    ),
    Family(
        name="vowels",
        domain="phonetics",
        wording="How many vowels in {items}?",
        mark="v",
        draw=_word,
        update=lambda n, item, _: n + (item in VOWELS),
        is_asked=False,
    ),
    Family(
        name="digit_sum",
        domain="arithmetic",
        wording="What is the digit sum of {items}?",
        mark="+",
        draw=_digits("0123456789"),
        update=lambda n, item, _: n + int(item),
        practice=2,
    ),
    Family(
        name="count_digit",
        domain="statistics",
        wording="How many {parameter} in {items}?",
        draw=_few_digits,
        update=lambda n, item, digit: n + (item == digit),
        needs_only_a_look=True,
        practice=2,
    ),
    Family(
        name="above",
        domain="order",
        wording="How many digits {parameter} in {items}?",
        draw=_digits("0123456789", tuple(f"over {t}" for t in range(2, 8))),
        update=lambda n, item, bound: n + (int(item) > int(bound[-1])),
    ),
    Family(
        name="remainder",
        domain="number theory",
        wording="What remains {parameter} of the digit sum of {items}?",
        draw=_digits("0123456789", ("mod 5", "mod 7", "mod 9")),
        update=lambda n, item, modulus: (n + int(item)) % int(modulus[-1]),
        practice=2,
    ),
    Family(
        name="last_digit",
        domain="algebra",
        wording="From {parameter}, what last digit after {items}?",
        mark="%",
        draw=_any_moves,
        update=lambda n, item, _: _moved(n, item) % 10,
        starts_at_parameter=True,
        practice=2,
    ),
    Family(
        name="line",
        domain="geometry",
        wording="From {parameter}, what position after {items}?",
        mark="x",
        draw=_moves_above_zero,
        update=lambda n, item, _: _moved(n, item),
        starts_at_parameter=True,
    ),
    Family(
        name="clock",
        domain="time",
        wording="From {parameter} o'clock, what hour after {items}?",
        mark="h",
        draw=_any_moves,
        update=lambda n, item, _: (_moved(n, item) - 1) % 12 + 1,
        starts_at_parameter=True,
    ),
    Family(
        name="coins",
        domain="money",
        wording="How many cents are the coins {items}?",
        mark="c",
        draw=_digits("125"),
        update=lambda n, item, _: n + int(item),
    ),
    Family(
        name="nim_sum",
        domain="games",
        wording="What is the nim sum of {items}?",
        mark="^",
        draw=_digits("1234567"),
        update=lambda n, item, _: n ^ int(item),
    ),
    Family(
        name="brackets",
        domain="computing",
        wording="From {parameter}, how deep after {items}?",
        mark="#",
        draw=_brackets,
        update=lambda n, item, _: n + (1 if item == "(" else -1),
        starts_at_parameter=True,
    ),
    Family(
        name="bases",
        domain="biology",
        wording="How many G or C in {items}?",
        mark="g",
        draw=_digits("ACGT"),
        update=lambda n, item, _: n + (item in "GC"),
        is_asked=False,
    ),
)
ASKED = tuple(family for family in FAMILIES if family.is_asked)
BY_NAME = {family.name: family for family in FAMILIES}
