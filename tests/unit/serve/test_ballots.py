"""Votes: what is one ballot, who leads, who speaks, and who wins a tie."""

from __future__ import annotations

import pytest

from s1_core.errors import UserError
from s1_serve.strategies import ballots
from s1_serve.strategies.calls import Chat
from s1_serve.strategies.known import Result, Sample


def finished(name: str, vote: str | None, tokens: int = 10) -> Sample:
    result = Result(vote=vote, tokens=tokens)
    return Sample(call=Chat(id=name), state="finished", tokens=tokens, result=result)


def samples(*pairs: tuple[str | None, int]) -> list[Sample]:
    return [finished(str(place), vote, tokens) for place, (vote, tokens) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer is \\boxed{1/2}.", "1/2"),
        ("Answer: 0.5", "1/2"),
        ('{"b": 1, "a": [2]}', '{"a":[2],"b":1}'),
        ('{"a": [2],\n "b": 1}', '{"a":[2],"b":1}'),
        ("", None),
        (".", None),
        ("A story.\n\nIt goes on.", None),
    ],
)
def test_one_answer_in_two_spellings_is_one_ballot(text: str, expected: str | None) -> None:
    assert ballots.form(text) == expected


def test_tool_calls_vote_by_name_and_canonical_arguments() -> None:
    def message(arguments: str) -> dict[str, object]:
        return {"tool_calls": [{"function": {"name": "add", "arguments": arguments}}]}

    one, other = message('{"a": 1, "b": 2}'), message('{"b":2,"a":1}')
    assert ballots.form("", one) == ballots.form("", other)
    assert ballots.form("", one) != ballots.form("", message('{"a": 1, "b": 3}'))
    assert ballots.form("", message("not json")) == '[["add","not json"]]'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer is 1", None),
        ("Answer: 12", None),
        ("\\boxed{12", None),
        ("\\boxed 12", None),
        ('{"n": 12, "why": "so', None),
        ("So \\boxed{12}. Let me", "12"),
        ("So \\boxed{12}, that is \\boxed{1", "12"),
        ('{"n": 12}', '{"n":12}'),
    ],
)
def test_what_was_cut_votes_only_by_a_result_that_is_whole(text: str, expected: str | None) -> None:
    assert ballots.form(text, is_cut=True) == expected
    message = {"tool_calls": [{"function": {"name": "add", "arguments": "{}"}}]}
    assert ballots.form(text, message, is_cut=True) is None


def test_nested_brackets_without_end_have_no_crash() -> None:
    assert ballots.form("[" * 200_000) is None
    message = {"tool_calls": [{"function": {"name": "add", "arguments": "[" * 200_000}}]}
    assert ballots.form("", message) is not None


def test_a_tie_goes_to_the_shortest_or_to_the_first() -> None:
    tied = samples(("a", 9), ("b", 5), ("b", 9), ("a", 6), (None, 1))
    assert [b.form for b in ballots.tally(tied)] == ["b", "a"]
    assert [b.form for b in ballots.tally(tied, tie="first")] == ["a", "b"]


def test_of_equally_short_leaders_the_one_asked_for_first_wins() -> None:
    tied = samples(("a", 9), ("b", 5), ("b", 9), ("a", 5))
    assert ballots.tally(tied)[0].form == "b"


def test_the_shortest_of_the_winners_speaks() -> None:
    choice = ballots.elect(samples(("a", 9), ("b", 1), ("a", 7), ("a", 8), ("b", 2)), "why")
    assert choice is not None and choice.id == "2" and choice.votes == {"a": 3.0, "b": 2.0}
    assert choice.margin == pytest.approx(0.2) and not choice.is_degraded


def test_weights_decide_and_the_heaviest_speaks() -> None:
    weight = {"0": 0.1, "1": 0.9, "2": 0.3}
    voters = samples(("b", 5), ("b", 9), ("a", 6))
    choice = ballots.elect(voters, "why", lambda sample: weight[sample.id])
    assert choice is not None and choice.id == "1"
    assert choice.margin == pytest.approx((1.0 - 0.3) / 1.3)
    weightless = ballots.elect(voters, "why", lambda sample: 0.0)
    assert weightless is not None and weightless.margin is None and weightless.id == "0"


def test_weights_that_differ_by_rounding_alone_are_a_tie() -> None:
    weight = {"0": 1 / 9, "1": 5 / 9, "2": 6 / 9}
    tied = samples(("a", 9), ("a", 5), ("b", 7))
    assert ballots.tally(tied, lambda sample: weight[sample.id])[0].form == "a"


def test_without_an_answer_the_shortest_sample_speaks_degraded() -> None:
    choice = ballots.elect(samples((None, 9), (None, 4)), "why")
    assert choice is not None and choice.id == "1" and choice.is_degraded
    assert choice.why == ballots.NO_ANSWER and choice.votes == {} and choice.margin is None
    assert ballots.elect([], "why") is None and ballots.fallback([], "why") is None


def test_a_fallback_says_what_failed_and_who_decided() -> None:
    choice = ballots.fallback(samples(("a", 9), ("b", 4), ("a", 5)), "the judge failed")
    assert choice is not None and choice.id == "2" and choice.is_degraded
    assert choice.why == "the judge failed: a plain majority voted"


def test_an_unknown_tie_rule_is_refused() -> None:
    with pytest.raises(UserError, match="shortest or first"):
        ballots.check_tie("longest")
