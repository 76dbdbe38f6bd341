"""Decontamination: shingles of the benchmarks in a set, against an index of both sides."""

import random
from collections import defaultdict
from collections.abc import Callable

from s1_core.records import Question, question_id
from s1_data.decontaminate import normalise, sharing_shingles

TITLE = "decontaminate 20,000 questions against 1,200"
PEER = "two-sided index"
NUM_WORDS = 8


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


def arms() -> dict[str, Callable[[], object]]:
    """Both find the same rows: 200 spans of the benchmarks are planted in the pool."""
    pool, tests = questions(20_000, 1), questions(1_200, 2)
    for number in range(200):
        span = " ".join(tests[number].question.split()[3:13])
        planted = f"{pool[number * 50].question} {span}"
        pool[number * 50] = Question(**{**pool[number * 50].__dict__, "question": planted})

    def one_sided() -> set[int]:
        rules = sharing_shingles(pool, {"tests": tests}, NUM_WORDS)
        return {number for number, rule in enumerate(rules) if rule}

    if one_sided() != two_sided(pool, tests):
        raise SystemExit("the two rules disagree")
    return {"set of the benchmarks' shingles": one_sided, PEER: lambda: two_sided(pool, tests)}
