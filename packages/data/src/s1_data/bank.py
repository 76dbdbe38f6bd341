"""The generated problem bank: the embedded, offline source of questions, traces and documents.

Owns the split: a row of items belongs to one split for ever, by its hash, so that neither ids nor
parameters can overlap. Answers are exact. Same seed, same records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from random import Random
from typing import Literal

from s1_core import chat
from s1_core.errors import UserError
from s1_core.records import Example, Question, Trace, question_id
from s1_data.families import ASKED, BY_NAME, FAMILIES, NUM_LEVELS, Family, Problem, draw_problem
from s1_data.worked import practice, thinking

Split = Literal["train", "heldout"]
TEACHER = "bank"
# The paper's Figure 3 asks for the letters of this word: it must not be trained on.
_HELD_OUT_WORDS = frozenset({"raspberry"})
_HELD_OUT_SHARE = 0.1
_MAX_DRAWS = 1000


def families() -> tuple[Family, ...]:
    """List the problem families that are asked."""
    return ASKED


def split_of(problem: Problem) -> Split:
    """Name the only split in which a problem may occur."""
    items = "".join(problem.items)
    share = int.from_bytes(hashlib.sha256(items.encode()).digest()[:4], "big") / 2**32
    return "heldout" if items in _HELD_OUT_WORDS or share < _HELD_OUT_SHARE else "train"


def generate(num_questions: int, seed: int, split: Split) -> Iterator[Question]:
    """Yield `num_questions` different questions of one split, the families in turn.

    Raises UserError when the bank holds fewer.
    """
    rng = Random(f"{seed}/{split}")
    seen: set[str] = set()
    for index in range(num_questions):
        family = ASKED[index % len(ASKED)]
        problem = _draw_unseen(rng, family, split, seen)
        seen.add(problem.question())
        yield _record(problem)


def trace(question: Question, seed: int) -> Trace:
    """Think a bank question through as its teacher would."""
    text, _ = _teach(question, seed)
    return Trace(
        question_id=question.id,
        thinking=text,
        attempt=str(_problem(question).answer()),
        model=TEACHER,
    )


def slip_rate(questions: list[Question], seed: int) -> float:
    """Measure the share of the traces of `questions` that hold a planted, corrected slip."""
    slips = sum(_teach(question, seed)[1] for question in questions)
    return slips / max(len(questions), 1)


def documents(num_documents: int, seed: int) -> Iterator[Example]:
    """Yield pre-training documents of the base: direct answers, worked ones, and cut ones.

    A cut document ends its thinking anywhere and answers the way a spent budget asks for it.
    """
    rng = Random(f"{seed}/documents")
    forced = chat.FORMATS["s1"].cut_suffix.strip()
    shares = [family.practice for family in FAMILIES]
    for family in rng.choices(FAMILIES, shares, k=num_documents):
        problem = _draw(rng, family, "train")
        text, is_cut = practice(rng, problem)
        answer = str(problem.answer())
        yield _example(_record(problem), text, f"{forced} {answer}" if is_cut else answer)


def _draw(rng: Random, family: Family, split: Split) -> Problem:
    while True:
        problem = draw_problem(rng, family, rng.randint(1, NUM_LEVELS))
        if split_of(problem) == split:
            return problem


def _draw_unseen(rng: Random, family: Family, split: Split, seen: set[str]) -> Problem:
    for _ in range(_MAX_DRAWS):
        problem = _draw(rng, family, split)
        if problem.question() not in seen:
            return problem
    raise UserError(
        f"the bank has no more {split} questions of the family {family.name!r};"
        f" found {len(seen)} in all; ask for fewer"
    )


def _record(problem: Problem) -> Question:
    family, text = problem.family, problem.question()
    metadata = {
        "family": family.name,
        "level": problem.level,
        "domain": family.domain,
        "parameter": problem.parameter,
        "items": list(problem.items),
    }
    return Question(
        id=question_id(text),
        question=text,
        solution=None,
        answer=str(problem.answer()),
        cot_type="math",
        source_type=f"bank/{family.name}",
        metadata=json.dumps(metadata),
    )


def _problem(question: Question) -> Problem:
    fields = json.loads(question.metadata)
    return Problem(
        family=BY_NAME[fields["family"]],
        level=fields["level"],
        parameter=fields["parameter"],
        items=tuple(fields["items"]),
    )


def _teach(question: Question, seed: int) -> tuple[str, bool]:
    return thinking(Random(f"{seed}/{question.id}"), _problem(question))


def _example(question: Question, text: str, attempt: str) -> Example:
    return Example(
        question_id=question.id,
        question=question.question,
        solution=question.solution,
        cot_type=question.cot_type,
        source_type=question.source_type,
        metadata=question.metadata,
        cot=None,
        thinking_trajectories=(text,),
        attempt=attempt,
        answer=question.answer,
        domain=json.loads(question.metadata)["domain"],
        thinking_tokens=len(text.split()),
    )
