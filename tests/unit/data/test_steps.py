"""Thinking about the bank's problems, right and wrong: each step is judged by working it out."""

import re
from random import Random

import pytest

from s1_core.steps import parted
from s1_data import bank
from s1_data.steps.judging import judged, problem_of
from s1_data.steps.mistakes import right_thinking, wrong_thinking
from s1_data.worked import walk

QUESTIONS = list(bank.generate(110, 3, "train"))


@pytest.mark.parametrize("question", QUESTIONS[:44], ids=lambda q: q.id[:8])
def test_a_walk_without_mistakes_is_right_to_its_end(question: bank.Question) -> None:
    problem = problem_of(question)
    assert all(judged(problem, walk(problem)))


def test_what_follows_a_wrong_number_is_wrong_whatever_it_says() -> None:
    num_planted = 0
    for question in QUESTIONS:
        problem = problem_of(question)
        text = walk(problem)
        numbers = list(re.finditer(r"(?<==)\d+", text))
        place = numbers[len(numbers) // 2]
        wrong = f"{text[: place.start()]}{int(place[0]) + 1}{text[place.end() :]}"
        verdicts = judged(problem, wrong)
        reached, first_wrong = 0, 0
        for number, step in enumerate(parted(wrong)):
            reached += len(step)
            if reached > place.start():
                first_wrong = number
                break
        assert verdicts == [number < first_wrong for number in range(len(verdicts))]
        num_planted += 1
    assert num_planted == len(QUESTIONS)


def test_a_line_that_takes_back_begins_anew() -> None:
    problem = problem_of(QUESTIONS[0])
    wrong = f"Guess={problem.answer() + 1}."
    verdicts = judged(problem, f"{wrong}\nWait: {walk(problem)}")
    assert verdicts[0] is False and all(verdicts[1:])


def test_right_thinking_ends_right_and_mistakes_are_found() -> None:
    rng = Random(5)
    ends = [judged(problem_of(q), right_thinking(rng, problem_of(q)))[-1] for q in QUESTIONS]
    assert all(ends)
    with_mistakes = [judged(problem_of(q), wrong_thinking(rng, problem_of(q))) for q in QUESTIONS]
    assert sum(not all(one) for one in with_mistakes) > 0.7 * len(QUESTIONS)
