"""Thinking that counts its steps down: natural ends, forced ones, counts without the headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1_core import chat
from s1_core.errors import UserError
from s1_serve.completions import Completion, Sampling
from s1_serve.evaluate.config import EvaluateConfig
from s1_serve.evaluate.run import steps
from s1_serve.evaluate.run.asks import Ask
from s1_serve.evaluate.run.policies import first
from s1_serve.evaluate.run.tokens import Speech, Tokens, format_refusal
from s1_serve.evaluate.settings import settings

STEPS, S1 = chat.FORMATS["s1-steps"], chat.FORMATS["s1"]
CONTROL = (chat.TURN_START, chat.TURN_END, chat.END_OF_TEXT)


class Characters:
    """A Codec of one id a character, and one a control token."""

    def encode(self, text):
        ids = []
        while text:
            mark = next((m for m in CONTROL if text.startswith(m)), None)
            ids.append(-1 - CONTROL.index(mark) if mark else ord(text[0]))
            text = text[len(mark) if mark else 1 :]
        return tuple(ids)

    def decode(self, ids):
        return "".join(CONTROL[-1 - i] if i < 0 else chr(i) for i in ids)


class Script:
    """A Worker that says a fixed text, from where the prompt has got to."""

    def __init__(self, text):
        self.ids = CODEC.encode(text + chat.TURN_END)
        self.answer = CODEC.encode("\nAnswer: 7" + chat.TURN_END)

    def work(self, jobs, done):
        queue = list(jobs)
        while queue:
            key, request = queue.pop(0)
            queue += done(key, self.complete(request), 1.0)

    def complete(self, request):
        said = request.prompt_ids[len(SPEECH.prompt("q")) :]
        is_forced = said != self.ids[: len(said)]
        rest = self.answer if is_forced else self.ids[len(said) :]
        for count, token in enumerate(rest[: request.max_tokens]):
            if token in request.stop_ids:
                return Completion(token_ids=rest[:count], finish_reason="stop")
        return Completion(token_ids=rest[: request.max_tokens], finish_reason="length")


CODEC = Characters()
SPEECH = Speech(format=STEPS, codec=CODEC, stop_ids=(-2, -3), context=1000, answer_tokens=40)


def answered(text, max_steps=None, speech=SPEECH):
    ask = Ask(
        question="q",
        budget=settings(config(methods=("steps",)))[0].budget,
        sampling=Sampling(),
        max_steps=max_steps,
    )
    found = []
    Tokens(Script(text), speech, keeps_plans=False).work(
        [(0, ask)], lambda _, one: found.append(one) or ()
    )
    return found[0]


def config(**changes):
    values = {"model": "m", "benchmark": ("b",), "out": "o", "class_limit": 3}
    return EvaluateConfig(**{**values, **changes})


def countdown(*texts, left=None):
    """Write steps as the model does, behind the token that the prompt ends with."""
    left = len(texts) if left is None else left
    return chat.TURN_START.join(f"{left - n} steps left\n{t}\n" for n, t in enumerate(texts))


NATURAL = countdown("one", "two") + f"{chat.TURN_START}answer\nAnswer: 5"


@pytest.mark.parametrize("max_steps", [None, 2, 9])
def test_a_natural_end_stands(max_steps):
    found = answered(NATURAL, max_steps)
    assert (found.thinking, found.answer) == ("one\n\ntwo", "Answer: 5")
    assert (found.end, found.finish_reason, found.maximum) == ("natural", "stop", None)
    assert found.thinking_tokens == len("one\ntwo\n")
    assert found.output_tokens == len(CODEC.encode(NATURAL))


def test_too_many_steps_are_ended():
    found = answered(countdown("one", "two", "three", left=64), 2)
    assert (found.thinking, found.answer, found.end) == ("one\n\ntwo", "Answer: 7", "budget")


@pytest.mark.parametrize("left", [1, 0])
def test_a_countdown_that_reaches_zero_or_falls_below_is_ended(left):
    found = answered(countdown("one", "two", "three", left=left), 9)
    assert (found.thinking, found.answer, found.end) == ("one", "Answer: 7", "budget")


def test_without_a_limit_thinking_ends_where_the_answer_needs_the_room():
    small = Speech(format=STEPS, codec=CODEC, stop_ids=(-2, -3), context=260, answer_tokens=30)
    found = answered(countdown("x" * 500), speech=small)
    assert found.end == "budget" and "Final Answer:" in found.answer
    room = 260 - len(small.prompt("q"))
    assert found.output_tokens <= room and found.thinking_tokens > 50


def test_an_end_of_turn_while_thinking_opens_a_step():
    text = "3 steps left\none\n"
    found = answered(text, 2)
    assert found.end == "budget" and found.answer == "Answer: 7"


@given(st.lists(st.text(alphabet="abc \n", min_size=1, max_size=9), min_size=1, max_size=5))
def test_headers_and_openings_are_no_thinking(texts):
    marks = steps.Countdown.of(STEPS, CODEC, (-2,), 100, 10)
    ids = CODEC.encode(countdown(*texts))
    assert marks.num_tokens(ids) == sum(len(text) + 1 for text in texts)


def test_what_a_format_cannot_have_is_refused():
    every = settings(
        config(methods=("none", "budget", "extends", "tokens", "tokens+budget", "steps",
                        "steps+budget", "classes", "classes+budget", "rejection", "majority"))
    )  # fmt: skip
    refused = {s.method for s in every if format_refusal(s, S1)}
    assert refused == {"steps+budget"}
    refused = {s.method for s in every if format_refusal(s, STEPS)}
    assert refused == {"budget", "extends", "tokens+budget", "classes+budget", "rejection"}
    assert not format_refusal(settings(config(methods=("extends",)))[0], STEPS)


def test_only_the_forced_method_counts_steps():
    found = {s.method: s for s in settings(config(methods=("steps", "steps+budget")))}
    question = type("Q", (), {"question": "q", "id": "1"})
    assert first(found["steps"], question, 0).max_steps is None
    forced = first(found["steps+budget"], question, 0)
    assert forced.max_steps == found["steps+budget"].limit == 256
    assert forced.question == "q\n\nThink for up to 256 steps."


def test_a_question_without_room_is_refused():
    tight = Speech(format=STEPS, codec=CODEC, stop_ids=(-2,), context=3, answer_tokens=1)
    ask = Ask(question="q", budget=None, sampling=Sampling())
    with pytest.raises(UserError, match="no room"):
        Tokens(Script(""), tight, keeps_plans=False).check(ask)
