"""Decontamination: the hashed shingles of the benchmarks, against an index of both sides."""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from s1_core.records import Question, question_id
from s1_data.config import DecontaminationConfig
from s1_data.filters.decontaminate import Screen, normalise

TITLE = "decontaminate 59,000 questions against 1,200"
PEER = "two-sided index"
REPEATS, APART = 3, True
NUM_WORDS = 8
NUM_SOURCES = 16


def questions(num: int, seed: int) -> list[Question]:
    """Texts of 20 to 120 words with the word frequencies of Zipf's law."""
    rng = random.Random(seed)
    weights = [1 / rank for rank in range(1, 5001)]
    texts = (
        " ".join(f"w{n}" for n in rng.choices(range(5000), weights, k=rng.randint(20, 120)))
        for _ in range(num)
    )
    return [
        Question(
            id=question_id(text), question=text, solution=None, answer=None,
            cot_type="math", source_type="bench", metadata="{}",
        )
        for text in texts
    ]  # fmt: skip


def two_sided(pool: list[Question], tests: list[Question]) -> set[int]:
    """Index the shingles of both sides as strings and look for keys in both."""

    def index(rows: list[Question]) -> dict[str, set[int]]:
        found: dict[str, set[int]] = defaultdict(set)
        for number, row in enumerate(rows):
            words = normalise(row.question).split()
            for start in range(len(words) - NUM_WORDS + 1):
                found[" ".join(words[start : start + NUM_WORDS])].add(number)
        return found

    ours, theirs = index(pool), index(tests)
    return {number for shingle in ours.keys() & theirs.keys() for number in ours[shingle]}


def one_sided(
    pool: list[Question], tests: list[Question], *, across_sources: bool = False
) -> set[int]:
    """Ask our filter, source by source; across the sources each is also held against the others."""
    options = DecontaminationConfig(benchmarks=(), across_sources=across_sources)
    screen, size = Screen({"tests": tests}, options), -(-len(pool) // NUM_SOURCES)
    found: set[int] = set()
    for start in range(0, len(pool), size):
        rows = pool[start : start + size]
        rules, _ = screen.rules(str(start), rows)
        screen.take([row for row, rule in zip(rows, rules, strict=True) if rule is None])
        found |= {start + number for number, rule in enumerate(rules) if rule == "tests"}
    return found


def million(pool: list[Question], tests: list[Question]) -> int:
    """Screen a million different questions, made and forgotten 50,000 at a time."""
    screen = Screen({"tests": tests}, DecontaminationConfig(benchmarks=(), across_sources=False))
    found = 0
    for part in range(20):
        rows = [replace(row, question=f"{part} {row.question}") for row in pool[:50_000]]
        found += sum(rule is not None for rule in screen.rules(str(part), rows)[0])
    return found


def arms() -> dict[str, Callable[[], object]]:
    """All find the same rows: 300 spans of the benchmarks are planted in the pool."""
    pool, tests = questions(59_000, 1), questions(1_200, 2)
    for number in range(300):
        span = " ".join(tests[number].question.split()[3:13])
        planted = f"{pool[number * 50].question} {span}"
        pool[number * 50] = replace(pool[number * 50], question=planted)
    if (
        not one_sided(pool, tests)
        == one_sided(pool, tests, across_sources=True)
        == two_sided(pool, tests)
    ):
        raise SystemExit("the rules disagree")
    return {
        "hashed shingles": lambda: one_sided(pool, tests),
        "the same, and 16 sources against each other": lambda: one_sided(
            pool, tests, across_sources=True
        ),
        "hashed shingles, 1,000,000 questions": lambda: million(pool, tests),
        PEER: lambda: two_sided(pool, tests),
    }
