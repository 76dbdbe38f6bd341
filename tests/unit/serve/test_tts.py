"""Strategies over HTTP without an engine: the request field, calls on the wire, who runs when."""

import json

import pytest

from s1_core import chat
from s1_serve.config import ServeConfig, ServiceConfig
from s1_serve.contract.api import Dialect, Refusal, read
from s1_serve.contract.tts import Wanted, mentions, wanted
from s1_serve.server.tts.deployment import Deployment
from s1_serve.server.tts.order import House, ordered
from s1_serve.strategies.calibration import SHORT, Calibration
from s1_serve.strategies.calls import Chat
from s1_serve.strategies.catalogue import POLICIES
from s1_serve.strategies.session import Limits
from s1_serve.strategies.verifiers.config import VerifierConfig
from s1_serve.strategies.verifiers.judge import Judge
from s1_serve.strategies.wire.body import (
    Client,
    chat_body,
    conversation,
    foreign,
    question,
    under,
)
from s1_serve.strategies.wire.transcript import Transcript

TALK = [{"role": "user", "content": "How many r in raspberry?"}]
FIELDS = {"model", "messages", "temperature", "n", "stream", "stream_options", "seed", "tools"}
FIELDS |= {"max_tokens", "logprobs", "top_logprobs", "response_format", "stop", "echo"}
FIELDS |= {"frequency_penalty", "repetition_penalty", "logit_bias", "ignore_eos", "user"}
FIELDS |= {"skip_special_tokens", "cache_salt", "tool_choice", "top_k"}


def want(**tts):
    return wanted({"model": "s1", "messages": TALK, "tts": tts}, "s1", POLICIES)


def house(read=None, **verifiers):
    """`read` are fields as the engine reads them."""
    deployment = Deployment(verifiers={"judge": Judge()} | verifiers)
    return House(
        name="s1", known_fields=FIELDS, max_answers=64, most_seats=8, least=20,
        deployment=deployment, engine_reads=lambda body: read or {},
    )  # fmt: skip


def order(tts, at=None, **body):
    whole = {"model": "s1", "messages": TALK, "tts": tts, **body}
    return ordered(json.dumps(whole).encode(), at or house())


def test_a_strategy_is_read_from_the_field_or_from_the_models_name():
    budget = {"total_tokens": 500, "deadline_ms": 9}
    found = want(strategy="majority", n=4, seed=7, concurrency=2, budget=budget, tie=None)
    assert found == Wanted(
        strategy="majority", parameters={"n": 4}, seed=7, concurrency=2, total_tokens=500,
        deadline_ms=9,
    )  # fmt: skip
    body = {"model": "s1:shortest", "messages": TALK}
    assert wanted(body, "s1", POLICIES) == Wanted(strategy="shortest")
    assert wanted(body | {"tts": {"strategy": "shortest", "k": 2}}, "s1", POLICIES).parameters == {
        "k": 2
    }
    for plain in ({"model": "s1"}, {"model": "s1", "tts": None}, {"model": "x:majority"}, {}):
        assert wanted(plain, "s1", POLICIES) is None


@pytest.mark.parametrize(
    ("tts", "field", "said"),
    [
        ("majority", "tts", "give an object"),
        ({}, "tts.strategy", "give one of auto, majority"),
        ({"strategy": 5}, "tts.strategy", "give a name"),
        ({"strategy": "majority", "seed": -1}, "tts.seed", "whole number"),
        ({"strategy": "majority", "concurrency": 0}, "tts.concurrency", "from 1 to"),
        ({"strategy": "majority", "concurrency": 2.5}, "tts.concurrency", "from 1 to"),
        ({"strategy": "majority", "budget": 5}, "tts.budget", "give an object"),
        ({"strategy": "majority", "budget": {"cost": 1}}, "tts.budget.cost", "deadline_ms"),
        ({"strategy": "majority", "budget": {"deadline_ms": 0}}, "tts.budget.deadline_ms", "1 to"),
        ({"strategy": "majority", "budget": {"deadline_ms": -5}}, "tts.budget.deadline_ms", "1 to"),
        ({"strategy": "majority", "budget": {"total_tokens": True}}, "tts.budget.total_tokens", ""),
        ({"strategy": "majority", "budget": {"total_tokens": 19}}, "tts.budget.total_tokens", "20"),
        ({"strategy": "majority", "return_candidates": 1}, "tts.return_candidates", "true"),
        ({"strategy": "majority", "reference": " "}, "tts.reference", "the right answer"),
        ({"strategy": "majority", "n": 0}, "tts.n", "from 1 to 1024"),
        ({"strategy": "majority", "n": 10_000}, "tts.n", "from 1 to 1024"),
        ({"strategy": "majority", "n": "8"}, "tts.n", "a whole number"),
        ({"strategy": "majority", "n": True}, "tts.n", "is true"),
        ({"strategy": "majority", "n": "9" * 100_000}, "tts.n", "...: give a whole number"),
        ({"strategy": "majority", "tie": "t" * 100_000}, "tts.tie", "give shortest or"),
        ({"strategy": "majority", "m": 8}, "tts.m", "give some of clusters, n, tie"),
        ({"strategy": "majority", "y" * 100_000: 8}, "tts.", "give some of clusters, n, tie"),
        ({"strategy": "majorty"}, "tts.strategy", "did you mean majority?"),
        ({"strategy": "x" * 100_000}, "tts.strategy", "give one of auto"),
        ({"strategy": ""}, "tts.strategy", "strategy '' is unknown"),
        ({"strategy": "majority", "reference": "3"}, "tts.reference", "takes no verifier"),
        ({"strategy": "best-of-n", "verifier": "judge", "reference": "3"}, "tts.reference",
         "name exact"),
        ({"strategy": "best-of-n", "verifier": "v" * 100_000}, "tts.verifier", "give one of judge"),
        ({"strategy": "best-of-n", "verifier": "prm"}, "tts.verifier", "give one of judge"),
        ({"strategy": "cascade"}, "tts", "needs another model"),
        ({"strategy": "shortest", "k": 9, "n": 4}, "tts.k", ""),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line_that_names_it(tts, field, said):
    with pytest.raises(Refusal) as caught:
        order(tts)
    assert caught.value.field == field or field == "tts." == caught.value.field[:4]
    assert said in caught.value.message and caught.value.message.isprintable()
    assert len(caught.value.message) < 700 and len(caught.value.field) < 100


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"echo": True}, "echo"),
        ({"prompt_logprobs": 0}, "prompt_logprobs"),
        ({"prompt_logprobs": False}, "prompt_logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({"continue_final_message": True}, "continue_final_message"),
        ({"add_generation_prompt": False}, "add_generation_prompt"),
        ({"model": "s1:shortest"}, "tts.strategy"),
        ({"model": "s1:votes"}, "model"),
        ({"thinking_token_budget": -7}, "thinking_token_budget"),
        ({"logprobs": True, "include_reasoning": False}, "logprobs"),
        ({"messages": []}, "messages"),
        ({"min_thinking_tokens": 40, "tts": {"strategy": "majority", "budget": {
            "total_tokens": 30}}}, "tts.budget.total_tokens"),
    ],
)  # fmt: skip
def test_what_no_strategy_honours_is_refused(body, field):
    with pytest.raises(Refusal) as caught:
        order(**{"tts": {"strategy": "majority"}} | body)
    assert caught.value.field == field


def test_a_request_is_what_the_engine_reads_in_it():
    at = house({"seed": 3, "stream": False, "max_tokens": 100})
    found = order({"strategy": "majority", "budget": {"total_tokens": 500}}, at, seed="3",
                  stream="false", max_tokens="100")  # fmt: skip
    assert (found.client.seed, found.client.max_tokens) == (3, 100)
    assert found.body["stream"] is False and found.body["messages"] == TALK


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tools", [{"type": "function"}]),
        ("response_format", {"type": "json_object"}),
        ("logprobs", True),
        ("stop", "x"),
        ("frequency_penalty", 1.0),
        ("repetition_penalty", 1.5),
        ("logit_bias", {"5": 3}),
        ("ignore_eos", True),
        ("skip_special_tokens", False),
        ("cache_salt", "abc"),
        ("tool_choice", "auto"),
    ],
)
def test_a_search_over_steps_refuses_all_that_steps_do_not_honour(key, value):
    at = house(process=VerifierConfig(kind="process").verifier())
    with pytest.raises(Refusal, match="beam searches over steps") as caught:
        order({"strategy": "beam"}, at, **{key: value})
    assert caught.value.field == key


def test_a_search_over_steps_lets_pass_what_asks_for_nothing():
    at = house(process=VerifierConfig(kind="process").verifier())
    idle = {"response_format": {"type": "text"}, "frequency_penalty": 0, "repetition_penalty": 1.0,
            "logit_bias": {}, "stop": [], "tools": None, "tool_choice": "none", "logprobs": False,
            "skip_special_tokens": True, "ignore_eos": False, "n": 1}  # fmt: skip
    honoured = {"temperature": 0.5, "top_k": 4, "seed": 3, "user": "me", "stream": True, "extra": 1}
    assert order({"strategy": "beam"}, at, **idle, **honoured).client.seed == 3


def test_requests_that_mention_no_strategy_are_not_even_parsed():
    assert not mentions(json.dumps({"model": "s1", "messages": TALK}).encode(), "s1")
    assert mentions(b'{"tts": 1}', "s1") and mentions(b'{"model":"s1:majority"}', "s1")
    talk = [{"role": "user", "content": 'what is "tts"?'}]
    body = json.dumps({"model": "s1", "messages": talk, "x": {"tts": 1}}).encode()
    assert mentions(body, "s1") and ordered(body, house()) is None
    for broken in (b'{"tts"', b'["tts"]', b'"tts"', b"[" * 100_000 + b'"tts"'):
        assert ordered(broken, house()) is None


@pytest.mark.parametrize("dialect", Dialect)
def test_the_contract_itself_says_where_strategies_are(dialect):
    least = {"prompt": "a", "input": "a", "messages": TALK, "max_tokens": 5, "tts": {}}
    with pytest.raises(Refusal, match="strategies are asked for at /v1/chat/completions"):
        read(dialect, least, {"prompt", "input", "messages", "max_tokens"}, 1)


def test_what_runs_strategies_has_an_identity_without_secrets(tmp_path):
    """Changed in anything that shapes their answers it is another, and nobody reads it there."""

    def told(**changes):
        config = ServiceConfig(**changes)
        return Deployment.of(config, chat.FORMATS["s1"]).told(config)

    file = tmp_path / "calibration.json"
    file.write_text(Calibration(family=SHORT, mean_tokens=9.0).to_json())
    urls = {"a": "http://me:secret@host-a", "b": "http://host-b"}
    cards = [
        told(),
        told(verifiers=[VerifierConfig(kind="judge", temperature=0.1)]),
        told(verifiers=[VerifierConfig(kind="reward", url="http://host-r")]),
        told(models=urls),
        told(models=urls | {"a": "http://host-c"}),
        told(models=dict(reversed(urls.items()))),
        told(calibration=str(tmp_path)),
        told(strategy_slots=3),
        told(serve=ServeConfig(answer_reserve=9)),
    ]
    assert len({card["identity"] for card in cards}) == len(cards)
    assert told(port=9, request_timeout_s=70) == cards[0] | {"timeout_s": 70}
    assert "majority" in cards[0]["strategies"] and len(cards[0]["identity"]) == 64
    assert not any(word in json.dumps(cards) for word in ("host", "secret"))


def test_defaults_are_told_and_limits_kept():
    found = order({"strategy": "majority", "concurrency": 100})
    assert found.parameters == {"n": 8, "tie": "shortest", "clusters": False}
    assert found.limits == Limits(concurrency=8, total_tokens=None, least=20)
    assert order({"strategy": "majority"}, model="s1:majority").model == "s1"
    assert order({"strategy": "majority"}, model="other").model == "other"


# The body of a call.


def client(**body):
    fields = {"model": "s1:majority", "messages": TALK, **body}
    known = FIELDS | {"top_p", "user"}
    return Client.of(read(Dialect.CHAT, fields, known, 64), least=20)


SENT = {
    "model": "s1", "n": 1, "stream": True, "stream_options": {"include_usage": True},
    "return_token_ids": True,
}  # fmt: skip


def test_a_call_is_the_clients_request_with_a_seed_of_its_own():
    tools = [{"type": "function", "function": {"name": "f"}}]
    given = client(
        thinking_budget=50, min_thinking_tokens=9, num_extends=1, extend_with=["So", "Wait"],
        include_reasoning=False, seed=5, temperature=0.7, tools=tools, stop=["x"], stream=True,
        max_completion_tokens=300, n=1, stream_options={"include_usage": False},
    )  # fmt: skip
    assert chat_body(Chat(id="3", index=3), given, "s1", None) == SENT | {
        "messages": TALK, "temperature": 0.7, "tools": tools, "stop": ["x"], "max_tokens": 300,
        "seed": 8, "thinking_token_budget": 50, "min_thinking_tokens": 9, "num_extends": 1,
        "extend_with": ["So", "Wait"],
    }  # fmt: skip


def test_a_call_of_a_request_without_a_budget_has_none_and_an_effort_stays_one():
    assert chat_body(Chat(id="0"), client(), "s1", None) == SENT | {"messages": TALK}
    body = chat_body(Chat(id="0"), client(reasoning={"effort": "low"}), "s1", None)
    assert body == SENT | {"messages": TALK, "reasoning_effort": "low"}


def test_overrides_win_and_the_larger_wish_for_logprobs():
    call = Chat(id="0", overrides={"temperature": 0.1, "thinking_token_budget": 7}, top_logprobs=20)
    body = chat_body(call, client(temperature=1, logprobs=True, top_logprobs=2), "s1", None)
    assert body["temperature"] == 0.1 and body["thinking_token_budget"] == 7
    assert body["logprobs"] is True and body["top_logprobs"] == 20
    body = chat_body(Chat(id="0"), client(logprobs=True), "s1", None)
    assert body["logprobs"] is True and body["top_logprobs"] == 0


def test_seeds_wrap_where_they_end():
    last = client(seed=2**63 - 1)
    assert chat_body(Chat(id="1", index=1), last, "s1", None)["seed"] == -(2**63)
    assert chat_body(Chat(id="1", index=1, is_verifier=True), last, "s1", None)["seed"] < 0


def test_a_share_of_the_tokens_shortens_thinking_and_not_the_answer():
    given = client(thinking_token_budget=500, min_thinking_tokens=90, max_tokens=800)
    own = Chat(id="0", overrides={"thinking_token_budget": 9})
    assert "reasoning_effort" not in chat_body(own, client(reasoning={"effort": "low"}), "s1", None)
    body = chat_body(Chat(id="0"), given, "s1", 120)
    assert (body["max_tokens"], body["thinking_token_budget"], body["min_thinking_tokens"]) == (
        120, 100, 90,
    )  # fmt: skip
    assert chat_body(Chat(id="0"), given, "s1", 5000)["max_tokens"] == 800
    assert "thinking_token_budget" not in chat_body(Chat(id="0"), client(), "s1", 120)


def test_a_verifier_gets_what_was_said_and_nothing_else_of_the_client():
    given = client(
        temperature=0.7, tools=[{}], stop=["x"], seed=5, thinking_token_budget=9, max_tokens=700,
        response_format={"type": "json_object"},
        messages=[{"role": "system", "content": "Be brief."}, *TALK],
    )  # fmt: skip
    call = Chat(id="0/v1", index=1, under="\n\nIs it right?", is_verifier=True)
    assert chat_body(call, given, "judge-model", None) == SENT | {
        "model": "judge-model", "temperature": 0.7, "seed": 6, "max_tokens": 532,
        "messages": [{"role": "user", "content": (
            "[system]\nBe brief.\n\n[user]\nHow many r in raspberry?\n\nIs it right?"
        )}],
    }  # fmt: skip
    alone = chat_body(call, client(seed=5), "s1", None)
    assert alone["messages"][0]["content"] == "How many r in raspberry?\n\nIs it right?"
    call = Chat(id="0/v1", under="?", is_verifier=True, overrides={"thinking_token_budget": 0})
    assert "max_tokens" not in chat_body(call, given, "s1", None)


def test_text_goes_under_the_last_thing_the_user_said():
    system, said = {"role": "system", "content": "S"}, {"role": "assistant", "content": "A"}
    assert under([system, *TALK], "") == [system, *TALK]
    assert under([system, *TALK], "\n\nMore") == [
        system, {"role": "user", "content": "How many r in raspberry?\n\nMore"}
    ]  # fmt: skip
    assert under([*TALK, said], "More") == [*TALK, said, {"role": "user", "content": "More"}]
    parts = [{"type": "text", "text": "a"}]
    found = under([{"role": "user", "content": parts}], "More")
    assert found[0]["content"] == [*parts, {"type": "text", "text": "\n\nMore"}]
    assert parts == [{"type": "text", "text": "a"}]
    assert question([*TALK, said]) == "How many r in raspberry?"
    assert question([{"role": "user", "content": parts}]) == "a" and question([said]) == ""


def test_a_conversation_says_who_said_what():
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    talk = [
        {"role": "user", "content": [{"type": "text", "text": "Add."}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "4", "tool_call_id": "c"},
        {"role": "assistant"},
        {"role": "user", "content": "Now double it."},
    ]
    shown = conversation(talk).split("\n\n")
    assert [part.partition("\n")[0] for part in shown] == [
        "[user]", "[assistant]", "[tool]", "[user]"
    ]  # fmt: skip
    assert '"add"' in shown[1] and shown[3] == "[user]\nNow double it."
    assert conversation(TALK) == conversation([]) == ""


def test_a_foreign_server_gets_only_what_it_knows():
    body = chat_body(Chat(id="0"), client(thinking_token_budget=5, num_extends=2), "m", None)
    assert {"num_extends", "return_token_ids"} <= body.keys()
    assert foreign(body) == {
        "messages": TALK, "model": "m", "n": 1, "stream": True, "thinking_token_budget": 5,
        "stream_options": {"include_usage": True},
    }  # fmt: skip


# A reply as it streams in.


def chunk(ids=(), finish=None, forced=None, logprobs=None, thinking=None, **delta):
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "token_ids": list(ids)}
    choice |= {"forced": True} if forced else {}
    choice |= {"thinking": thinking} if thinking else {}
    choice |= {"logprobs": {"content": logprobs}} if logprobs else {}
    return {"choices": [choice]}


def usage(completion, reasoning=None, cached=0):
    details = {"completion_tokens_details": {"reasoning_tokens": reasoning}} if reasoning else {}
    said = {"prompt_tokens": 9, "completion_tokens": completion, **details}
    return {"choices": [], "usage": said | {"prompt_tokens_details": {"cached_tokens": cached}}}


SUMMARY = {"tokens": 3, "end": "budget", "extends": 1, "max": 3, "min": 0}


def test_a_transcript_counts_by_token_ids_and_ends_with_the_engines_numbers():
    transcript = Transcript()
    for event in (
        chunk(role="assistant", content=""),
        chunk([1, 2], reasoning="So"),
        chunk([3]),
    ):
        transcript.feed(event)
    heard = transcript.heard("0")
    assert (heard.tokens, heard.thinking_tokens, heard.has_thought) == (3, 3, False)
    transcript.feed(chunk([4, 5], content="Answer: "))
    assert transcript.heard("0").has_thought and transcript.heard("0").thinking_tokens == 3
    transcript.feed(chunk([6], content="3", finish="stop", thinking=SUMMARY))
    transcript.feed(usage(7, cached=4))
    result = transcript.result()
    assert (result.tokens, result.thinking_tokens, result.prompt_tokens) == (7, 3, 9)
    assert (result.thinking, result.answer, result.vote) == ("So", "Answer: 3", "3")
    assert (result.end, result.extends, result.finish_reason) == ("budget", 1, "stop")
    assert result.token_ids == (1, 2, 3, 4, 5, 6) and result.cached_tokens == 4
    assert result.choice["thinking"] == SUMMARY and result.choice["message"] == result.message


def test_a_transcript_of_another_server_counts_pieces_until_it_is_told():
    transcript = Transcript()
    for delta in ({"reasoning_content": "a"}, {"reasoning_content": "b"}, {"content": "5"}):
        transcript.feed({"choices": [{"delta": delta, "finish_reason": None}]})
    assert (transcript.tokens, transcript.thinking_tokens) == (3, 2)
    assert not transcript.is_complete
    transcript.feed({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    assert transcript.is_complete and transcript.result().tokens == 3
    transcript.feed(usage(40, reasoning=30))
    assert (transcript.result().tokens, transcript.result().thinking_tokens) == (40, 30)


def test_tool_calls_come_in_pieces_and_vote():
    transcript = Transcript()
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    transcript.feed(chunk([1], tool_calls=[first]))
    for text in ('{"b": 1, ', '"a": 2}'):
        transcript.feed(chunk([2], tool_calls=[{"index": 0, "function": {"arguments": text}}]))
    transcript.feed(chunk([3], finish="tool_calls"))
    result = transcript.result()
    assert result.message["content"] is None and result.finish_reason == "tool_calls"
    (call,) = result.message["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": '{"b": 1, "a": 2}'}
    assert result.vote == '[["f",{"a":2,"b":1}]]'


def test_logprobs_give_a_mean_without_what_was_forced_and_confidences_once():
    def entry(logprob, *top):
        return {"token": "a", "logprob": logprob, "top_logprobs": [{"logprob": t} for t in top]}

    transcript = Transcript()
    transcript.feed(chunk([1], logprobs=[entry(-1.0, -1.0, -3.0)], reasoning="a"))
    transcript.feed(chunk([2], logprobs=[entry(-50.0, -1.0)], reasoning="Wait", forced=True))
    transcript.feed(chunk([3], logprobs=[entry(-50.0)]))  # of a delimiter
    assert transcript.heard("0").confidences == (2.0, 1.0)
    assert transcript.heard("0").confidences == ()
    transcript.feed(chunk([4], logprobs=[entry(-3.0)], content="3", finish="stop"))
    assert transcript.result().mean_logprob == -2.0
    assert transcript.pieces == [("a", False), ("Wait", True)]
    assert Transcript().result().mean_logprob is None
