"""The driver over HTTP, its posters and seats, and how an answer leaves, on scripted servers."""

import asyncio
import json
import time
import traceback
from collections import Counter
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from s1_core.errors import UserError
from s1_serve.config import ThinkingBudget
from s1_serve.contract.tts_reply import TtsReply
from s1_serve.server.access import Access, Gate
from s1_serve.server.tts import delivery as delivery_module
from s1_serve.server.tts.delivery import Delivery
from s1_serve.server.tts.seats import Seats
from s1_serve.strategies import http_driver
from s1_serve.strategies.calls import Chat
from s1_serve.strategies.http_driver import LEFT, Ask, HttpDriver, Route
from s1_serve.strategies.known import Failed, Finished, Known, Result
from s1_serve.strategies.parallel.majority import Majority
from s1_serve.strategies.parallel.shortest import Shortest
from s1_serve.strategies.policy import Decision
from s1_serve.strategies.rounds import awaited
from s1_serve.strategies.session import BROKEN, OUT_OF_TIME, Limits, Session
from s1_serve.strategies.verified.best_of_n import BestOfN
from s1_serve.strategies.verifiers.reward import RewardModel
from s1_serve.strategies.wire.asgi import AsgiPoster
from s1_serve.strategies.wire.body import Client
from s1_serve.strategies.wire.poster import Refused, Target

TALK = [{"role": "user", "content": "How many r in raspberry?"}]
TICK_S = 0.001


@dataclass
class Server:
    """A chat server: a request with seed s thinks `lengths[s]` tokens, then says `answers[s]`."""

    lengths: list[int]
    answers: list[str]
    faults: list[Refused] = field(default_factory=list)
    """Raised first, one a request."""
    breaks: set[int] = field(default_factory=set)
    """Seeds whose streams end early."""
    running: int = 0
    most: int = 0
    bodies: list[dict] = field(default_factory=list)

    async def target(self, model):
        return Target(model or "m", is_ours=True)

    async def post(self, path, body):
        raise AssertionError(path)

    async def events(self, path, body):
        self.bodies.append(body)
        if self.faults:
            raise self.faults.pop(0)
        seed, self.running = body["seed"], self.running + 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(TICK_S)
            yield _chunk([], role="assistant", content="")
            for _ in range(self.lengths[seed]):
                await asyncio.sleep(TICK_S)
                yield _chunk([7], reasoning="t")
            if seed in self.breaks:
                return
            await asyncio.sleep(TICK_S)
            summary = {"tokens": self.lengths[seed], "end": "natural", "extends": 0}
            text = f"Answer: {self.answers[seed]}"
            yield _chunk([8, 9], content=text, finish="stop", thinking=summary)
            done = {"prompt_tokens": 5, "completion_tokens": self.lengths[seed] + 2}
            yield {"choices": [], "usage": done}
        finally:
            self.running -= 1


def _chunk(ids, finish=None, thinking=None, **delta):
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "token_ids": ids}
    return {"choices": [choice | ({"thinking": thinking} if thinking else {})]}


def driver(server, policy, *, within_s=None, limits=None, scorers=None, seat=None):
    """Make a driver within a running loop."""
    client = Client(fields={"messages": TALK}, budget=ThinkingBudget(), seed=0, question="How?")
    session = Session(policy, limits or Limits(), Known(question="How?"))
    now = asyncio.get_running_loop().time()
    route = Route(poster=server, model="m", **({"seat": seat} if seat else {}))
    ask = Ask(
        client=client, routes={None: route}, scorers=scorers or {},
        deadline=None if within_s is None else now + within_s,
    )  # fmt: skip
    return HttpDriver(session, ask)


def ran(server, policy, **options):
    """Run a policy to its end; give its driver."""

    async def run():
        made = driver(server, policy, **options)
        await made.run()
        assert server.running == 0
        return made

    return asyncio.run(run())


def test_all_samples_are_asked_and_their_answers_vote():
    server = Server([5, 3, 9, 4], ["3", "4", "3", "2"])
    session = ran(server, Majority(n=4), limits=Limits(concurrency=2)).session
    assert session.outcome.choice.id == "0" and session.outcome.choice.votes["3"] == 2
    assert server.most == 2 and [body["seed"] for body in server.bodies] == [0, 1, 2, 3]
    assert session.tokens.total == 5 + 3 + 9 + 4 + 8
    assert session.counts() == {"started": 4, "finished": 4, "aborted": 0, "failed": 0}


def test_what_is_not_needed_is_stopped_and_what_it_cost_is_counted():
    server = Server([400, 5, 400], ["1", "2", "1"])
    session = ran(server, Shortest(n=3, k=1)).session
    assert session.outcome.choice.id == "1" and session.counts()["aborted"] == 2
    assert 2 <= session.tokens.aborted < 100
    assert session.tokens.total == session.tokens.aborted + 7
    stopped = [sample for sample in session.known if sample.state == "aborted"]
    assert all(sample.thinking_tokens == sample.tokens > 0 for sample in stopped)


def test_at_the_deadline_the_best_so_far_answers():
    server = Server([5, 4000, 4000], ["1", "2", "3"])
    session = ran(server, Majority(n=3), within_s=0.3).session
    assert session.outcome.stopped == OUT_OF_TIME and session.outcome.is_degraded
    assert session.outcome.choice.id == "0"
    nothing = ran(Server([4000] * 2, ["1"] * 2), Majority(n=2), within_s=0.05).session
    assert nothing.outcome.choice is None and nothing.tokens.total > 0


def test_a_busy_server_is_asked_again_and_a_failing_sample_fails_alone():
    busy = [Refused(429, "full"), Refused(503, "full"), Refused(500, "broken")]
    server = Server([5, 3, 9, 4], ["3", "4", "3", "3"], faults=busy, breaks={3})
    session = ran(server, Majority(n=4), limits=Limits(concurrency=1)).session
    states = {sample.id: sample.state for sample in session.known}
    assert states == {"0": "failed", "1": "finished", "2": "finished", "3": "failed"}
    assert "broken" in session.known["0"].failure and "broke off" in session.known["3"].failure
    assert session.known["3"].tokens == 4 and session.outcome.choice is not None


def test_a_refusal_of_the_first_call_is_the_requests():
    server = Server([5] * 3, ["1"] * 3, faults=[Refused(400, "no room", "max_tokens")] * 3)
    made = ran(server, Majority(n=3))
    assert (made.refusal.status, made.refusal.param) == (400, "max_tokens")
    assert made.session.outcome.choice is None and made.begun.is_set()
    late = Server([5, 5], ["1", "2"])
    late.faults = []

    async def second_fails(path, body, first=late.events):
        if body["seed"] == 1:
            raise Refused(400, "too long by now")
        async with aclosing(first(path, body)) as events:
            async for event in events:
                yield event

    late.events = second_fails
    made = ran(late, Majority(n=2), limits=Limits(concurrency=1))
    assert made.refusal is None and made.session.outcome.choice.id == "0"
    assert made.session.outcome.is_degraded


@pytest.mark.parametrize("scores", [[0.2, 0.9], [float("nan")], [], None, [5.0]])
def test_reward_calls_go_to_their_scorer(scores):
    asked = []

    async def scorer(question, thinking):
        asked.append((question, thinking))
        if scores is None:
            raise UserError("the reward model is dead")
        return [share * len(thinking) / 9 for share in scores]

    policy = BestOfN(n=2, verifier=RewardModel(name="prm"))
    server = Server([4, 9], ["1", "2"])
    session = ran(server, policy, scorers={"prm": scorer}).session
    assert sorted(asked) == [("How?", "tttt"), ("How?", "ttttttttt")]
    is_good = scores == [0.2, 0.9]
    assert session.outcome.is_degraded != is_good
    assert not is_good or session.outcome.choice.id == "1"
    assert session.tokens.verifier == 0


def test_a_cancelled_run_stops_everything_and_starts_nothing():
    async def run():
        server = Server([4000] * 8, ["1"] * 8)
        made = driver(server, Majority(n=8), limits=Limits(concurrency=4))
        task = asyncio.create_task(made.run())
        await made.begun.wait()
        await asyncio.sleep(0.03)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return server, made.session

    server, session = asyncio.run(run())
    assert server.running == 0 and len(server.bodies) == 4
    assert session.outcome.stopped == LEFT and session.tokens.aborted >= 4


# Posters.


def test_an_application_is_posted_to_and_left_as_by_a_client():
    ended = []

    async def app(scope, receive, send):
        body = json.loads((await receive())["body"])
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": body["status"], "headers": kind})
        if body["status"] != 200:
            said = b'{"error": {"message": "no\\nway", "param": "n"}}'
            await send({"type": "http.response.body", "body": said})
            return
        for piece in (b'data: {"a"', b": 1}\n\nda", b'ta: {"a": 2}\n\n: hm\n\n'):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        ended.append(scope["path"])

    async def run():
        poster = AsgiPoster(app)
        async with aclosing(poster.events("/x", {"status": 200})) as events:
            assert [await anext(events), await anext(events)] == [{"a": 1}, {"a": 2}]
        with pytest.raises(Refused) as caught:
            await poster.post("/x", {"status": 404})
        async with aclosing(poster.events("/x", {"status": 503})) as events:
            with pytest.raises(Refused) as busy:
                await anext(events)
        return caught.value, busy.value

    refused, busy = asyncio.run(run())
    assert ended == ["/x"] and busy.is_busy and not busy.is_ours
    assert (refused.status, refused.said, refused.param) == (404, "no way", "n")
    assert refused.is_ours


NONSENSE = [b"nothing", b'data: {"a"\n\n', b'data: {"error": {"message": 1}}\n']


@pytest.mark.parametrize("body", NONSENSE)
def test_an_application_that_fails_is_refused(body):
    async def app(scope, receive, send):
        if body == b"nothing":
            raise RuntimeError("broken")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def run():
        async with aclosing(AsgiPoster(app).events("/x", {})) as events:
            return [event async for event in events]

    with pytest.raises(Refused):
        asyncio.run(run())


# Seats.


def test_seats_are_shared_fairly_and_given_back():
    async def run():
        seats, order = Seats(3, 2), []

        async def call(seat, name, ticks):
            async with seat():
                order.append(name)
                for _ in range(ticks):
                    await asyncio.sleep(0)

        async with seats.party() as many, seats.party() as few:
            assert seats.is_full
            calls = [asyncio.create_task(call(many, "many", 5)) for _ in range(9)]
            await asyncio.sleep(0)
            waiting = asyncio.create_task(call(many, "never", 1))
            calls += [asyncio.create_task(call(few, "few", 5)) for _ in range(2)]
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(*calls)
        assert not seats.is_full and seats.num_parties == 0
        return order

    order = asyncio.run(run())
    assert order[:3] == ["many"] * 3 and "never" not in order
    assert "few" in order[3:5] and order.count("many") == 9 and order.count("few") == 2


def test_a_seat_that_was_handed_out_and_not_taken_goes_on():
    async def run():
        seats = Seats(1, 9)
        async with seats.party() as one, seats.party() as other:
            async with one():
                late = asyncio.create_task(_sit(other))
                await asyncio.sleep(0)
            late.cancel()  # it has the seat by now and does not know it yet
            await asyncio.gather(late, return_exceptions=True)
            return late.cancelled(), await asyncio.wait_for(_sit(one), 1)

    async def _sit(seat):
        async with seat():
            return "sat"

    assert asyncio.run(run()) == (True, "sat")


# How an answer leaves.


def delivered(server, policy, *, leaves_after_s=None, body=None, **options):
    """Deliver an answer; give the delivery, its status and its body."""
    sent = []

    async def run():
        made = driver(server, policy, **options)
        reply = TtsReply(
            session=made.session, strategy=policy.name, parameters={"n": policy.n},
            body=body or {},
            returns_candidates=True, head={"id": "x", "model": "m", "created": 1}, mirrors=True,
        )  # fmt: skip

        async def receive():
            await asyncio.sleep(3600 if leaves_after_s is None else leaves_after_s)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        delivery = Delivery(driver=made, reply=reply, send=send)
        await delivery.deliver(receive)
        assert server.running == 0
        return delivery

    delivery = asyncio.run(run())
    said = b"".join(message.get("body", b"") for message in sent[1:])
    return delivery, sent[0]["status"] if sent else None, said


def test_a_whole_answer_is_a_chat_completion_with_all_tokens_and_how_it_came_about():
    _, status, body = delivered(Server([5, 3, 4], ["3", "4", "3"]), Majority(n=3))
    said = json.loads(body)
    assert status == 200 and said["object"] == "chat.completion"
    (choice,) = said["choices"]
    assert choice["message"] == {
        "role": "assistant", "content": "Answer: 3", "reasoning": "tttt",
        "reasoning_content": "tttt",
    }  # fmt: skip
    assert choice["thinking"]["tokens"] == 4 and choice["finish_reason"] == "stop"
    assert "token_ids" not in choice and choice["logprobs"] is None
    assert said["usage"] == {
        "prompt_tokens": 5, "completion_tokens": 18, "total_tokens": 23,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 12},
    }  # fmt: skip
    tts = said["tts"]
    assert tts["tokens"] == {"total": 18, "sequential": 7, "aborted": 0, "verifier": 0}
    assert tts["votes"] == {"3": 2.0, "4": 1.0} and tts["selected"] == "2"
    assert [c["vote"] for c in tts["candidates"]] == ["3", "4", "3"]


def test_a_stream_tells_progress_then_gives_the_winner():
    options = {"stream": True, "stream_options": {"include_usage": True}}
    server = Server([600, 250, 260], ["3", "4", "3"])
    _, status, body = delivered(server, Majority(n=3), body=options)
    assert status == 200 and body.endswith(b"data: [DONE]\n\n")
    lines = [line for line in body.decode().split("\n\n") if line.startswith("data: {")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    progress = [e["tts"] for e in events if not e["choices"] and "tts" in e]
    assert len(progress) > 3 and all(e["object"] == "chat.completion.chunk" for e in events)
    thinking = {}
    for each in progress:
        thinking[each["best"]] = thinking.get(each["best"], "") + each["thinking"]
    finished = [each["progress"]["finished"] for each in progress]
    assert finished == sorted(finished) and thinking["1"] == "t" * 250
    choices = [choice for event in events for choice in event["choices"]]
    deltas = [choice["delta"] for choice in choices]
    assert [d.get("reasoning") for d in deltas if "reasoning" in d] == ["t" * 260]
    assert "".join(d.get("content") or "" for d in deltas) == "Answer: 3"
    assert [c["finish_reason"] for c in choices] == [None] * (len(choices) - 1) + ["stop"]
    last = next(e for e in events if e["choices"] and e["choices"][0]["finish_reason"])
    assert last["tts"]["selected"] == "2" and events[-1]["usage"]["completion_tokens"] == 1116


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_a_status_in_streams_too(stream):
    server = Server([5] * 2, ["1"] * 2, faults=[Refused(400, "no room", "max_tokens")] * 2)
    delivery, status, body = delivered(server, Majority(n=2), body={"stream": stream})
    assert status == delivery.status == 400
    assert json.loads(body)["error"]["param"] == "max_tokens"


@pytest.mark.parametrize(("stream", "within_s"), [(False, 0.2), (True, 0.2), (True, 0.0)])
def test_nothing_by_the_deadline_is_a_timeout(stream, within_s):
    server = Server([4000] * 2, ["1"] * 2)
    body = {"stream": stream}
    _, status, body = delivered(server, Majority(n=2), within_s=within_s, body=body)
    is_late = stream and within_s > 0.1  # by then the stream had begun
    assert status == (200 if is_late else 504)
    said = body.split(b"data: ")[-2].strip() if is_late else body
    error = json.loads(said)["error"]
    assert error["code"] == 504 and error["type"] == "strategy_error"


def test_samples_that_all_fail_are_a_bad_gateway():
    server = Server([5] * 2, ["1"] * 2, breaks={0, 1})
    _, status, body = delivered(server, Majority(n=2))
    said = json.loads(body)
    assert status == 502 and "broke off" in said["error"]["message"]
    assert said["error"]["type"] == "strategy_error", "its own doing: asked again it does the same"
    assert said["tts"]["failed"] == 2 and said["tts"]["tokens"]["total"] == 10


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_no_end_of_a_strategy(status, monkeypatch):
    monkeypatch.setattr(http_driver, "_BUSY_S", (0.0,))
    server = Server([5] * 2, ["1"] * 2, faults=[Refused(status, "not now")] * 4)
    _, found, body = delivered(server, Majority(n=2))
    said = json.loads(body)
    assert found == 502 and said["error"]["type"] == "api_error" and "tts" not in said


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_everything(stream):
    server, started = Server([100_000] * 4, ["1"] * 4), time.monotonic()
    body = {"stream": stream}
    delivery, _, _ = delivered(server, Majority(n=4), leaves_after_s=0.1, body=body)
    assert time.monotonic() - started < 5
    assert delivery.driver.session.outcome.stopped == LEFT
    assert delivery.driver.session.counts()["aborted"] == 4


@dataclass
class Buggy(Server):
    """A server whose answer to the request with seed 1 is a bug of ours."""

    async def events(self, path, body):
        async with aclosing(super().events(path, body)) as events:
            async for event in events:
                if body["seed"] == 1 and "usage" in event:
                    raise TypeError("a bug")
                yield event


@pytest.mark.parametrize("stream", [False, True])
def test_a_bug_is_a_500_that_is_told_once_and_nobody_has_left(stream, caplog):
    server = Buggy([4000, 3, 4000, 1], ["1"] * 4)
    limits, body = Limits(concurrency=3), {"stream": stream}
    delivery, status, said = delivered(server, Majority(n=4), limits=limits, body=body)
    assert status == (200 if stream else 500) and len(server.bodies) == 3
    error = json.loads(said.split(b"data: ")[-2] if stream else said)["error"]
    assert (error["message"], error["type"], error["code"]) == (BROKEN, "api_error", 500)
    assert delivery.driver.session.outcome.stopped == BROKEN
    (record,) = caplog.records
    assert "TypeError: a bug" in "".join(traceback.format_exception(record.exc_info[1]))


def test_samples_that_failed_are_counted_and_named():
    server = Server([5] * 6, ["1"] * 6, breaks={1, 2, 4, 5})
    tts = json.loads(delivered(server, Majority(n=6))[2])["tts"]
    counts = {"started": 6, "finished": 2, "aborted": 0, "failed": 4}
    assert tts.items() >= counts.items() and tts["degraded"]
    assert tts["stopped"] == "2 samples voted"
    assert ["broke off" in (card["failure"] or "") for card in tts["candidates"]] == [
        False, True, True, False, True, True,
    ]  # fmt: skip


def test_only_samples_that_were_started_are_listed():
    limits = Limits(concurrency=1)
    body = delivered(Server([5, 1, 1], ["1"] * 3), Shortest(n=3, k=1), limits=limits)[2]
    tts = json.loads(body)["tts"]
    assert [card["id"] for card in tts["candidates"]] == ["0"] and tts["started"] == 1


def waits(until):
    """Make a seat that is free once `until` is set."""

    @asynccontextmanager
    async def seat():
        await until.wait()
        yield

    return seat


@pytest.mark.parametrize("faults", [[], [Refused(400, "no room", "max_tokens")] * 2])
def test_a_stream_that_waits_long_for_a_seat_begins_and_tells_a_refusal_as_an_event(
    faults, monkeypatch
):
    monkeypatch.setattr(delivery_module, "KEEPALIVE_S", 0.05)
    sent = []

    async def run():
        free = asyncio.Event()
        made = driver(Server([5] * 2, ["1"] * 2, faults=faults), Majority(n=2), seat=waits(free))
        reply = TtsReply(
            session=made.session, strategy="majority", parameters={}, body={"stream": True}
        )

        async def send(message):
            sent.append(message)

        answer = asyncio.create_task(
            Delivery(driver=made, reply=reply, send=send).deliver(asyncio.Event().wait)
        )
        await asyncio.sleep(0.2)
        early = list(sent)
        free.set()
        await answer
        return early

    start, comment, *rest = asyncio.run(run())
    assert start["status"] == 200 and comment["body"].startswith(b": ") and rest
    *_, last, done = [message["body"] for message in sent if "body" in message]
    assert done == b"data: [DONE]\n\n"
    if faults:
        error = json.loads(last.removeprefix(b"data: "))["error"]
        assert (error["code"], error["param"]) == (400, "max_tokens")
        assert error["type"] == "invalid_request_error"
    else:
        assert b'"selected":' in last


def test_a_whole_answer_waits_for_its_seat_however_long(monkeypatch):
    monkeypatch.setattr(delivery_module, "KEEPALIVE_S", 0.0)
    server = Server([5] * 2, ["1"] * 2, faults=[Refused(400, "no room")] * 2)
    assert delivered(server, Majority(n=2))[1] == 400


# What a reply says of a run.


@dataclass(frozen=True, kw_only=True)
class Asks(Majority):
    """Lets the answers of given calls vote."""

    calls: tuple[Chat, ...]

    def decide(self, known):
        return awaited(known, self.calls) or Decision(answer=self.best(known))


def replied(results, *, under=None, **fields):
    """Write the reply of calls that came to `results`, None where they failed; `under` by call."""
    texts = under or [""] * len(results)
    calls = tuple(Chat(id=str(index), under=text) for index, text in enumerate(texts))
    session = Session(Asks(calls=calls), Limits(), Known())
    session.begin()
    for call, result in zip(calls, results, strict=True):
        lost = Failed(call.id, "broken")
        session.hear(lost if result is None else Finished(call.id, result))
    return TtsReply(session=session, strategy="asks", parameters={}, **{"body": {}} | fields)


def test_the_prompt_of_usage_is_the_clients_own():
    own, longer = Result(prompt_tokens=25, cached_tokens=9), Result(prompt_tokens=245)
    for results, under, tokens in (
        ([None, own, longer], ["", "", "More"], 25),
        ([longer, own], ["More", ""], 25),
        ([None, longer], ["", "More"], 245),
        ([None, Result()], None, 0),
    ):
        usage = replied(results, under=under).usage()
        assert usage["prompt_tokens"] == usage["total_tokens"] == tokens
        assert usage["prompt_tokens_details"]["cached_tokens"] == (9 if tokens == 25 else 0)


@pytest.mark.parametrize(
    ("body", "content"),
    [({}, None), ({"tool_choice": "auto"}, None), ({"tool_choice": "required"}, ""),
     ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "")],
)  # fmt: skip
@pytest.mark.parametrize("said", ["", None])
def test_an_answer_without_text_is_written_as_a_plain_reply_writes_it(body, content, said):
    message = {"role": "assistant", "content": said, "reasoning": None}
    reply = replied([Result(message=message, choice={"message": message})], body=body)
    assert reply.choice()["message"]["content"] == content


def test_candidates_are_given_whole_with_their_tool_calls():
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    results = [Result(answer="x" * 5000), Result(message={"tool_calls": calls}), None]
    first, second, third = replied(results, returns_candidates=True).told(0)["candidates"]
    assert first["answer"] == "x" * 5000 and "tool_calls" not in first
    assert second["tool_calls"] == calls and second["failure"] is None
    assert third["failure"] == "broken" and third["answer"] == ""


# The log of requests.


@pytest.mark.parametrize(("ends", "status"), [("leaves", 499), ("fails", 500), ("answers", 200)])
def test_the_log_says_what_became_of_a_request(ends, status, capsys):
    async def app(scope, receive, send):
        if ends == "fails":
            raise RuntimeError("a bug")
        if ends == "answers":
            await send({"type": "http.response.start", "status": 200})

    async def receive():
        return {"type": "http.request", "body": b"{}"}

    async def send(message):
        pass

    refusals = Counter()
    telemetry = SimpleNamespace(refusals=SimpleNamespace(labels=lambda _: refusals))
    refusals.inc = lambda: refusals.update(["all"])
    access = Access(app, Gate(keys=(), max_body_bytes=9, telemetry=telemetry))
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    with nullcontext() if ends != "fails" else pytest.raises(RuntimeError):
        asyncio.run(access(scope, receive, send))
    assert json.loads(capsys.readouterr().err)["status"] == status
    assert refusals["all"] == (ends == "fails")


def test_a_seat_is_held_while_a_call_generates():
    held = []

    @asynccontextmanager
    async def seat():
        held.append(len(held))
        yield

    ran(Server([1, 1], ["1", "2"]), Majority(n=2), seat=seat)
    assert held == [0, 1]
