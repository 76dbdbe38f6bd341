"""Pieces of a stream that hold text of an extend, also where its characters come later."""

from s1_serve.budget.request import Board
from s1_serve.contract.api import Asked, Dialect
from s1_serve.contract.exchange import Exchange
from s1_serve.contract.reply import Reply
from s1_serve.contract.thought import Thought
from unit.serve.test_loop import a_plan


def marked(tmp_path, *pieces):
    """Send pieces, each with the tokens it came with being of an extend, and give their marks."""
    board = Board(tmp_path / "board", 1)
    thought = Thought(plan=a_plan(), ticket=board.take(), board=board)
    asked = Asked(body={}, budget=None, effort=None, shows_thinking=True, num_answers=1)
    exchange = Exchange(dialect=Dialect.CHAT, asked=asked, thoughts=[thought])
    marks = []
    for is_forced, delta in pieces:
        thought.has_mark_due |= is_forced
        choice = {"index": 0, "delta": dict(delta), "finish_reason": None}
        Reply(exchange=exchange, mirrors=False).event({"choices": [choice]})
        marks.append(choice.get("forced", False))
    return marks


def said(text):
    return {"reasoning": text}


def test_a_piece_with_forced_tokens_is_marked_and_the_next_is_not(tmp_path):
    pieces = (False, said("a")), (True, said("Wait")), (False, said("b"))
    assert marked(tmp_path, *pieces) == [False, True, False]


def test_text_that_comes_after_its_tokens_is_marked(tmp_path):
    pieces = (True, said("")), (False, {}), (False, said("Waité")), (False, said("b"))
    assert marked(tmp_path, *pieces) == [True, True, True, False]


def test_an_answer_is_never_marked(tmp_path):
    pieces = (True, said("")), (False, {"content": "7"}), (False, {"content": "8"})
    assert marked(tmp_path, *pieces) == [True, False, False]
