"""A pane on recorded streams: plain answers, strategies at work, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from s1_serve.server.ui.pane import Pane

SUMMARY = {"tokens": 3, "end": "natural", "extends": 1, "max": 9, "min": 0}
USAGE = {"completion_tokens": 8}


def asked(*parts: bytes | Exception, status: int = 200) -> Pane:
    """Ask and answer with the parts of a response."""

    async def content():
        for part in parts:
            if isinstance(part, Exception):
                raise part
            yield part

    async def ask() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(status, content=content()))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            await pane.ask(client, {"extend_with": "Wait"})

    pane = Pane()
    asyncio.run(ask())
    return pane


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


def on_its_way(best: str | None, thinking: str, finished: int = 0, tokens: int = 10) -> bytes:
    states = {"started": 4, "finished": finished, "aborted": 0, "failed": 0}
    progress = {**states, "tokens": tokens}
    return event(choices=[], tts={"progress": progress, "best": best, "thinking": thinking})


def candidate(id: str, **fields: Any) -> dict[str, Any]:
    usual = {"answer": "4", "vote": "4", "state": "finished", "score": None}
    return {"id": id, "tokens": 1200, "thinking_tokens": 30} | usual | fields


def ended(*cards: dict[str, Any], **fields: Any) -> bytes:
    run = {
        "strategy": "majority",
        "parameters": {"n": 4},
        **{"started": 4, "finished": 2, "aborted": 1, "failed": 1, "wall_ms": 10},
        "tokens": {"total": 2400, "sequential": 1200, "aborted": 100, "verifier": 7},
        **{"votes": {"4": 2.0, "5": 1.0}, "margin": 1 / 3, "selected": "2"},
        **{"stopped": "4 samples voted", "degraded": False, "policy_reason": None},
        "candidates": list(cards),
    }
    choice = {"delta": {}, "finish_reason": "stop", "thinking": SUMMARY}
    return event(choices=[choice], tts=run | fields) + event(choices=[], usage=USAGE)


SEARCH = (
    on_its_way(None, ""),
    on_its_way("0", "zero "),
    on_its_way("0", "goes on", tokens=1234),
    on_its_way("2", "two leads", finished=1),
)
ANSWER = event(choices=[{"delta": {"reasoning": "two at length"}}]) + event(
    choices=[{"delta": {"content": "Final Answer: 4"}}]
)


def test_a_pane_reads_events_however_they_are_cut():
    content = (
        event(choices=[{"delta": {"reasoning": "a<\u2028"}}])
        + event(choices=[{"delta": {"reasoning": "b Wa"}, "forced": True}])
        + event(choices=[{"delta": {"reasoning": "it c"}, "forced": True}])
        + event(choices=[{"delta": {"content": "\n4"}}])
        + event(choices=[{"delta": {}, "finish_reason": "stop", "thinking": SUMMARY}])
        + event(choices=[], usage=USAGE)
        + b"data: [DONE]\n\n"
    )
    for width in (1, 7, len(content)):
        parts = [content[start : start + width] for start in range(0, len(content), width)]
        thinking, answer, line, cards = asked(*parts).paint()
        assert "a&lt;\u2028b <mark" in thinking and ">Wait</mark> c" in thinking
        assert ">4<" in answer
        assert "3 thinking tokens (ended by itself), 1 extend, 5 answer tokens, " in line
        assert cards == ""


@pytest.mark.parametrize(
    ("parts", "status", "line"),
    [
        ([b'{"error": {"message": "two\\nlines <b>"}}'], 400, "two lines &lt;b&gt;"),
        ([b'{"error": {"message": "full", "code": "rate_limit"}}'], 429, "full"),
        ([b'{"error": {"message": "no answer within 5 ms"}}'], 504, "no answer within 5 ms"),
        ([b"<html>"], 404, "answered 404"),
        ([b"Traceback"], 500, "broke off"),
        ([event(error={"message": "engine"})], 200, "broke off"),
        ([event(error={"message": "none in time", "code": 504})], 200, "none in time"),
        ([event(choices=[]), httpx.ReadError("gone")], 200, "broke off"),
        ([event(choices=[])], 200, "broke off"),
        ([*SEARCH, ANSWER], 200, "broke off"),
    ],
)
def test_what_goes_wrong_is_one_line(parts, status, line):
    *_, said, cards = asked(*parts, status=status).paint()
    assert line in said and 'role="alert"' in said and cards == ""


def test_the_best_candidate_thinks_in_the_box_until_the_winner_does():
    pane, boxes, lines = Pane(seconds=0.0), [], []
    for chunk in (*SEARCH, ANSWER.split(b"\n\n")[0]):
        pane.feed(json.loads(chunk.removeprefix(b"data: ")))
        thinking, _, line, _ = pane.paint()
        boxes.append(thinking.removeprefix('<div class="s1-text">').removesuffix("</div>"))
        lines.append(line)
    assert boxes == ["", "zero ", "zero goes on", "two leads", "two at length"]
    assert "4 started, 0 finished, 0 aborted, 10 tokens<" in lines[0]
    assert "1,234 tokens; shown: candidate 0<" in lines[2]
    assert "1 finished" in lines[3] and "candidate 2<" in lines[3]


def test_an_answer_without_thinking_leaves_none_of_another_candidate_there():
    pane = asked(*SEARCH, event(choices=[{"delta": {"content": "4"}}]), ended())
    assert pane.paint()[0] == '<div class="s1-text"></div>'


def test_what_a_run_cost_and_why_it_answered_is_told():
    cards = (candidate("0", state="failed"), candidate("2"))
    line = asked(*SEARCH, ANSWER, ended(*cards)).paint()[2]
    for row in (
        "<dt>Samples</dt><dd>4 started, 2 finished, 1 aborted, 1 failed</dd>",
        "<dd>2,400 in all, 1,200 one after another, 100 aborted, 7 by verifiers</dd>",
        "<dt>Votes</dt><dd>4 × 2, 5 × 1; leads by 33%</dd>",
        "<dt>Winner</dt><dd>2: 3 thinking tokens (ended by itself), 1 extend</dd>",
        "<dt>Stopped</dt><dd>4 samples voted</dd>",
    ):
        assert row in line
    assert "Policy" not in line
    many = {f"answer {index} {'x' * 50}": 0.123456 for index in range(9)}
    line = asked(ended(votes=many, margin=None, degraded=True, policy_reason="R1")).paint()[2]
    assert "answer 4 xxxxxxxxxxxxxx… × 0.123, 4 more</dd>" in line and "answer 5" not in line
    assert "4 samples voted; less than was asked for" in line and "<dd>R1</dd>" in line
    assert "Votes" not in asked(ended(votes={}, margin=None)).paint()[2]


def test_candidates_stand_side_by_side_the_winner_first():
    long = "a line\n" * 40
    found = asked(
        ended(
            candidate("0", answer=long, score=0.25),
            candidate("1", answer=None, vote=None, state="aborted"),
            candidate("2"),
            candidate("3", answer=long, vote=None),
            candidate("4", answer="", vote=None, state="failed", failure="it <broke>"),
        )
    ).paint()[3]
    first, second, third, fourth, fifth = found.split("<li ")[1:]
    assert "Candidates (5)" in found and "it &lt;broke&gt;" in fifth
    assert "<b>2</b><strong>winner</strong>" in first and "s1-winner" in first
    assert "<span>1,200 tokens</span><span>30 thinking</span>" in first and "score" not in first
    assert "<details" not in first and found.count("winner") == 2  # its class, its mark
    assert "<summary><span>4</span>" in second and long.strip() in second
    assert "score 0.25" in second
    assert "<summary><span>a line\na line\na line\na line …</span>" in fourth
    assert "no answer" in third and "<span>aborted</span>" in third


def test_every_text_of_a_run_is_escaped():
    evil = '<x onload="y">'
    card = candidate(evil, answer=evil + "z" * 200, state=evil, vote=evil)
    run = ended(
        card,
        card | {"id": "loser"},
        selected=evil,
        votes={evil: 1.0},
        stopped=evil,
        policy_reason=evil,
    )
    for parts in ([on_its_way(evil, evil)], [on_its_way(evil, evil), run]):
        pane = asked(*parts)
        pane.notice = ""
        painted = "".join(pane.paint())
        assert "&lt;x onload" in painted and "<x" not in painted and '"y"' not in painted
