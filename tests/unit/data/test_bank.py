"""The bank: answers against a second computation from the text, traces, the split, speed."""

import itertools
import json
import re
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_core.errors import UserError
from s1_data import bank, worked

SEEDS = st.integers(0, 10_000)


def replay(start: int, moves: str) -> int:
    """Carry out moves such as "+4-2": those up, less those down."""
    return (
        start
        + sum(map(int, re.findall(r"\+(\d)", moves)))
        - sum(map(int, re.findall(r"-(\d)", moves)))
    )


def depth(start: int, brackets: str) -> int:
    return start + brackets.count("(") - brackets.count(")")


def nim(digits: str) -> int:
    """Add without carrying, bit by bit."""
    return sum((sum(int(d) >> bit & 1 for d in digits) % 2) << bit for bit in range(3))


# Question text -> answer, written without the bank's item-by-item updates.
SOLVERS = (
    (r"How many ([a-z]|\d) in (\w+)\?", lambda what, text: text.count(what)),
    (r"How many vowels in (\w+)\?", lambda word: len(re.findall("[aeiou]", word))),
    (r"How many digits over (\d) in (\d+)\?", lambda t, s: len(re.findall(f"[{int(t) + 1}-9]", s))),
    (r"How many G or C in (\w+)\?", lambda text: len(text) - text.count("A") - text.count("T")),
    (r"What is the digit sum of (\d+)\?", lambda s: sum(d * s.count(str(d)) for d in range(10))),
    (
        r"What remains mod (\d) of the digit sum of (\d+)\?",
        lambda modulus, s: sum(map(int, s)) % int(modulus),
    ),
    (r"From (\d), what last digit after (.+)\?", lambda n, moves: replay(int(n), moves) % 10),
    (r"From (\d), what position after (.+)\?", lambda n, moves: replay(int(n), moves)),
    (
        r"From (\d) o'clock, what hour after (.+)\?",
        lambda n, moves: replay(int(n), moves) % 12 or 12,
    ),
    (r"How many cents are the coins (\d+)\?", lambda s: sum(map(int, s))),
    (r"What is the nim sum of (\d+)\?", nim),
    (r"From (\d), how deep after ([()]+)\?", lambda n, text: depth(int(n), text)),
)


def solve(text: str) -> int:
    found = [solver(*m.groups()) for rx, solver in SOLVERS if (m := re.fullmatch(rx, text))]
    assert len(found) == 1, text
    return found[0]


def numbers(thinking: str) -> list[int]:
    """Read every number that a trace states: after So, Guess and Still."""
    return [int(n) for n in re.findall(r"(?:So|Guess|Still)=(\d+)\.", thinking)]


def test_bank_is_as_broad_as_promised() -> None:
    questions = list(bank.generate(2000, 0, "train"))
    fields = [json.loads(question.metadata) for question in questions]
    assert len({f["family"] for f in fields}) >= 10
    assert len({f["domain"] for f in fields}) >= 6
    assert {f["level"] for f in fields} == {1, 2, 3, 4, 5}


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_answers_agree_with_a_second_computation(seed: int) -> None:
    for question in bank.generate(52, seed, "heldout" if seed % 2 else "train"):
        assert question.answer == str(solve(question.question))


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_traces_end_at_the_answer_and_take_slips_back(seed: int) -> None:
    for question in bank.generate(52, seed, "train"):
        made = bank.trace(question, seed)
        stated = numbers(made.thinking)
        assert made.question_id == question.id
        assert made.attempt == question.answer == str(stated[-1])
        if stated[0] != stated[-1]:
            assert f"\n{worked.CORRECTION}: " in made.thinking


@given(SEEDS, SEEDS)
@settings(max_examples=20, deadline=None)
def test_no_row_of_items_is_in_both_splits(seed: int, other: int) -> None:
    train = list(bank.generate(130, seed, "train"))
    held_out = list(bank.generate(130, other, "heldout"))
    rows = [{"".join(json.loads(q.metadata)["items"]) for q in part} for part in (train, held_out)]
    assert not rows[0] & rows[1]
    assert not {q.id for q in train} & {q.id for q in held_out}


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_documents_stay_out_of_the_held_out_rows(seed: int) -> None:
    for document in bank.documents(200, seed):
        items = "".join(json.loads(document.metadata)["items"])
        assert items != "raspberry"
        assert document.answer == str(solve(document.question))
        assert document.attempt.split()[-1] == document.answer
        problem = bank._problem(document)  # type: ignore[arg-type]
        assert bank.split_of(problem) == "train"


def test_raspberry_can_be_asked_but_is_never_trained() -> None:
    letters = bank.families()[0]
    problem = bank.Problem(family=letters, level=3, parameter="r", items=tuple("raspberry"))
    assert problem.question() == "How many r in raspberry?"
    assert problem.answer() == 3
    assert bank.split_of(problem) == "heldout"


def test_documents_are_direct_worked_and_cut() -> None:
    documents = list(bank.documents(2000, 5))
    thinking = [document.thinking_trajectories[0] for document in documents]
    direct = sum(not text for text in thinking)
    cut = sum(document.attempt != document.answer for document in documents)
    assert 900 < direct < 1200
    assert 300 < cut < 500
    for document, text in zip(documents, thinking, strict=True):
        if text and document.attempt == document.answer:
            assert str(numbers(text)[-1]) == document.answer


def test_same_seed_same_records_and_another_seed_others() -> None:
    first, again, other = (list(bank.generate(300, seed, "train")) for seed in (7, 7, 8))
    assert first == again != other
    assert [bank.trace(q, 1) for q in first] == [bank.trace(q, 1) for q in again]
    assert list(bank.documents(50, 3)) == list(bank.documents(50, 3))
    assert list(itertools.islice(bank.generate(300, 7, "train"), 100)) == first[:100]


def test_slip_rate_counts_the_traces_that_state_a_wrong_number() -> None:
    questions = list(bank.generate(1300, 2, "train"))
    wrong = 0
    for question in questions:
        stated = set(numbers(bank.trace(question, 9).thinking))
        wrong += stated != {int(question.answer or -1)}
    assert bank.slip_rate(questions, 9) == pytest.approx(wrong / len(questions))
    assert 0.05 < bank.slip_rate(questions, 9) < 0.25


def test_families_take_turns_and_ids_are_unique() -> None:
    questions = list(bank.generate(1100, 4, "train"))
    counts = Counter(json.loads(question.metadata)["family"] for question in questions)
    assert set(counts.values()) == {100}
    assert len({question.id for question in questions}) == 1100


def test_asking_for_more_than_there_is_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank, "_MAX_DRAWS", 2)
    with pytest.raises(UserError, match="no more heldout questions of the family"):
        list(bank.generate(20_000, 0, "heldout"))


def test_59000_questions_in_under_a_minute() -> None:
    start = time.perf_counter()
    assert sum(1 for _ in bank.generate(59_000, 0, "train")) == 59_000
    assert time.perf_counter() - start < 60


def test_the_tokenizer_phrases_cover_the_traces() -> None:
    held = set(worked.phrases())
    text = bank.trace(next(iter(bank.generate(1, 0, "train"))), 0).thinking
    assert text.startswith("Guess=")
    assert {"Guess", "Steps", " 1:", "=0", "=99", worked.CORRECTION, "over 5", "mod 9"} <= held
